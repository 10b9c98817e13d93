"""Priors of discrete latents."""

from __future__ import annotations

from typing import Annotated

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi import random
from vi.distributions import discrete
from vi.kinds import AtLeast
from vi.priors.base import Prior


class Bernoulli(Prior):
    """p(z) = Π Bernoulli(z_i): L fair coins, or coins with learned logits, which belong to θ.

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
        """The L independent bits."""
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

    def __init__(self, latent_dim: int, categories: Annotated[int, AtLeast(2)] = 10):
        super().__init__(latent_dim)
        self.shape = discrete.variables_of(latent_dim, categories)

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
        """The N independent variables."""
        return self.distribution.distribution.distribution
