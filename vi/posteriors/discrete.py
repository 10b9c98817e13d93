"""Posteriors of discrete latents, which are not reparameterized."""

from __future__ import annotations

from typing import Annotated

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi import random
from vi.distributions import discrete
from vi.kinds import AtLeast
from vi.posteriors.base import Posterior


class Bernoulli(Posterior):
    """q(z|x) = Π Bernoulli(z_i; sigmoid(f_i(x))): L independent bits with logits from a linear head."""

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
        """The L independent bits."""
        return q.distribution


class Categorical(Posterior):
    """N independent one-hot variables of K categories with logits from a linear head; z is `[B, S, N·K]`.

    Args:
        latent_dim: L = N·K.
        categories: K.

    Raises:
        ConfigError: K does not divide L.
    """

    reparameterized = False
    discrete = True

    def __init__(self, latent_dim: int, categories: Annotated[int, AtLeast(2)] = 10):
        super().__init__(latent_dim)
        self.shape = discrete.variables_of(latent_dim, categories)
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
        """The N independent variables."""
        return q.distribution.distribution
