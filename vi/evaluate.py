"""Estimates on held-out data that do not depend on the estimator trained with, so that runs compare."""

from __future__ import annotations

import dataclasses
import math

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
    """

    def __init__(self, model, data, jit: bool = True):
        self.model, self.data = model, data
        self._block = tf.function(self._block_estimates, jit_compile=jit)

    def estimate(self, split, samples: int, size: int | None = None) -> Estimates:
        """Estimates with S = `samples` on the first `size` data of a split, on all of them if None."""
        size = len(split) if size is None else min(size, len(split))
        width = min(samples, SAMPLE_BLOCK)
        blocks = []
        for block in range(math.ceil(size / DATA_BLOCK)):
            index = np.arange(block * DATA_BLOCK, (block + 1) * DATA_BLOCK)
            index = tf.constant(np.minimum(index, len(split) - 1), tf.int32)
            blocks.append(self._block(split, index, tf.constant(block), tf.constant(samples), width))
        log_likelihood, kl, iw_bound = (np.concatenate(arrays)[:size] for arrays in zip(*blocks, strict=True))
        implicit = np.isnan(kl).all()
        return Estimates(log_likelihood, None if implicit else kl, None if implicit else iw_bound)

    def view(self, split, index: np.ndarray) -> tf.Tensor:
        """The data `index` `[B]` of a split as the model sees them, `[B, *event]`."""
        seed = random.fold(random.seed(self.data.seed, "validation"), "people")
        return self.data.batch(split, tf.constant(index, tf.int32), random.fold(seed, int(index[0])))

    def means(self, split) -> np.ndarray:
        """The posterior means E q[z] of a whole split, `[N, L]`."""
        blocks = np.array_split(np.arange(len(split)), math.ceil(len(split) / 1000))
        return np.concatenate([self.model.encode(self.view(split, index)).mean() for index in blocks])

    def _block_estimates(self, split, index, block, samples, width: int):
        """One block of data: a loop over blocks of samples, with a running log-sum-exp of the weights."""
        seed = random.fold(random.seed(self.data.seed, "validation"), block)
        x = self.data.batch(split, index, random.fold(seed, "binarization"))
        zeros = tf.zeros([index.shape[0]], x.dtype)

        def add(i, log_likelihood, kl, log_sum):
            particles = self.model.particles(x, self.model.noise(Draws(posterior=width), index, seed, i))
            live = i * width + tf.range(width) < samples  # [width]
            log_likelihood += total(particles.log_likelihood, live)
            if particles.log_posterior is None:
                return i + 1, log_likelihood, kl * math.nan, log_sum * math.nan
            kl += total(particles.log_posterior - particles.log_prior, live)
            log_weight = tf.where(live, particles.log_weight, -math.inf)
            log_sum = tf.reduce_logsumexp(tf.concat([log_sum[:, None], log_weight], 1), axis=1)
            return i + 1, log_likelihood, kl, log_sum

        def total(values, live):
            return tf.reduce_sum(tf.where(live, values, 0.0), axis=1)

        _, log_likelihood, kl, log_sum = tf.while_loop(
            lambda i, *_: i * width < samples, add, [0, zeros, zeros, zeros - math.inf], parallel_iterations=1
        )
        count = tf.cast(samples, x.dtype)
        return log_likelihood / count, kl / count, log_sum - tf.math.log(count)


def knn_accuracy(train_means, train_labels, means, labels, neighbours: int = 10) -> float:
    """The accuracy of a k-nearest-neighbours classifier of labels, fitted on the posterior means of training data."""
    from sklearn.neighbors import KNeighborsClassifier

    return float(KNeighborsClassifier(neighbours).fit(train_means, train_labels).score(means, labels))
