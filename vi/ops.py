"""Numerical building blocks of bounds, in log space."""

from __future__ import annotations

import math

import tensorflow as tf


def log_mean_exp(x: tf.Tensor, axis: int) -> tf.Tensor:
    """log of the mean of exp(x) along `axis`, without overflow."""
    count = x.shape[axis]
    log_count = math.log(count) if count else tf.math.log(tf.cast(tf.shape(x)[axis], x.dtype))
    return tf.reduce_logsumexp(x, axis=axis) - log_count
