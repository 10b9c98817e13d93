"""Estimates on held-out data that do not depend on the estimator trained with, so that runs compare."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from vi import random
from vi.types import Draws

DATA_BLOCK, SAMPLE_BLOCK = 100, 10
"""Noise is drawn in blocks of so many data and so many samples, each with a seed of its own."""


@dataclasses.dataclass(frozen=True)
class Estimates:
    """Monte Carlo estimates for each of N data, `[N]`, in nats; the last two are None for an implicit q.

    Attributes:
        log_likelihood: E log p(x|z), the mean over S samples.
        kl: KL(q(z|x) ‖ p(z)), the mean of log q(z|x) − log p(z).
        iw_bound: log of the mean of S importance weights (Burda et al., 2015, eq. 8).
    """

    log_likelihood: np.ndarray
    kl: np.ndarray | None
    iw_bound: np.ndarray | None


class Evaluator:
    """Evaluates a model on the splits of a data set, with the same noise at every call.

    Binarization and noise follow from the data's seed alone. Memory grows neither with S nor with N.

    Args:
        model: a `LatentVariableModel`.
        data: a `Dataset`.
        jit: whether XLA compiles it.
        check: called between blocks of data; may raise to end an evaluation.
    """

    def __init__(self, model, data, jit: bool = True, check: Callable[[], None] = lambda: None):
        self.model, self.data, self.check = model, data, check
        self._block = tf.function(self._block_estimates, jit_compile=jit)

    def estimate(self, split, samples: int, size: int | None = None) -> Estimates:
        """Estimates with S = `samples` on the first `size` data of a split, on all of them if None."""
        size = len(split) if size is None else min(size, len(split))
        width = min(samples, SAMPLE_BLOCK)
        blocks = []
        for block in range(math.ceil(size / DATA_BLOCK)):
            self.check()
            blocks.append(self._block(split, tf.constant(block), tf.constant(samples), width))
        log_likelihood, *others = (np.concatenate(arrays)[:size] for arrays in zip(*blocks, strict=True))
        return Estimates(log_likelihood, *others) if others else Estimates(log_likelihood, None, None)

    def means(self, split) -> np.ndarray:
        """The posterior means E q[z] of a whole split, `[N, L]`."""
        means = []
        for block in range(math.ceil(len(split) / DATA_BLOCK)):
            self.check()
            means.append(self.model.encode(self._data_block(split, tf.constant(block))).mean())
        return np.concatenate(means)[: len(split)]

    def view(self, split, index: Sequence[int]) -> tf.Tensor:
        """The data `index` `[B]` of a split as the model sees them at every evaluation, `[B, *event]`."""
        rows = [self._data_block(split, tf.constant(i // DATA_BLOCK))[i % DATA_BLOCK] for i in map(int, index)]
        return tf.stack(rows)

    def _data_block(self, split, block: tf.Tensor) -> tf.Tensor:
        """A block of data, `[DATA_BLOCK, *event]`; the last one is filled up with the last datum."""
        index = tf.minimum(block * DATA_BLOCK + tf.range(DATA_BLOCK), len(split) - 1)
        return self.data.batch(split, index, random.fold(self._seed(block), "binarization"))

    def _seed(self, block: tf.Tensor) -> tf.Tensor:
        return random.fold(random.seed(self.data.seed, "validation"), block)

    def _block_estimates(self, split, block, samples, width: int) -> tuple[tf.Tensor, ...]:
        """One block of data: a loop over blocks of samples, with a running log-sum-exp of the weights."""
        x = self._data_block(split, block)
        index, zeros = tf.range(DATA_BLOCK), tf.zeros([DATA_BLOCK], x.dtype)

        def add(i, log_likelihood, kl, log_sum):
            particles = self.model.particles(x, self.model.noise(Draws(posterior=width), index, self._seed(block), i))
            live = i * width + tf.range(width) < samples  # [width]
            log_likelihood += total(particles.log_likelihood, live)
            if particles.log_posterior is not None:
                kl += total(particles.log_posterior - particles.log_prior, live)
                log_weight = tf.where(live, particles.log_weight, -math.inf)
                log_sum = tf.reduce_logsumexp(tf.concat([log_sum[:, None], log_weight], 1), axis=1)
            explicit.append(particles.log_posterior is not None)
            return i + 1, log_likelihood, kl, log_sum

        def total(values, live):
            return tf.reduce_sum(tf.where(live, values, 0.0), axis=1)

        explicit: list[bool] = []  # known once the loop is traced
        _, log_likelihood, kl, log_sum = tf.while_loop(
            lambda i, *_: i * width < samples, add, [0, zeros, zeros, zeros - math.inf], parallel_iterations=1
        )
        count = tf.cast(samples, x.dtype)
        if not explicit[-1]:
            return (log_likelihood / count,)
        return log_likelihood / count, kl / count, log_sum - tf.math.log(count)


def knn_accuracy(train_means, train_labels, means, labels, neighbours: int = 10) -> float | None:
    """The accuracy of a k-nearest-neighbours classifier of labels, fitted on the posterior means of training data.

    None where the labels are no whole numbers, or there are fewer training data than neighbours.
    """
    from sklearn.neighbors import KNeighborsClassifier

    if train_labels.dtype.kind not in "iu" or len(train_means) < neighbours:
        return None
    return float(KNeighborsClassifier(neighbours).fit(train_means, train_labels).score(means, labels))
