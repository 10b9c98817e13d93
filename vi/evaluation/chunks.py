"""Statistics of one chunk of an evaluation: several blocks of data with several blocks of samples, in one graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from vi.data.dataset import Split
from vi.errors import ConfigError
from vi.evaluation.blocks import DATA_BLOCK, SAMPLE_BLOCK, Blocks
from vi.evaluation.statistics import Statistics
from vi.graphs import Graph
from vi.models.base import Model
from vi.particles import Batch, Noise, Particles

PAIRS = {True: 8000, False: 2000}
"""The number of pairs in a chunk on a CPU with XLA, and without it, where every intermediate result is in memory."""
ELEMENTS = 2**23
"""The largest number of decoded elements, pairs × elements of the event, in a chunk of more than one datum on a CPU."""
GPU = 25
"""A chunk on a GPU has this many times as many pairs and elements."""
HEIGHTS = [height for height in range(1, DATA_BLOCK + 1) if DATA_BLOCK % height == 0]


class Limits(NamedTuple):
    """How large a chunk may be.

    Attributes:
        pairs: about the number of its pairs of a datum and a sample.
        most: the number of pairs that a chunk of more than one datum never exceeds, so that decoded events fit.
    """

    pairs: int
    most: int

    @classmethod
    def of(cls, elements: int, jit: bool = True, pairs: int | None = None) -> Limits:
        """The limits for events of `elements` elements on this machine; `pairs` as given, or as its device takes."""
        times = GPU if tf.config.list_physical_devices("GPU") else 1
        return cls(pairs or times * PAIRS[jit], max(1, times * ELEMENTS // elements))

    def quarter(self) -> Limits:
        """The limits of a smaller chunk."""
        return Limits(max(1, self.pairs // 4), max(1, self.most // 4))


class Layout(NamedTuple):
    """The size of a chunk.

    Attributes:
        down: the number of its blocks of data.
        across: the number of its blocks of samples.
        width: the number of samples in each of these.
        height: the number of data that it takes from each block of data; a part of one block if events are large.
    """

    down: int
    across: int
    width: int
    height: int = DATA_BLOCK

    @classmethod
    def of(cls, size: int, samples: int, limits: Limits) -> Layout:
        """The layout for `size` data with S = `samples`, in whole blocks; a part of one block if events are large.

        All chunks are about equally full.
        """
        width = min(samples, SAMPLE_BLOCK)
        height = max(height for height in HEIGHTS if height == 1 or height * width <= limits.most)
        if height < DATA_BLOCK:
            return cls(1, 1, width, height)
        blocks = min(limits) // (DATA_BLOCK * width)
        across = _even(math.ceil(samples / width), blocks)
        return cls(_even(math.ceil(size / DATA_BLOCK), blocks // across), across, width)

    @property
    def data(self) -> int:
        """The number of data in a chunk."""
        return self.down * self.height

    def rows(self, size: int) -> int:
        """The number of chunks that hold `size` data."""
        return math.ceil(size / self.data)

    def columns(self, samples: int) -> int:
        """The number of chunks that hold `samples` samples."""
        return math.ceil(samples / (self.across * self.width))


class Chunks:
    """Computes the statistics of chunks.

    Args:
        model: the model.
        blocks: give data and noise.
        jit: whether XLA compiles the statistics.
    """

    def __init__(self, model: Model, blocks: Blocks, jit: bool):
        self.model, self.blocks = model, blocks
        self._graph = Graph(self._arrays, jit)

    def statistics(self, split: Split, row: int, column: int, samples: int, layout: Layout) -> Statistics:
        """The statistics of one chunk. Its row selects the data, its column the samples out of S = `samples`."""
        first = tf.constant([row * layout.data, column * layout.across])
        arrays = self._graph(split, first, tf.constant(samples), tuple(layout))
        live = min(layout.across * layout.width, samples - column * layout.across * layout.width)
        return Statistics(live, *(np.asarray(array, np.float64) for array in arrays))

    def _arrays(
        self, split: Split, first: tf.Tensor, samples: tf.Tensor, layout: tuple[int, int, int, int]
    ) -> tuple[tf.Tensor, ...]:
        """The arrays of `Statistics` for one chunk; `first` `[2]` are its first datum and first block of samples."""
        chosen = Layout(*layout)
        particles = self.model.particles(self._batch(split, first[0], chosen), self._noise(first, chosen))
        live = first[1] * chosen.width + tf.range(chosen.across * chosen.width) < samples
        return *reduce_samples(particles, live), exact_kl(particles)

    def _batch(self, split: Split, first: tf.Tensor, layout: Layout) -> Batch:
        """The data of a chunk from the datum `first` on, `[layout.data, *event]`."""
        block = first // DATA_BLOCK
        x = each(lambda i: self.blocks.data(split, block + i).x, layout.down)  # [down, DATA_BLOCK, *event]
        x = _part(tf.reshape(x, [layout.down * DATA_BLOCK, *x.shape[2:]]), first, layout)
        return Batch(x, index=self.blocks.index(split, first, layout.data), size=len(split))

    def _noise(self, first: tf.Tensor, layout: Layout) -> Noise:
        """The noise of a chunk, `[layout.data, across · width, ...]`."""
        down, across, width, _ = layout
        block = first[0] // DATA_BLOCK

        def of_block(i: tf.Tensor) -> tf.Tensor:
            return self.blocks.noise(block + i // across, first[1] + i % across, width)

        eps = each(of_block, down * across)  # [down · across, DATA_BLOCK, width, ...]
        eps = tf.reshape(eps, [down, across, *eps.shape[1:]])
        eps = tf.experimental.numpy.swapaxes(eps, 1, 2)  # [down, DATA_BLOCK, across, width, ...]
        eps = tf.reshape(eps, [down * DATA_BLOCK, across * width, *eps.shape[4:]])
        return Noise(posterior=_part(eps, first[0], layout))


def _even(count: int, most: int) -> int:
    """The size of equal parts of `count` things: as few parts as possible, of at most `most` things, or of one."""
    return math.ceil(count / math.ceil(count / max(1, most)))


def _part(rows: tf.Tensor, first: tf.Tensor, layout: Layout) -> tf.Tensor:
    """The rows of a chunk from the datum `first` on, out of the rows of its whole blocks."""
    if layout.height == DATA_BLOCK:
        return rows
    return tf.gather(rows, first % DATA_BLOCK + tf.range(layout.height))  # XLA would compile each start of a slice


def reduce_samples(particles: Particles, live: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The arrays of `Statistics` over those samples of particles that are `live` `[S]`, except `exact_kl`.

    Raises:
        ConfigError: the samples stand for different masses.
    """
    if particles.mass is not None:
        raise ConfigError(
            f"the posterior {particles.posterior.name} enumerates latents, whose probabilities the evaluation does not "
            "weigh; evaluate with particles.elbo() and particles.iw_bound()."
        )
    log_prior, log_posterior, values = particles.log_prior, particles.log_posterior, [particles.log_likelihood]
    if log_prior is not None and log_posterior is not None:
        values += [log_posterior - log_prior, particles.log_weight]
    dtype = particles.log_likelihood.dtype
    mean = total(values, live) / tf.reduce_sum(tf.cast(live, dtype))
    square = total((values - mean[..., None]) ** 2, live)
    if len(values) == 1:  # q or p is implicit
        return mean, square, tf.zeros_like(mean[0]), tf.zeros([2, *mean[0].shape], dtype)
    log_weight = tf.where(live, particles.log_weight, -math.inf)
    top = tf.maximum(tf.reduce_max(log_weight, 1), mean.dtype.min)  # finite, also if all weights are zero
    scaled = tf.exp(log_weight - top[:, None])
    return mean, square, top, tf.stack([tf.reduce_sum(scaled, 1), tf.reduce_sum(scaled**2, 1)])


def exact_kl(particles: Particles) -> tf.Tensor:
    """KL(q(z|x) ‖ p(z)) in closed form, `[B]`, in nats; `[0]` if there is none.

    With several stochastic layers the KL depends on samples, so there is no closed form.
    """
    try:
        terms = list(particles.posterior.kl_terms(particles.prior, particles.z).values())
    except ConfigError:
        terms = []
    if len(terms) != 1 or terms[0].shape[1] != 1:
        return tf.zeros([0], particles.z.dtype)
    return particles.kl()


def each(function: Callable[[tf.Tensor], tf.Tensor], count: int) -> tf.Tensor:
    """The values of a function at 0 … count−1, `[count, ...]`, computed in a loop so that it is compiled once."""
    if count == 1:
        return function(tf.constant(0))[None]
    return tf.map_fn(function, tf.range(count), fn_output_signature=keras.config.floatx(), parallel_iterations=1)


def total(values: tf.Tensor | list[tf.Tensor], live: tf.Tensor) -> tf.Tensor:
    """The sum of `values` `[..., S]` over the samples that are `live` `[S]`."""
    return tf.reduce_sum(tf.where(live, values, 0.0), axis=-1)
