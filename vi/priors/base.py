"""The contract of a prior p(z)."""

from __future__ import annotations

import abc

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi import random


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
