"""The contract of a posterior family, and q(z|x): a family with its parameters."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi import random
from vi.errors import ConfigError

if TYPE_CHECKING:
    from vi.priors.base import Prior


class Posterior(keras.Layer, abc.ABC):
    """A family of approximate posteriors; `posterior(features [B, F])` is q(z|x) for B data.

    A subclass owns its head, the layers from features to parameters, and writes `parameters` and
    `distribution`. It may replace `reparameterized`, `discrete`, `relaxed`, `noise`, `push` and `marginals`, and
    `__call__` where q(z|x) is another one in training, and nothing else.

    Args:
        latent_dim: L.

    Attributes:
        reparameterized: whether `push` is differentiable in the parameters.
        discrete: whether q(z|x) is a mass, as its prior must be.
        relaxed: whether it is a density in training all the same, so that bounds of then are of another model.
    """

    reparameterized = True
    discrete = False
    relaxed = False

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim

    def __call__(self, features: tf.Tensor, step: tf.Tensor | None = None) -> ConditionalPosterior:
        """q(z|x) given the features of x, `[B, F]`; by default the same at every step of training and outside it.

        `step` is the number of the training step, None outside training.
        """
        return ConditionalPosterior(self, self.parameters(features))

    @abc.abstractmethod
    def parameters(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """The parameters of q(z|x), `[B, 1, ...]` each: the 1 broadcasts against S samples."""

    @abc.abstractmethod
    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """The distribution with these parameters, of batch `[B, 1]` and event `[L]`."""

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """The base noise, `[*shape, L]`, standard normal by default."""
        return random.normal([*shape, self.latent_dim], seed, self.compute_dtype)

    def push(self, q: tfd.Distribution, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Pushes noise forward to z `[B, S, L]`, with log q(z|x) `[B, S]` in nats, or None if it is implicit.

        By default log q comes from the density of eps and the forward log-determinant, so no inverse is
        taken; `distribution` must then be a TransformedDistribution of the base noise.
        """
        z = q.bijector.forward(eps)
        log_determinant = q.bijector.forward_log_det_jacobian(eps, event_ndims=1)
        return z, q.distribution.log_prob(eps) - log_determinant

    def marginals(self, q: tfd.Distribution) -> tfd.Distribution | None:
        """The L independent univariate factors of `q`, of batch `[B, 1, L]`; None if it does not factorize.

        Where several latent dimensions make up one variable, as a one-hot one, its N variables: `[B, 1, N]`.
        """
        return None


