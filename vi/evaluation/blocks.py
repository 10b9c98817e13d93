"""Data and noise of an evaluation in blocks. Each block has its own seed, so every evaluation sees the same numbers."""

from __future__ import annotations

import tensorflow as tf

from vi import random
from vi.data.dataset import Dataset, Split
from vi.models.base import Model
from vi.particles import Batch, Draws

DATA_BLOCK, SAMPLE_BLOCK = 100, 10
"""Noise is drawn in blocks of this many data and this many samples."""


class Blocks:
    """The blocks of a data set for a model. Binarization and noise follow from the data's seed alone.

    Args:
        model: draws the noise.
        data: the data set.
    """

    def __init__(self, model: Model, data: Dataset):
        self.model, self.dataset = model, data

    def data(self, split: Split, block: tf.Tensor) -> Batch:
        """A block of data, `[DATA_BLOCK, *event]`. The last block is filled up with the last datum."""
        index = self.index(split, block * DATA_BLOCK, DATA_BLOCK)
        return self.dataset.batch(split, index, random.fold(self._seed(block), "binarization"))

    def index(self, split: Split, first: tf.Tensor, count: int) -> tf.Tensor:
        """The positions of `count` data from the datum `first` on, `[count]`. After the last datum it is repeated."""
        return tf.minimum(first + tf.range(count), len(split) - 1)

    def noise(self, block: tf.Tensor, i: tf.Tensor, width: int) -> tf.Tensor:
        """The posterior's noise for a block of data and its i-th block of samples, `[DATA_BLOCK, width, ...]`."""
        return self.model.noise(Draws(posterior=width), tf.range(DATA_BLOCK), self._seed(block), i).posterior

    def _seed(self, block: tf.Tensor) -> tf.Tensor:
        return random.fold(random.seed(self.dataset.seed, "validation"), block)
