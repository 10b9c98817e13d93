"""Approximate posteriors q(z|x): each turns encoder features into the pushforward of a base noise."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from vi import discrete, random
from vi.errors import ConfigError

if TYPE_CHECKING:
    from vi.priors import Prior


class Posterior(keras.Layer, abc.ABC):
    """A family of approximate posteriors; `posterior(features [B, F])` is q(z|x) for B data.

    A subclass owns its head, the layers from features to parameters, and writes `parameters` and
    `distribution`. It may replace `reparameterized`, `discrete`, `noise`, `push` and `marginals`, and
    `__call__` where q(z|x) is another one in training, and nothing else.

    Args:
        latent_dim: L.

    Attributes:
        reparameterized: whether `push` is differentiable in the parameters.
        discrete: whether q(z|x) is a mass, as its prior must be.
    """

    reparameterized = True
    discrete = False

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
            factors = self._factors(prior)
            if factors is None:
                raise ConfigError(
                    f"the KL of {self.name} to {type(prior).__name__} does not split into latent dimensions."
                )
            return tf.squeeze(self._closed_form(*factors, prior), axis=1)

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


class MeanField(Posterior):
    """Base of the families z = μ(x) + σ(x) ε of independent dimensions, with μ and a log scale as linear heads.

    Args:
        latent_dim: L.
        scale: what the second head outputs: "log_variance" (log σ²) or "log_sd" (log σ).
    """

    def __init__(self, latent_dim: int, scale: Literal["log_variance", "log_sd"] = "log_variance"):
        super().__init__(latent_dim)
        self.factor = {"log_variance": 0.5, "log_sd": 1.0}[scale]
        self.loc_head = keras.layers.Dense(latent_dim)
        self.scale_head = keras.layers.Dense(latent_dim)

    def parameters(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """μ and σ, `[B, 1, L]` each."""
        loc, log_scale = self.loc_head(features), self.factor * self.scale_head(features)
        return {"loc": loc[:, None], "scale_diag": tf.exp(log_scale)[:, None]}


class DiagonalGaussian(MeanField):
    """q(z|x) = N(μ(x), diag σ²(x)) (Kingma & Welling, 2014, eq. 9)."""

    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """A Gaussian of diagonal covariance."""
        return tfd.MultivariateNormalDiag(**parameters)

    def marginals(self, q: tfd.Distribution) -> tfd.Distribution:
        """L univariate Gaussians."""
        return tfd.Normal(q.loc, q.scale.diag_part())


class LocationScale(MeanField):
    """z = μ(x) + σ(x) ε, the base distribution of ε being a choice: its family and its scale.

    Args:
        latent_dim: L.
        scale: what the second head outputs: "log_variance" (log σ²) or "log_sd" (log σ).
        base: the family of ε: "normal", "laplace", "logistic" or "gumbel", of location 0.
        base_scale: its scale parameter.
    """

    BASES: ClassVar = {
        "normal": tfd.Normal,
        "laplace": tfd.Laplace,
        "logistic": tfd.Logistic,
        "gumbel": tfd.Gumbel,
    }

    def __init__(
        self,
        latent_dim: int,
        scale: Literal["log_variance", "log_sd"] = "log_variance",
        base: Literal["normal", "laplace", "logistic", "gumbel"] = "normal",
        base_scale: float = 1.0,
    ):
        super().__init__(latent_dim, scale)
        self.base, self.base_scale = self.BASES[base], float(base_scale)

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """ε, `[*shape, L]`: the base's quantiles of uniform numbers."""
        uniform = random.uniform([*shape, self.latent_dim], seed, self.compute_dtype)
        return self._univariate(tf.zeros([], uniform.dtype), tf.ones([], uniform.dtype)).quantile(uniform)

    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """L independent members of the base's family, moved and scaled."""
        return tfd.Independent(self._univariate(parameters["loc"], parameters["scale_diag"]), 1)

    def push(self, q: tfd.Distribution, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """μ + σ ε."""
        loc, scale = q.distribution.loc, q.distribution.scale / self.base_scale
        base = tfd.Independent(self._univariate(tf.zeros_like(loc), tf.ones_like(scale)), 1)
        return loc + scale * eps, base.log_prob(eps) - tf.reduce_sum(tf.math.log(scale), axis=-1)

    def marginals(self, q: tfd.Distribution) -> tfd.Distribution:
        """Those L members."""
        return q.distribution

    def _univariate(self, loc: tf.Tensor, scale: tf.Tensor) -> tfd.Distribution:
        return self.base(loc, scale * self.base_scale)


class Deterministic(Posterior):
    """A point mass at f(x), which has no density: the code of an autoencoder, not a distribution.

    Args:
        latent_dim: L.
        activation: of the head that gives f(x), any Keras activation.
    """

    def __init__(self, latent_dim: int, activation: str = "linear"):
        super().__init__(latent_dim)
        self.head = keras.layers.Dense(latent_dim, activation=activation)

    def parameters(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """f(x), `[B, 1, L]`."""
        return {"loc": self.head(features)[:, None]}

    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """All mass at f(x)."""
        return tfd.VectorDeterministic(**parameters)

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """None is needed: `[*shape, 0]`."""
        return tf.zeros([*shape, 0], self.compute_dtype)

    def push(self, q: tfd.Distribution, eps: tf.Tensor) -> tuple[tf.Tensor, None]:
        """f(x) for every sample."""
        return tf.repeat(q.loc, eps.shape[1], axis=1), None


class FullCovarianceGaussian(Posterior):
    """q(z|x) = N(μ(x), L(x) L(x)ᵀ), L lower triangular with a softplus diagonal.

    The heads give μ and the L (L + 1) / 2 entries of the factor (as in the TensorFlow Probability team's
    "Variational autoencoders with TFP layers", 2019, but for 1e-5 that is added to the diagonal there).
    """

    def __init__(self, latent_dim: int):
        super().__init__(latent_dim)
        self.loc_head = keras.layers.Dense(latent_dim)
        self.scale_head = keras.layers.Dense(latent_dim * (latent_dim + 1) // 2)
        self.to_triangle = tfb.FillScaleTriL(diag_shift=None)

    def parameters(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """The mean `[B, 1, L]` and the triangular factor of the covariance `[B, 1, L, L]`."""
        loc, scale_tril = self.loc_head(features), self.to_triangle.forward(self.scale_head(features))
        return {"loc": loc[:, None], "scale_tril": scale_tril[:, None]}

    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """A Gaussian of full covariance."""
        return tfd.MultivariateNormalTriL(**parameters)


class Bernoulli(Posterior):
    """q(z|x) = Π Bernoulli(z_i; sigmoid(f_i(x))): L independent bits, whose logits are a linear head."""

    reparameterized = False
    discrete = True

    def __init__(self, latent_dim: int):
        super().__init__(latent_dim)
        self.head = keras.layers.Dense(latent_dim)

    def parameters(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """The logits, `[B, 1, L]`."""
        return {"logits": self.head(features)[:, None]}

    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """L independent bits."""
        return discrete.bits(**parameters)

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """Uniform numbers, `[*shape, L]`."""
        return random.uniform([*shape, self.latent_dim], seed, self.compute_dtype)

    def push(self, q: tfd.Distribution, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """1 where the noise is below the probability."""
        z = discrete.flip(q.distribution.logits, eps)
        return z, q.log_prob(z)

    def marginals(self, q: tfd.Distribution) -> tfd.Distribution:
        """Those L bits."""
        return q.distribution


class Categorical(Posterior):
    """N independent one-hot variables of K categories, whose logits are a linear head; z is `[B, S, N·K]`.

    Args:
        latent_dim: L = N·K.
        categories: K.

    Raises:
        ConfigError: K does not divide L.
    """

    reparameterized = False
    discrete = True

    def __init__(self, latent_dim: int, categories: int):
        super().__init__(latent_dim)
        self.categories = categories
        self.shape = (discrete.count_variables("posterior", latent_dim, categories), categories)
        self.head = keras.layers.Dense(latent_dim)

    def parameters(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """The logits, `[B, 1, N, K]`."""
        logits = self.head(features)
        return {"logits": tf.reshape(logits, [-1, 1, *self.shape])}

    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """N independent one-hot variables, one after the other."""
        return discrete.one_hots(**parameters)

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """Uniform numbers, `[*shape, N, K]`."""
        return random.uniform([*shape, *self.shape], seed, self.compute_dtype)

    def push(self, q: tfd.Distribution, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The category where the logit and its Gumbel noise −log(−log ε) are largest together (Gumbel-max)."""
        z = discrete.choose(self.marginals(q).logits, eps)
        return z, q.log_prob(z)

    def marginals(self, q: tfd.Distribution) -> tfd.Distribution:
        """Those N variables."""
        return q.distribution.distribution
