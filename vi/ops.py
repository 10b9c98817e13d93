"""Numerical building blocks of bounds, in log space."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

STRIPES, LARGE = 16, 4096
"""The number of stripes of a tensor that is large, and the number of elements from which on it is."""


def log_mean_exp(x: tf.Tensor, axis: int) -> tf.Tensor:
    """log of the mean of exp(x) along `axis`, without overflow."""
    count = x.shape[axis]
    log_count = math.log(count) if count else tf.math.log(tf.cast(tf.shape(x)[axis], x.dtype))
    return tf.reduce_logsumexp(x, axis=axis) - log_count


@tf.custom_gradient
def softplus(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """log(1 + exp(x)), exact to rounding for all x, and quicker under XLA on CPUs than `tf.nn.softplus`.

    XLA's log1p computes a polynomial and a logarithm, and selects one of them. Here log(1 + e) is the logarithm of
    the rounded sum plus the first-order correction for its rounding.
    """
    e = tf.exp(-tf.abs(x))
    rounded = tf.maximum(1.0 + e, 1.0)  # without the maximum, graph optimizers take rounded − 1 for e
    correction = (e - (rounded - 1.0)) / rounded
    return tf.maximum(x, 0.0) + (tf.math.log(rounded) + correction), lambda upstream: upstream * tf.sigmoid(x)


def global_norm(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """The Euclidean norm of all elements of some tensors, a scalar."""
    return tf.sqrt(tf.add_n([_sum_of_squares(tensor) for tensor in tensors]))


def _sum_of_squares(x: tf.Tensor) -> tf.Tensor:
    """Σ x². The stripes of a large tensor are added up first: XLA vectorizes this on CPUs, but not a plain sum."""
    size = x.shape.num_elements()
    if size >= LARGE and size % STRIPES == 0:
        return tf.reduce_sum(tf.add_n([stripe**2 for stripe in tf.unstack(tf.reshape(x, [STRIPES, -1]))]))
    return tf.reduce_sum(x**2)