@dataclasses.dataclass(frozen=True)
class ConditionalPosterior:
    """q(z|x) for B data: a posterior family with its parameters. Log densities are in nats."""

    family: Posterior
    parameters: dict[str, tf.Tensor]
    weights_stopped: bool = False

    @property
    def name(self) -> str:
        """The family's class name."""
        return type(self.family).__name__

    @property
    def reparameterized(self) -> bool:
        """Whether z = sample(eps) is differentiable in φ."""
        return self.family.reparameterized

    @property
    def exact_path(self) -> bool:
        """Whether a gradient along the path of z is in expectation that of the expectation."""
        return self.reparameterized

    @property
    def distribution(self) -> tfd.Distribution:
        """As a distribution of TensorFlow Probability, of batch `[B, 1]` and event `[L]`.

        It reads weights beside the parameters, as those of a flow, as they are: only the methods here stop them.
        """
        return self.family.distribution(**self.parameters)

    def sample(self, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """z `[B, S, L]` from noise `[B, S, L]`, and log q(z|x) `[B, S]` (None for an implicit q)."""
        with self._weights():
            return self.family.push(self.distribution, eps)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """log q(z|x) `[B, S]` at any z `[B, S, L]`."""
        with self._weights():
            return self._dense(self.distribution).log_prob(z)

    def mean(self) -> tf.Tensor:
        """E q[z], `[B, L]`; where it has no closed form, the mean of 1,000 samples, the same ones every time."""
        try:
            return tf.squeeze(self.distribution.mean(), axis=1)
        except (NotImplementedError, AttributeError):
            batch = tf.nest.flatten(self.parameters)[0].shape[0]
            z, _ = self.sample(self.family.noise([batch, 1000], random.seed(0, "people")))
            return tf.reduce_mean(z, axis=1)

    def kl(self, prior: Prior) -> tf.Tensor:
        """KL(q(z|x) ‖ p(z)) in closed form, `[B]`.

        Raises:
            ConfigError: this pair has no closed form.
        """
        with self._weights():
            if self._factors(prior) is not None:
                return tf.reduce_sum(self.kl_per_dimension(prior), axis=-1)
            return tf.squeeze(self._closed_form(self.distribution, prior.distribution, prior), axis=1)

    def kl_per_dimension(self, prior: Prior) -> tf.Tensor:
        """KL(q(z|x) ‖ p(z)) of each latent dimension in closed form, `[B, L]`; `[B, N]` of N one-hot variables.

        Raises:
            ConfigError: one of the two does not factorize, or this pair has no closed form.
        """
        with self._weights():
            return tf.squeeze(self._closed_form(*self._require_factors(prior), prior), axis=1)

    def log_ratio_per_dimension(self, z: tf.Tensor, prior: Prior) -> tf.Tensor:
        """log q(z_l|x) − log p(z_l) of each latent dimension, `[B, S, L]`, at z `[B, S, L]`.

        Raises:
            ConfigError: one of the two does not factorize.
        """
        with self._weights():
            q, p = self._require_factors(prior)
            z = tf.reshape(z, [*tf.unstack(tf.shape(z)[:2]), -1, *q.event_shape])
            return q.log_prob(z) - p.log_prob(z)

    def stopped(self) -> ConditionalPosterior:
        """The same q(z|x) whose weights and features pass no gradient to φ; z still does."""
        parameters = tf.nest.map_structure(tf.stop_gradient, self.parameters)
        return dataclasses.replace(self, parameters=parameters, weights_stopped=True)

    def code(self, z: tf.Tensor) -> tf.Tensor:
        """What the decoder sees of samples z, both `[B, S, L]`: z itself, but where samples are relaxed."""
        return z

    def against(self, prior: Any) -> Any:
        """What the samples' log p(z) is of: the prior itself, but where samples are relaxed."""
        return prior

    def _weights(self) -> contextlib.AbstractContextManager:
        """Within it, weights that `distribution` or `push` read, of a flow say, pass no gradient if stopped."""
        if not self.weights_stopped:
            return contextlib.nullcontext()
        return keras.StatelessScope([(v, tf.stop_gradient(v.value)) for v in self.family.trainable_variables])

    def _factors(self, prior: Prior) -> tuple[tfd.Distribution, tfd.Distribution] | None:
        q, p = self.family.marginals(self.distribution), prior.marginals()
        return None if q is None or p is None else (q, p)

    def _require_factors(self, prior: Prior) -> tuple[tfd.Distribution, tfd.Distribution]:
        factors = self._factors(prior)
        if factors is None:
            raise ConfigError(f"the KL of {self.name} to {type(prior).__name__} does not split into latent dimensions.")
        return factors

    def _closed_form(self, q: tfd.Distribution, p: tfd.Distribution, prior: Prior) -> tf.Tensor:
        try:
            return tfd.kl_divergence(self._dense(q), p)
        except (NotImplementedError, AttributeError):
            raise ConfigError(
                f"the KL of posterior {self.name} to prior {type(prior).__name__} has no closed form; use "
                "estimator=monte_carlo_kl, or, if the posterior has no density, an estimator that needs none."
            ) from None

    def _dense(self, q: tfd.Distribution) -> tfd.Distribution:
        """The same distribution; point masses, for which TensorFlow Probability has pseudo-densities, are refused."""
        if isinstance(q, tfd.Deterministic | tfd.VectorDeterministic):
            raise ConfigError(
                f"the posterior {self.name} is a point mass: it has neither a density nor a KL; use "
                "estimator=reconstruction."
            )
        return q
