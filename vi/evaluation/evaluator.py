"""Estimates on held-out data that do not depend on the estimator trained with, so that runs compare."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from vi import random
from vi.errors import ConfigError
from vi.evaluation.statistics import Estimates, Statistics
from vi.particles import Draws, Noise, Particles

DATA_BLOCK, SAMPLE_BLOCK = 100, 10
"""Noise is drawn in blocks of so many data and so many samples, each with a seed of its own."""
CHUNK = 2000
"""Pairs of a datum and a sample that are computed at a time."""


class Evaluator:
    """Evaluates a model on the splits of a data set, with the same noise at every call.

    Binarization and noise follow from the data's seed alone. Memory grows with `chunk`, and beside the results neither
    with S nor with N; no result depends on `chunk` but by rounding.

    Args:
        model: a `LatentVariableModel`.
        data: a `Dataset`.
        jit: whether XLA compiles it.
        poll: called between chunks; may raise to end an evaluation.
        chunk: pairs of a datum and a sample that are computed at a time, rounded to whole blocks of noise.
    """

    def __init__(self, model, data, jit: bool = True, poll: Callable[[], None] = lambda: None, chunk: int = CHUNK):
        self.model, self.data, self.poll, self.chunk = model, data, poll, chunk
        self._statistics = tf.function(self._chunk_statistics, jit_compile=jit)

    def estimate(
        self, split, samples: int, size: int | None = None, progress: Callable[[float], None] = lambda done: None
    ) -> Estimates:
        """Estimates with S = `samples` on the first `size` data of a split, on all of them if None.

        `progress` is told from time to time what fraction is done.
        """
        size = len(split) if size is None else min(size, len(split))
        width = min(samples, SAMPLE_BLOCK)
        across = min(max(1, self.chunk // (DATA_BLOCK * width)), math.ceil(samples / width))
        down = max(1, self.chunk // (DATA_BLOCK * width * across))
        rows, columns = math.ceil(size / (down * DATA_BLOCK)), math.ceil(samples / (across * width))

        def chunks(row: int) -> Iterator[Statistics]:
            for column in range(columns):
                self.poll()
                first = tf.constant([row * down, column * across])
                arrays = self._statistics(split, first, tf.constant(samples), (down, across, width))
                live = min(across * width, samples - column * across * width)
                yield Statistics(live, *(np.asarray(array, np.float64) for array in arrays))
                progress((row * columns + column + 1) / (rows * columns))

        found = [functools.reduce(Statistics.merge, chunks(row)).estimates() for row in range(rows)]
        return Estimates(*(np.concatenate(arrays)[:size] for arrays in zip(*found, strict=True)))

    def means(self, split) -> np.ndarray:
        """The posterior means E q[z] of a whole split, `[N, L]`."""
        return self._map(lambda x, block: self.model.encode(x).mean(), split)

    def kl_per_dimension(self, split) -> np.ndarray | None:
        """KL(q(z|x) ‖ p(z)) of each latent dimension in closed form, `[N, L]`, in nats; None where there is none."""
        try:
            return self._map(lambda x, block: self.model.encode(x).kl_per_dimension(self.model.prior), split)
        except ConfigError:
            return None

    def squared_errors(self, split) -> np.ndarray:
        """The mean over the elements of each datum of (x − E[x|z])², for one z ~ q(z|x), `[N]`."""

        def error(x: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
            z, _ = self.model.encode(x).sample(self._noise(block, tf.constant(0), 1))
            return tf.reduce_mean(tf.reshape((x - self.model.decode(z).mean()[:, 0]) ** 2, [len(x), -1]), axis=1)

        return self._map(error, split)

    def view(self, split, index: Sequence[int]) -> tf.Tensor:
        """The data `index` `[B]` of a split as the model sees them at every evaluation, `[B, *event]`."""
        rows = [self._data_block(split, tf.constant(i // DATA_BLOCK))[i % DATA_BLOCK] for i in map(int, index)]
        return tf.stack(rows)

    def _map(self, function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], split) -> np.ndarray:
        """A function of a block of data and its number, for all of a split, `[N, ...]`."""
        found = []
        for block in map(tf.constant, range(math.ceil(len(split) / DATA_BLOCK))):
            self.poll()
            found.append(function(self._data_block(split, block), block))
        return np.concatenate(found)[: len(split)]

    def _data_block(self, split, block: tf.Tensor) -> tf.Tensor:
        """A block of data, `[DATA_BLOCK, *event]`; the last one is filled up with the last datum."""
        index = tf.minimum(block * DATA_BLOCK + tf.range(DATA_BLOCK), len(split) - 1)
        return self.data.batch(split, index, random.fold(self._seed(block), "binarization")).x

    def _noise(self, block: tf.Tensor, i: tf.Tensor, width: int) -> tf.Tensor:
        """The noise of the posterior for the i-th block of samples of a block of data, `[DATA_BLOCK, width, ...]`."""
        return self.model.noise(Draws(posterior=width), tf.range(DATA_BLOCK), self._seed(block), i).posterior

    def _seed(self, block: tf.Tensor) -> tf.Tensor:
        return random.fold(random.seed(self.data.seed, "validation"), block)

    def _chunk_statistics(self, split, first: tf.Tensor, samples: tf.Tensor, shape: tuple[int, int, int]):
        """The arrays of `Statistics` of the chunk whose first blocks of data and of samples are `first` `[2]`.

        `shape` is the number of its blocks of data and of samples, and the width of these.
        """
        down, across, width = shape
        first_block, first_column = first[0], first[1]

        def noise(i: tf.Tensor) -> tf.Tensor:
            return self._noise(first_block + i // across, first_column + i % across, width)

        x = each(lambda i: self._data_block(split, first_block + i), down)  # [down, DATA_BLOCK, *event]
        eps = each(noise, down * across)  # [down · across, DATA_BLOCK, width, ...]
        eps = tf.reshape(eps, [down, across, *eps.shape[1:]])
        eps = tf.experimental.numpy.swapaxes(eps, 1, 2)  # [down, DATA_BLOCK, across, width, ...]
        eps = tf.reshape(eps, [down * DATA_BLOCK, across * width, *eps.shape[4:]])
        particles = self.model.particles(tf.reshape(x, [down * DATA_BLOCK, *x.shape[2:]]), Noise(posterior=eps))
        exact_kl = _exact_kl(particles)
        live = first_column * width + tf.range(across * width) < samples
        values = [particles.log_likelihood]
        if particles.log_posterior is not None:
            values += [particles.log_posterior - particles.log_prior, particles.log_weight]
        mean = total(values, live) / tf.reduce_sum(tf.cast(live, x.dtype))
        square = total((values - mean[..., None]) ** 2, live)
        if particles.log_posterior is None:
            return mean, square, tf.zeros_like(mean[0]), tf.zeros([2, len(x)], x.dtype), exact_kl
        log_weight = tf.where(live, particles.log_weight, -math.inf)
        top = tf.maximum(tf.reduce_max(log_weight, 1), mean.dtype.min)  # finite, also if all weights are zero
        scaled = tf.exp(log_weight - top[:, None])
        return mean, square, top, tf.stack([tf.reduce_sum(scaled, 1), tf.reduce_sum(scaled**2, 1)]), exact_kl


def _exact_kl(particles: Particles) -> tf.Tensor:
    """KL(q(z|x) ‖ p(z)) in closed form, `[B]`, in nats; `[0]` where there is none.

    The KL of several stochastic layers depends on samples, so it is no closed form here.
    """
    try:
        terms = particles.posterior.kl_terms(particles.prior, particles.z)
    except ConfigError:
        terms = {}
    if len(terms) != 1 or next(iter(terms.values())).shape[1] != 1:
        return tf.zeros([0], particles.z.dtype)
    return particles.kl()


def each(function: Callable[[tf.Tensor], tf.Tensor], count: int) -> tf.Tensor:
    """The values of a function of 0 … count−1, `[count, ...]`; one at a time, so that it is compiled once."""
    if count == 1:
        return function(tf.constant(0))[None]
    return tf.map_fn(function, tf.range(count), fn_output_signature=keras.config.floatx(), parallel_iterations=1)


def total(values, live: tf.Tensor) -> tf.Tensor:
    """The sum of `values` `[..., n]` over the samples that are `live` `[n]`."""
    return tf.reduce_sum(tf.where(live, values, 0.0), axis=-1)
