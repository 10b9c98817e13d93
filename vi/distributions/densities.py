"""Examples of target densities for `prior=density`: log p̃(z) `[...]`, in nats, for z `[..., L]`."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from tensorflow_probability import distributions as tfd


def gaussian(z: tf.Tensor, scale_tril: Sequence[Sequence[float]]) -> tf.Tensor:
    """N(0, T Tᵀ) for a lower triangular T; normalized, so that log Z = 0."""
    return tfd.MultivariateNormalTriL(scale_tril=tf.constant(scale_tril, z.dtype)).log_prob(z)
