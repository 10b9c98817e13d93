"""The data and the noise of each step."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
import tensorflow as tf

from vi import random
from vi.data import Dataset
from vi.errors import ConfigError, RunError
from vi.models.base import Model
from vi.particles import Batch, Draws, Noise

Carried = tuple[tf.Tensor, ...]
"""The tensors that the compiled loop carries from step to step."""


class Batches(abc.ABC):
    """The data and the noise of each step, both a function of the step alone.

    Attributes:
        size: N, the number of training data.
        batch_size: B.
        seed: of the order of the data, of binarization, and of noise.
    """

    size: int
    batch_size: int
    seed: int

    @abc.abstractmethod
    def carried(self, step: int, before: Carried | None = None) -> Carried:
        """The tensors that the loop carries at its first step; `before` are the tensors that the last call returned."""

    @abc.abstractmethod
    def next(self, step: tf.Tensor, carried: Carried) -> tuple[Batch, Noise, Carried]:
        """The data and the noise of a step inside the compiled loop, and the tensors for the next step."""

    @abc.abstractmethod
    def at(self, step: int) -> tuple[Batch, Noise]:
        """The data and the noise of a step outside the loop."""

    @abc.abstractmethod
    def sources(self, index: np.ndarray) -> np.ndarray:
        """The positions in the array x_train, `[B]`, of the data `index` `[B]` of a batch."""

    @abc.abstractmethod
    def some(self, count: int) -> tuple[Batch, Noise]:
        """A few data with noise, as at step 0, for a trial step."""


class ResidentBatches(Batches):
    """Batches of data that are resident in memory.

    Step t takes the positions tB … tB+B−1 of the endless sequence perm(0), perm(1), … of random orders of the data, so
    every datum is seen equally often.

    Args:
        data: the data set; only `train` is used.
        model: draws the noise.
        draws: how much noise each datum needs.
        batch_size: B.
        seed: of the order of the data, of binarization, and of noise.
        noise: "fresh" noise at every step, or "fixed" noise, drawn once for each datum and used in every epoch.

    Raises:
        ConfigError: B exceeds the number of data.
        RunError: out of memory.
    """

    def __init__(
        self,
        data: Dataset,
        model: Model,
        draws: Draws,
        *,
        batch_size: int,
        seed: int = 0,
        noise: Literal["fresh", "fixed"] = "fresh",
    ):
        self.data, self.model, self.draws = data, model, draws
        self.size, self.batch_size, self.seed = len(data.train), batch_size, seed
        if batch_size > self.size:
            raise ConfigError(
                f"trainer.batch_size={batch_size}: exceeds the {self.size} training data that are not held out."
            )
        self._table: Noise | None = None
        if noise == "fixed":
            with explained_memory(batch_size, draws):
                self._table = self._draw(tf.range(self.size), 0)._replace(layers=None)

    def carried(self, step: int, before: Carried | None = None) -> Carried:
        """The orders of the step's epoch and of the next one, `[2N]`, and the epoch."""
        epoch = step * self.batch_size // self.size
        if before is not None and 0 <= epoch - int(before[1].numpy()) <= 1:
            return before
        order = tf.concat([self._permutation(epoch), self._permutation(epoch + 1)], 0)
        return order, tf.constant(epoch, tf.int64)

    def next(self, step: tf.Tensor, carried: Carried) -> tuple[Batch, Noise, Carried]:
        """The data and the noise of a step. At a new epoch, the order of the next epoch is drawn."""
        order, epoch = carried
        now = step * self.batch_size // self.size
        order = tf.cond(
            now > epoch, lambda: tf.concat([order[self.size :], self._permutation(now + 1)], 0), lambda: order
        )
        start = tf.cast(step * self.batch_size - now * self.size, tf.int32)
        index = tf.slice(order, [start], [self.batch_size])
        return self.batch(index, step), self.noise(index, step), (order, now)

    def at(self, step: int) -> tuple[Batch, Noise]:
        """The data and the noise of a step outside the loop."""
        index, number = self.index(step), tf.constant(step, tf.int64)
        return self.batch(index, number), self.noise(index, number)

    def some(self, count: int) -> tuple[Batch, Noise]:
        """The first few data with noise, as at step 0. If a batch holds all data, the few data count as all data."""
        index, step = tf.range(min(count, self.size)), tf.constant(0, tf.int64)
        batch = self.batch(index, step)
        whole = self.batch_size == self.size
        return batch._replace(size=len(index)) if whole else batch, self.noise(index, step)

    def sources(self, index: np.ndarray) -> np.ndarray:
        """The positions in the array x_train, `[B]`, of the data `index` `[B]`."""
        return index if self.data.train.index is None else self.data.train.index[index]

    def index(self, step: int) -> tf.Tensor:
        """The batch of a step, as positions in the training data, `[B]`."""
        epoch, start = divmod(step * self.batch_size, self.size)
        return tf.concat([self._permutation(epoch), self._permutation(epoch + 1)], 0)[start:][: self.batch_size]

    def batch(self, index: tf.Tensor, step: tf.Tensor) -> Batch:
        """The data `index` `[B]` as the model sees them at a step."""
        return self.data.batch(self.data.train, index, self._seed("binarization", step))

    def noise(self, index: tf.Tensor, step: tf.Tensor) -> Noise:
        """The noise of the data `index` `[B]` at a step: fresh, or fixed per datum. Random layers have fresh noise."""
        if self._table is None:
            return self._draw(index, step)
        own = tf.nest.map_structure(lambda t: None if t is None else tf.gather(t, index), self._table)
        return own._replace(layers=self.model.noise(Draws(), index, random.seed(self.seed, "train"), step).layers)

    def _draw(self, index: tf.Tensor, step: int | tf.Tensor) -> Noise:
        return self.model.noise(self.draws, index, random.seed(self.seed, "train"), step)

    def _seed(self, stream: str, step: int | tf.Tensor) -> tf.Tensor:
        return random.fold(random.seed(self.seed, stream), step)

    def _permutation(self, epoch: int | tf.Tensor) -> tf.Tensor:
        return random.permutation(self.size, self._seed("permutation", epoch))


@contextlib.contextmanager
def explained_memory(batch_size: int, draws: Draws) -> Iterator[None]:
    """Turns TensorFlow's out-of-memory error into a RunError that names the batch size and the samples."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise RunError(
            f"out of memory with trainer.batch_size={batch_size} and {draws.posterior} samples for each datum; lower "
            "one of them."
        ) from None
