"""Estimates on held-out data. They are independent of the training estimator, so runs can be compared."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from vi.data.dataset import Dataset, Split
from vi.errors import ConfigError
from vi.evaluation.blocks import DATA_BLOCK, Blocks
from vi.evaluation.chunks import Chunks, Layout, Limits
from vi.evaluation.statistics import Estimates, Statistics
from vi.models.base import Model
from vi.particles import Batch


class Evaluator:
    """Evaluates a model on the splits of a data set, with the same noise at every call.

    Memory depends on `chunk` and the size of a datum only (plus the results), not on S or N. The results depend on
    `chunk` by rounding only.

    Args:
        model: the model.
        data: the data set.
        jit: whether XLA compiles the estimates.
        poll: called between chunks; may raise an error to end an evaluation.
        chunk: the number of pairs of a datum and a sample that are computed at a time, rounded to whole blocks. None
            takes 8,000 on a CPU, 2,000 there without XLA, and 25 times as many on a GPU. Large events have fewer.
    """

    def __init__(
        self,
        model: Model,
        data: Dataset,
        jit: bool = True,
        poll: Callable[[], None] = lambda: None,
        chunk: int | None = None,
    ):
        self.model, self.data, self.poll = model, data, poll
        self._blocks = Blocks(model, data)
        self._chunks = Chunks(model, self._blocks, jit)
        self._limits = Limits.of(math.prod(data.event_shape), jit, chunk)

    def estimate(
        self, split: Split, samples: int, size: int | None = None, progress: Callable[[float], None] = lambda done: None
    ) -> Estimates:
        """Estimates with S = `samples` for the first `size` data of a split, for all of them if None.

        `progress` is called after each chunk with the fraction that is done. If the device is out of memory, the
        estimates begin anew with smaller chunks.
        """
        size = len(split) if size is None else min(size, len(split))
        while True:
            layout = Layout.of(len(split), samples, self._limits)
            try:
                return self._estimate(split, samples, size, layout, progress)
            except tf.errors.ResourceExhaustedError:
                if self._limits == self._limits.quarter():
                    raise
                self._limits = self._limits.quarter()

    def _estimate(
        self, split: Split, samples: int, size: int, layout: Layout, progress: Callable[[float], None]
    ) -> Estimates:
        """`estimate` in chunks of one layout."""
        rows, columns = layout.rows(size), layout.columns(samples)

        def chunks(row: int) -> Iterator[Statistics]:
            for column in range(columns):
                self.poll()
                yield self._chunks.statistics(split, row, column, samples, layout)
                progress((row * columns + column + 1) / (rows * columns))

        found = [functools.reduce(Statistics.merge, chunks(row)).estimates() for row in range(rows)]
        return Estimates(*(np.concatenate(arrays)[:size] for arrays in zip(*found, strict=True)))

    def means(self, split: Split, size: int | None = None) -> np.ndarray:
        """The posterior means E q[z] for the first `size` data of a split, for all of them if None, `[N, L]`."""
        return self._map(lambda batch, block: self.model.encode(batch).mean(), split, size)

    def kl_per_dimension(self, split: Split, size: int | None = None) -> np.ndarray | None:
        """KL(q(z|x) ‖ p(z)) of each latent dimension, `[N, L]`, in nats; None if it has no closed form.

        For the first `size` data of a split, for all of them if None.
        """

        def divergence(batch: Batch, block: tf.Tensor) -> tf.Tensor:
            return self.model.encode(batch).kl_per_dimension(self.model.marginal(batch))

        try:
            return self._map(divergence, split, size)
        except ConfigError:
            return None

    def squared_errors(self, split: Split) -> np.ndarray:
        """The mean over the elements of each datum of (x − E[x|z])², for one z ~ q(z|x), `[N]`."""

        def error(batch: Batch, block: tf.Tensor) -> tf.Tensor:
            z, _ = self.model.encode(batch).sample(self._blocks.noise(block, tf.constant(0), 1))
            residual = batch.x - self.model.decode(z, batch).mean()[:, 0]
            return tf.reduce_mean(tf.reshape(residual**2, [len(batch.x), -1]), axis=1)

        return self._map(error, split)

    def view(self, split: Split, index: Sequence[int]) -> tf.Tensor:
        """The data `index` `[B]` of a split as the model sees them at every evaluation, `[B, *event]`."""
        rows = [self._blocks.data(split, tf.constant(i // DATA_BLOCK)).x[i % DATA_BLOCK] for i in map(int, index)]
        return tf.stack(rows)

    def _map(
        self, function: Callable[[Batch, tf.Tensor], tf.Tensor], split: Split, size: int | None = None
    ) -> np.ndarray:
        """A function of a block of data and its number, for the first `size` data of a split, `[N, ...]`."""
        found, size = [], len(split) if size is None else min(size, len(split))
        for block in map(tf.constant, range(math.ceil(size / DATA_BLOCK))):
            self.poll()
            found.append(function(self._blocks.data(split, block), block))
        return np.concatenate(found)[:size]
