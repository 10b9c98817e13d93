"""Priors p(z). Their variables, where they have any, belong to θ."""

from __future__ import annotations

import abc
from collections.abc import Callable

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi import discrete, random
from vi.errors import ConfigError


class Prior(keras.Layer, abc.ABC):
    """The distribution p(z) of the latents.

    A subclass writes `distribution`, and may replace `discrete`, `log_prob`, `noise`, `sample` and `marginals`, and
    nothing else.

    Args:
        latent_dim: L.

    Attributes:
        discrete: whether p(z) is a mass, as that of the posterior must be then.
    """

    discrete = False

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim

    @property
    @abc.abstractmethod
    def distribution(self) -> tfd.Distribution:
        """p(z) as a distribution of TensorFlow Probability, of event `[L]`."""

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """log p(z) in nats, `[B, S]` for z `[B, S, L]`."""
        return self.distribution.log_prob(z)

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """The base noise, `[*shape, L]`, standard normal by default."""
        return random.normal([*shape, self.latent_dim], seed, self.compute_dtype)

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """z ~ p(z) from noise, both `[..., L]`; by default through the distribution's bijector."""
        return self.distribution.bijector.forward(noise)

    def marginals(self) -> tfd.Distribution | None:
        """The L independent univariate factors of p(z), of batch `[L]`; None if it does not factorize.

        Where several latent dimensions make up one variable, as a one-hot one, its N variables: `[N]`.
        """
        return None


class StandardNormal(Prior):
    """p(z) = N(0, I)."""

    @property
    def distribution(self) -> tfd.Distribution:
        """A Gaussian of zero mean and identity covariance."""
        loc = tf.zeros([self.latent_dim], self.compute_dtype)
        return tfd.MultivariateNormalDiag(loc, tf.ones_like(loc))

    def marginals(self) -> tfd.Distribution:
        """L standard normals."""
        loc = tf.zeros([self.latent_dim], self.compute_dtype)
        return tfd.Normal(loc, tf.ones_like(loc))


class Density(Prior):
    """Any density p(z) = p̃(z) / Z that is known up to its normalizer Z.

    An ELBO with it is one of log Z too: with `likelihood=none`, the bound is log Z − KL(q ‖ p).

    Args:
        latent_dim: L.
        log_density: log p̃ in nats, a function z `[..., L]` → `[...]` of TensorFlow operations.
    """

    def __init__(self, latent_dim: int, log_density: Callable[[tf.Tensor], tf.Tensor]):
        super().__init__(latent_dim)
        self.log_density = log_density

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """log p̃(z) in nats, `[B, S]` for z `[B, S, L]`."""
        z = tf.convert_to_tensor(z)
        value = self.log_density(z)
        if not tf.is_tensor(value) or value.shape != z.shape[:-1]:
            found = f"shape {tuple(value.shape)}" if tf.is_tensor(value) else f"a {type(value).__name__}"
            raise ConfigError(
                f"prior.log_density: gives {found} for z of shape {tuple(z.shape)}, but must give a number for each z."
            )
        return value

    @property
    def distribution(self) -> tfd.Distribution:
        """There is none: raises ConfigError."""
        raise ConfigError(
            "prior=density: only its log density is known, so it has no KL in closed form, and cannot be sampled; use "
            "estimator=monte_carlo_kl."
        )


class Bernoulli(Prior):
    """p(z) = Π Bernoulli(z_i): L fair coins, or coins of learned logits, which belong to θ.

    Args:
        latent_dim: L.
        learned: whether the logits are learned, from 0, as the biases of the top layer of a Helmholtz machine
            (Dayan et al., 1995).
    """

    discrete = True

    def __init__(self, latent_dim: int, learned: bool = False):
        super().__init__(latent_dim)
        self.logits = self.add_weight(shape=(latent_dim,), initializer="zeros", name="logits") if learned else None

    @property
    def distribution(self) -> tfd.Distribution:
        """L independent bits."""
        if self.logits is None:
            return discrete.bits(tf.zeros([self.latent_dim], self.compute_dtype))
        return discrete.bits(tf.convert_to_tensor(self.logits))

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """Uniform numbers, `[*shape, L]`."""
        return random.uniform([*shape, self.latent_dim], seed, self.compute_dtype)

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """1 where the noise is below the probability."""
        return discrete.flip(self.marginals().logits, noise)

    def marginals(self) -> tfd.Distribution:
        """Those L bits."""
        return self.distribution.distribution


class Categorical(Prior):
    """p(z) of N independent one-hot variables of K equally probable categories.

    Args:
        latent_dim: L = N·K.
        categories: K.

    Raises:
        ConfigError: K does not divide L.
    """

    discrete = True

    def __init__(self, latent_dim: int, categories: int):
        super().__init__(latent_dim)
        self.shape = discrete.variables_of("prior", latent_dim, categories)

    @property
    def distribution(self) -> tfd.Distribution:
        """N independent one-hot variables, one after the other."""
        return discrete.one_hots(tf.zeros(self.shape, self.compute_dtype))

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """Uniform numbers, `[*shape, N, K]`."""
        return random.uniform([*shape, *self.shape], seed, self.compute_dtype)

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """z `[..., N·K]` from noise `[..., N, K]`."""
        return discrete.choose(self.marginals().logits, noise)

    def marginals(self) -> tfd.Distribution:
        """Those N variables."""
        return self.distribution.distribution.distribution
