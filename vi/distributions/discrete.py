"""Bits and one-hot variables: their distributions from logits, and their samples from uniform noise."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from vi.errors import SettingError


class OneHot(tfd.OneHotCategorical):
    """A one-hot variable whose log mass is differentiable by the value and finite off the support."""

    def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(x * tf.nn.log_softmax(self.logits), axis=-1)


def bits(logits: tf.Tensor) -> tfd.Distribution:
    """L independent bits of logits `[..., L]`, of event `[L]`."""
    return tfd.Independent(tfd.Bernoulli(logits=logits, dtype=logits.dtype), 1)


def one_hots(logits: tf.Tensor) -> tfd.Distribution:
    """N independent one-hot variables with logits `[..., N, K]`, concatenated: event `[N·K]`."""
    return flat(OneHot(logits=logits, dtype=logits.dtype))


def flat(variables: tfd.Distribution) -> tfd.Distribution:
    """The joint distribution, of event `[N·K]`, of a batch `[..., N]` of events `[K]`."""
    n, k = variables.batch_shape[-1], variables.event_shape[0]
    return tfd.TransformedDistribution(tfd.Independent(variables, 1), tfb.Reshape([n * k], [n, k]))


def flip(logits: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Bits of the noise's shape: 1 with probability sigmoid(logits). The comparison is between logits."""
    return tf.cast(logits > logistic(uniform), uniform.dtype)


def choose(logits: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """One-hot variables `[..., N·K]` from noise `[..., N, K]`, at the maximum of logits + Gumbel noise (Gumbel-max)."""
    k = uniform.shape[-1]
    return flatten(tf.one_hot(tf.argmax(logits + gumbel(uniform), axis=-1), k, dtype=uniform.dtype))


def logistic(uniform: tf.Tensor) -> tf.Tensor:
    """Standard logistic noise: the logit of uniform numbers."""
    return tf.math.log(uniform) - tf.math.log1p(-uniform)


def gumbel(uniform: tf.Tensor) -> tf.Tensor:
    """Standard Gumbel noise, −log(−log u)."""
    return -tf.math.log(-tf.math.log(uniform))


def flatten(z: tf.Tensor) -> tf.Tensor:
    """Joins the last two axes: `[..., N·K]` from `[..., N, K]`."""
    return tf.reshape(z, [*z.shape[:-2], z.shape[-2] * z.shape[-1]])


def variables_of(latent_dim: int, categories: int) -> tuple[int, int]:
    """The shape N, K of the noise of L = N·K latents.

    Raises:
        SettingError: K does not divide L.
    """
    if categories < 2 or latent_dim % categories:
        two = 2 * max(2, categories)
        raise SettingError(
            "categories",
            categories,
            f"must be at least 2 and divide latent_dim={latent_dim}, because each variable takes a latent for each "
            f"category; with latent_dim={two} there are two variables of {two // 2} categories.",
        )
    return latent_dim // categories, categories
