"""The data and the noise of each step."""

from __future__ import annotations

import abc
import contextlib
import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import tensorflow as tf

from vi import random
from vi.data import Dataset
from vi.errors import ConfigError, RunError
from vi.models.base import Model
from vi.particles import Batch, Draws, Noise

Window = tuple[tf.Tensor, ...]
"""The tensors that the compiled loop reads for some steps in a row, such as the order of the data."""
WINDOW_STEPS, WINDOW_POSITIONS = 1000, 2**22
"""A window has about this many steps, unless the data are more, and at most this many positions, or two epochs."""


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
    def window(self, step: int, steps: int) -> tuple[Window, int]:
        """The tensors for the steps from `step` on, and the number of steps that they serve, at most `steps`.

        All windows have the same shapes.
        """

    @abc.abstractmethod
    def next(self, step: tf.Tensor, window: Window) -> tuple[Batch, Noise]:
        """The data and the noise of a step inside the compiled loop."""

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
        self._epochs = max(2, min(math.ceil(WINDOW_STEPS * batch_size / self.size) + 1, WINDOW_POSITIONS // self.size))
        self._start = 0
        self._window: Window = ()
        self._table: Noise | None = None
        if noise == "fixed":
            with explained_memory(batch_size, draws):
                self._table = self._draw(tf.range(self.size), 0)._replace(layers=None)

    def window(self, step: int, steps: int) -> tuple[Window, int]:
        """The orders of some epochs in a row, `[E·N]`, and the position in the endless sequence where they start."""
        served = self._served(step)
        if served < 1:
            epoch = step * self.batch_size // self.size
            orders = random.permutations(self.size, random.seed(self.seed, "permutation"), epoch, self._epochs)
            self._start = epoch * self.size
            self._window = tf.constant(orders.reshape(-1)), tf.constant(self._start, tf.int64)
            served = self._served(step)
        return self._window, min(steps, served)

    def next(self, step: tf.Tensor, window: Window) -> tuple[Batch, Noise]:
        """The data and the noise of a step inside the compiled loop."""
        order, start = window
        first = tf.cast(step * self.batch_size - start, tf.int32)
        index = tf.gather(order, first + tf.range(self.batch_size))  # XLA would compile each start of a slice
        return self.batch(index, step), self.noise(index, step)

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
        orders = random.permutations(self.size, random.seed(self.seed, "permutation"), epoch, 2)
        return tf.constant(orders.reshape(-1)[start:][: self.batch_size])

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

    def _served(self, step: int) -> int:
        """The number of steps from `step` on whose data lie in the window."""
        start = step * self.batch_size - self._start
        return (self._epochs * self.size - start) // self.batch_size if self._window and start >= 0 else 0


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
