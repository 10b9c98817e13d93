"""Every random number of a run, as a function of (seed, stream, step) alone.

No generator has a state, so a resumed run draws the same numbers. Every number is made from random integers of the
Philox algorithm. These integers are the same with XLA and without it. TensorFlow's own uniform and normal numbers
differ with XLA.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

STREAMS = {
    name: number
    for number, name in enumerate(
        [
            "split",
            "binarization",
            "permutation",
            "train",
            "validation",
            "people",
            "posterior",
            "divergence",
            "prior",
            "dream_prior",
            "dream_likelihood",
            "diagnostics",
            "layers",
        ]
    )
}
"""The named, independent sequences of random numbers. Append to them; the order is part of every result."""


_WORDS = {"float32": (tf.int32, 8, 2.0**23), "float64": (tf.int64, 11, 2.0**52)}
"""Per dtype: integer type, low bits to drop so the rest fit the mantissa, and half the number of remaining values."""


def seed(number: int, stream: str) -> tf.Tensor:
    """Returns the seed `[2]` of a stream of a run with the seed `number`."""
    return tf.constant([number, STREAMS[stream]], tf.int32)


def fold(seed: tf.Tensor, data: int | str | tf.Tensor) -> tf.Tensor:
    """Returns the seed `[2]` of a part of a stream. `data` is the number of the part, or the name of a stream."""
    number = -1 - STREAMS[data] if isinstance(data, str) else data  # below every counter
    return tf.random.fold_in(seed, tf.cast(number, tf.int32), alg="philox")


def normal(shape: Sequence[int], seed: tf.Tensor, dtype: str) -> tf.Tensor:
    """Standard normal numbers: the normal quantiles of uniform numbers."""
    word, unused, _ = _WORDS[dtype]
    return normal_quantile(tf.bitwise.right_shift(_integers(shape, seed, word), tf.constant(unused, word)), dtype)


def normal_quantile(integers: tf.Tensor, dtype: str) -> tf.Tensor:
    """The normal quantile √2 erf⁻¹(u), always finite; u is the midpoint of the integer's cell in (−1, 1)."""
    u = (tf.cast(integers, dtype) + 0.5) / _WORDS[dtype][2]
    lower = math.sqrt(2.0) * tf.math.erfinv(-tf.abs(u))  # without XLA the upper tail is inexact and ends at infinity
    return tf.where(u < 0, lower, -lower)


def uniform(shape: Sequence[int], seed: tf.Tensor, dtype: str) -> tf.Tensor:
    """Uniform numbers strictly between 0 and 1."""
    word, unused, half = _WORDS[dtype]
    integers = tf.bitwise.right_shift(_integers(shape, seed, word), tf.constant(unused + 1, word))
    return (tf.cast(integers, dtype) + half / 2 + 0.5) / half


def permutation(size: int, seed: tf.Tensor) -> np.ndarray:
    """A random order of 0 … size−1, `[size]`."""
    return _sorted(_integers([size], seed, tf.int32).numpy())


def permutations(size: int, seed: tf.Tensor, first: int, count: int) -> np.ndarray:
    """`permutation` for each of `count` parts of a stream, from the part `first` on, `[count, size]`."""
    return _sorted(_parts_of_integers(size, seed, tf.constant(first, tf.int32), count).numpy())


@tf.function(jit_compile=True)
def _parts_of_integers(size: int, seed: tf.Tensor, first: tf.Tensor, count: int) -> tf.Tensor:
    return tf.map_fn(lambda part: _integers([size], fold(seed, part), tf.int32), first + tf.range(count))


def _sorted(integers: np.ndarray) -> np.ndarray:
    """The order that sorts integers stably along the last axis."""
    keys = np.left_shift(integers.astype(np.int64), 32) + np.arange(integers.shape[-1])  # distinct: any sort is stable
    return (np.sort(keys, axis=-1) & 0xFFFFFFFF).astype(np.int32)


def _integers(shape: Sequence[int], seed: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Uniform over all integers of the dtype."""
    return tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=dtype, alg="philox")


def bernoulli(probability: tf.Tensor, seed: tf.Tensor, dtype: str) -> tf.Tensor:
    """Independent draws of 0 and 1 with the given probability of 1; exact at 0 and at 1.

    Other probabilities are rounded to a multiple of 2⁻¹⁶. This halves the random bits and doubles the speed.
    """
    size = probability.shape.num_elements()
    words = _integers([(size + 1) // 2], seed, tf.uint32)
    high, low = (
        tf.bitwise.right_shift(words, tf.constant(16, tf.uint32)),
        tf.bitwise.bitwise_and(words, 0xFFFF),
    )
    halves = tf.concat([high, low], 0)[:size]  # uniform on 0 … 2¹⁶−1
    threshold = tf.cast(tf.round(probability * 65536.0), tf.int32)
    return tf.cast(tf.reshape(tf.cast(halves, tf.int32), probability.shape) < threshold, dtype)
