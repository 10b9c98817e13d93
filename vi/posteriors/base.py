"""The contract of a posterior family, and q(z|x): a family with its parameters."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import functools
from typing import TYPE_CHECKING

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd
from tensorflow_probability import stats as tfp_stats

from vi import random
from vi.errors import ConfigError, SettingError
from vi.substitution import Pair, Substitution, current

if TYPE_CHECKING:
    from vi.priors import PriorDensity


class Posterior(keras.Layer, abc.ABC):
    """A family of approximate posteriors; `posterior(features [B, F])` is q(z|x) for B data.

    A subclass owns its head, the layers that turn features into parameters. It writes `parameters` and `distribution`.
    It may replace `reparameterized`, `discrete`, `relaxed`, `reads`, `noise`, `push`, `log_prob` and `marginals`. It
    replaces `__call__` only if q(z|x) depends on the training step, and nothing else.

    Args:
        latent_dim: L.

    Attributes:
        reparameterized: True if `push` is differentiable in the parameters.
        discrete: True if q(z|x) is a probability mass; the prior must be one too.
        relaxed: True if training uses a continuous relaxation. Bounds logged in training then belong to the relaxed
            model.
        reads: the names of the arrays of `Batch.context` that `parameters` takes as keyword arguments, `[B, ...]` each.
    """

    reparameterized = True
    discrete = False
    relaxed = False
    reads: tuple[str, ...] = ()

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim

    def __call__(
        self, features: tf.Tensor, step: tf.Tensor | None = None, **context: tf.Tensor
    ) -> ConditionalPosterior:
        """q(z|x) given the features of x, `[B, F]`. By default it is the same in training and outside it.

        Args:
            features: the features of x.
            step: the number of the training step; None outside training.
            context: the arrays that the family `reads`.
        """
        return ConditionalPosterior(self, self.parameters(features, **context))

    @abc.abstractmethod
    def parameters(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """The parameters of q(z|x), `[B, 1, ...]` each: the 1 broadcasts against S samples."""

    @abc.abstractmethod
    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """The distribution with these parameters, of batch `[B, 1]` and event `[L]`."""

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """The base noise, `[*shape, L]`: standard normal by default."""
        return random.normal([*shape, self.latent_dim], seed, self.compute_dtype)

    def push(self, q: tfd.Distribution, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """z `[B, S, L]` from noise, and log q(z|x) `[B, S]` in nats; None instead of log q if q is implicit.

        By default log q comes from the density of eps and the forward log-determinant, so no inverse is taken. The
        `distribution` must then be a TransformedDistribution of the base noise.
        """
        z = q.bijector.forward(eps)
        log_determinant = q.bijector.forward_log_det_jacobian(eps, event_ndims=1)
        return z, q.distribution.log_prob(eps) - log_determinant

    def log_prob(self, q: tfd.Distribution, z: tf.Tensor, eps: tf.Tensor | None = None) -> tf.Tensor:
        """log q(z|x) `[B, S]` in nats at z `[B, S, L]`: by default the distribution's own.

        Args:
            q: the distribution.
            z: any points.
            eps: the noise that made z, if it is known. A flow then needs no inverse.
        """
        return q.log_prob(z)

    def marginals(self, q: tfd.Distribution) -> tfd.Distribution | None:
        """The L independent univariate factors of `q`, of batch `[B, 1, L]`; None if it does not factorize.

        If several latent dimensions form one variable, such as a one-hot variable: the N variables, of batch `[B, 1,
        N]`.
        """
        return None

    @functools.cached_property
    def noise_event(self) -> tuple[int, ...]:
        """The shape of the noise of one sample, `(L,)` for Gaussians."""
        with tf.init_scope():  # outside any graph that is being traced
            return tuple(self.noise([1, 1], random.seed(0, "people")).shape[2:])


@dataclasses.dataclass(frozen=True)
class ConditionalPosterior:
    """q(z|x) for B data: a posterior family with its parameters. Log densities are in nats.

    Attributes:
        family: the posterior family.
        parameters: `[B, 1, ...]` each.
        weights_stopped: True if no weight of the family passes a gradient.
        values: variables, each with the value that replaces it whenever the family's weights are read.
        as_numpy: True if x was a NumPy array. All methods then give NumPy arrays, the `distribution` is of batch `[B]`,
            and `log_prob` also takes one z for each datum, `[B, L]`, and gives `[B]`.
    """

    family: Posterior
    parameters: dict[str, tf.Tensor]
    weights_stopped: bool = False
    values: tuple[Pair, ...] = dataclasses.field(default_factory=current)
    as_numpy: bool = False

    @property
    def name(self) -> str:
        """The family's class name."""
        return type(self.family).__name__

    @property
    def reparameterized(self) -> bool:
        """Whether z = sample(eps) is differentiable in φ."""
        return self.family.reparameterized

    @property
    def relaxed(self) -> bool:
        """Whether z is a relaxed sample of a discrete latent."""
        return False

    @property
    def exact_path(self) -> bool:
        """Whether the gradient along the path of z is unbiased for the gradient of the expectation."""
        return self.reparameterized

    @property
    def distribution(self) -> tfd.Distribution:
        """q(z|x) as a distribution of TensorFlow Probability, of batch `[B, 1]` and event `[L]`; `as_numpy`: `[B]`.

        Further weights, such as a flow's, pass gradients here. Only the methods of this class can stop these gradients.
        """
        if not self.as_numpy:
            return self._over_samples
        parameters = tf.nest.map_structure(lambda parameter: tf.squeeze(parameter, axis=1), self.parameters)
        return self.family.distribution(**parameters)

    @property
    def _over_samples(self) -> tfd.Distribution:
        """q(z|x) of batch `[B, 1]`, where the 1 broadcasts against S samples."""
        return self.family.distribution(**self.parameters)

    def sample(self, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """z `[B, S, L]` from noise `[B, S, L]`, and log q(z|x) `[B, S]` (None for an implicit q).

        Raises:
            ConfigError: the noise has another shape.
        """
        eps = self._checked(eps)
        with self._weights():
            z, log_posterior = self.family.push(self._over_samples, eps)
        z = tf.identity(z)  # TensorFlow Probability's bijectors know z itself, and lose its path
        return self._given(z), None if log_posterior is None else self._given(log_posterior)

    def log_prob(self, z: tf.Tensor, eps: tf.Tensor | None = None) -> tf.Tensor:
        """log q(z|x) `[B, S]` at any z `[B, S, L]`; `eps` is the noise that made z, if it is known."""
        if self.as_numpy:
            z = tf.convert_to_tensor(z, tf.nest.flatten(self.parameters)[0].dtype)
            if z.shape.rank == 2:
                return self.log_prob(z[:, None])[:, 0]
        with self._weights():
            return self._given(self.family.log_prob(self._dense(self._over_samples), tf.identity(z), eps))

    def mean(self) -> tf.Tensor:
        """E q[z], `[B, L]`. Without a closed form it is the mean of 1,000 samples, which are the same at every call."""
        try:
            return self._given(tf.squeeze(self._over_samples.mean(), axis=1))
        except (NotImplementedError, AttributeError):
            return self._given(tf.reduce_mean(self._thousand(), axis=1))

    def stddev(self) -> tf.Tensor:
        """The standard deviation of each latent dimension, `[B, L]`; from samples as in `mean`."""
        try:
            return self._given(tf.squeeze(self._over_samples.stddev(), axis=1))
        except (NotImplementedError, AttributeError):
            return self._given(tf.math.reduce_std(self._thousand(), axis=1))

    def quantile(self, probability: float) -> tf.Tensor:
        """The quantile of each latent dimension, `[B, L]`; if q does not factorize, from samples as in `mean`.

        Args:
            probability: 0.05 for the 5% quantile.

        Raises:
            ConfigError: the probability is not between 0 and 1.
        """
        if not 0 <= probability <= 1:
            raise SettingError("probability", probability, "must be from 0 to 1.")
        try:
            factors = self.family.marginals(self._over_samples)
            if factors is not None and not factors.event_shape.rank:
                return self._given(tf.squeeze(factors.quantile(probability), axis=1))
        except (NotImplementedError, AttributeError):
            pass
        return self._given(tfp_stats.percentile(self._thousand(), 100 * probability, axis=1))

    def _given(self, value: tf.Tensor) -> tf.Tensor:
        return value.numpy() if self.as_numpy and tf.executing_eagerly() else value

    def _thousand(self) -> tf.Tensor:
        """1,000 samples, `[B, 1000, L]`, the same at every call."""
        batch = tf.nest.flatten(self.parameters)[0].shape[0]
        return self.sample(self.family.noise([batch, 1000], random.seed(0, "people")))[0]

    def masses(self, samples: int) -> tf.Tensor | None:
        """The probability of each of S samples, `[B, S]`, if latents are enumerated (`Particles.mass`).

        By default None: samples are independent draws of weight 1/S each.
        """
        return None

    def kl_terms(self, prior: PriorDensity, z: tf.Tensor) -> dict[str, tf.Tensor]:
        """The KL of each stochastic layer, by name, in closed form given samples z of the layers before it.

        Each is `[B, S]`, or `[B, 1]` if it depends on no sample. By default there is one layer, z.

        Raises:
            ConfigError: a layer's KL has no closed form.
        """
        return {"z": self.kl(prior)[:, None]}

    def kl(self, prior: PriorDensity) -> tf.Tensor:
        """KL(q(z|x) ‖ p(z)) in closed form, `[B]`.

        Raises:
            ConfigError: this pair has no closed form.
        """
        with self._weights():
            if self._factors(prior) is not None:
                return self._given(tf.reduce_sum(self.kl_per_dimension(prior), axis=-1))
            return self._given(tf.squeeze(self._closed_form(self._over_samples, prior), axis=1))

    def kl_per_dimension(self, prior: PriorDensity) -> tf.Tensor:
        """KL(q(z|x) ‖ p(z)) of each latent dimension in closed form, `[B, L]`; `[B, N]` of N one-hot variables.

        Raises:
            ConfigError: one of the two does not factorize, or this pair has no closed form.
        """
        with self._weights():
            q, p = self._require_factors(prior)
            return self._given(tf.squeeze(self._closed_form(q, prior, p), axis=1))

    def log_ratio_per_dimension(self, z: tf.Tensor, prior: PriorDensity) -> tf.Tensor:
        """log q(z_l|x) − log p(z_l) of each latent dimension, `[B, S, L]`, at z `[B, S, L]`.

        Raises:
            ConfigError: one of the two does not factorize.
        """
        with self._weights():
            q, p = self._require_factors(prior)
            z = tf.reshape(z, [*tf.unstack(tf.shape(z)[:2]), -1, *q.event_shape])
            return q.log_prob(z) - p.log_prob(z)

    def stopped(self) -> ConditionalPosterior:
        """The same q(z|x) with stopped weights and features. z still passes a gradient to φ."""
        parameters = tf.nest.map_structure(tf.stop_gradient, self.parameters)
        return dataclasses.replace(self, parameters=parameters, weights_stopped=True)

    def code(self, z: tf.Tensor) -> tf.Tensor:
        """The decoder's input for samples z, both `[B, S, L]`: z itself, except for relaxed samples."""
        return z

    def against(self, prior: PriorDensity) -> PriorDensity:
        """The prior to evaluate at the samples: the given prior, or for relaxed samples the relaxed prior."""
        return prior

    def _checked(self, eps: tf.Tensor) -> tf.Tensor:
        """The noise as a tensor of the parameters' dtype, `[B, S, *noise_event]`."""
        parameter = tf.nest.flatten(self.parameters)[0]
        eps, batch = tf.cast(eps, parameter.dtype), parameter.shape[0]
        if eps.shape.rank is not None and (
            eps.shape[2:] != self.family.noise_event or (None not in (batch, eps.shape[0]) and eps.shape[0] != batch)
        ):
            needed = ", ".join(map(str, ["samples", *self.family.noise_event]))
            raise ConfigError(
                f"eps of shape {tuple(eps.shape)}: the posterior {self.name} of {batch} data needs noise of shape "
                f"({batch}, {needed})."
            )
        return eps

    def _weights(self) -> contextlib.AbstractContextManager[object]:
        """A scope that applies `values`, and stops the family's weights, such as a flow's, if `weights_stopped`."""
        if not (self.weights_stopped or self.values):
            return contextlib.nullcontext()
        given = {id(variable): value for variable, value in self.values}
        weights = self.family.trainable_variables if self.weights_stopped else ()
        return Substitution([*self.values, *((v, tf.stop_gradient(given.get(id(v), v.value))) for v in weights)])

    def _factors(self, prior: PriorDensity) -> tuple[tfd.Distribution, tfd.Distribution] | None:
        q, p = self.family.marginals(self._over_samples), prior.marginals()
        return None if q is None or p is None else (q, p)

    def _require_factors(self, prior: PriorDensity) -> tuple[tfd.Distribution, tfd.Distribution]:
        factors = self._factors(prior)
        if factors is None:
            raise ConfigError(f"the KL of {self.name} to {class_of(prior)} does not split into latent dimensions.")
        return factors

    def _closed_form(self, q: tfd.Distribution, prior: PriorDensity, p: tfd.Distribution | None = None) -> tf.Tensor:
        """The KL of q to p, by default the distribution of the prior."""
        try:
            return tfd.kl_divergence(self._dense(q), prior.distribution if p is None else p)
        except (NotImplementedError, AttributeError):
            raise ConfigError(
                f"the KL of posterior {self.name} to prior {class_of(prior)} has no closed form; use "
                "estimator=monte_carlo_kl, or, if the posterior has no density, an estimator that needs no density."
            ) from None

    def _dense(self, q: tfd.Distribution) -> tfd.Distribution:
        """The same distribution. Point masses are refused: TensorFlow Probability gives them pseudo-densities."""
        if isinstance(q, tfd.Deterministic | tfd.VectorDeterministic):
            raise ConfigError(
                f"the posterior {self.name} is a point mass: it has neither a density nor a KL; use "
                "estimator=reconstruction."
            )
        return q


def class_of(prior: PriorDensity) -> str:
    """The class name of a prior, without the objects that wrap it."""
    while hasattr(prior, "prior"):
        prior = prior.prior
    return type(prior).__name__
