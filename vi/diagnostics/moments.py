"""Signal, noise and bias of gradients, from their sums."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

BLOCKS = 10
"""Repeats are added up in so many blocks, from which the errors follow."""


@dataclasses.dataclass(frozen=True)
class Sums:
    """Sums over the gradients g `[P]` of one parameter group, one for each noise, in K blocks, in double precision.

    They are of the deviations d = g − shift, so that a gradient without noise has none by rounding either.

    Attributes:
        counts: the gradients in each block, `[K]`.
        shift: one of the gradients, `[P]`.
        sums: Σ d of each block, `[K, P]`.
        squares: Σ ‖d‖² of each block, `[K]`.
    """

    counts: np.ndarray
    shift: np.ndarray
    sums: np.ndarray
    squares: np.ndarray

    @np.errstate(divide="ignore", invalid="ignore")
    def moments(self) -> dict[str, float]:
        """Signal and noise of R gradients g, with `_error`s, over all parameters of the group.

        - `variance`: tr Cov g, the sum over the parameters of the unbiased estimates of their variances.
        - `norm`: ‖E g‖, the root of the unbiased estimate ‖ḡ‖² − variance/R of its square; 0 if that is negative.
        - `snr`: norm/√variance. That of Rainforth et al. (2018, eq. 10) is |E g|/sd of one parameter; the square of
          this one is the mean of their squares, weighted by the variances. Infinite without noise. A ratio of
          unbiased estimates is not unbiased: its square has a bias of O(1/R).
        """

        def estimate(kept: np.ndarray) -> np.ndarray:
            count, total, squares = (part[kept].sum(axis=0) for part in (self.counts, self.sums, self.squares))
            variance = max(squares - total @ total / count, 0.0) / (count - 1)
            mean = self.shift + total / count
            square = mean @ mean - variance / count
            return np.array([square, variance, square / np.float64(variance)])

        (square, variance, ratio), errors = _jackknife(estimate, len(self.counts))
        found = {"norm": _root(square, errors[0]), "variance": (variance, errors[1]), "snr": _root(ratio, errors[2])}
        return {name: pair[0] for name, pair in found.items()} | {
            f"{name}_error": pair[1] for name, pair in found.items()
        }

    def squared_bias(self, reference: Sums) -> dict[str, float]:
        """‖E g − E g'‖² with its error, g' being gradients of the same noises whose sums are `reference`.

        Unbiased: the mean over all pairs of different blocks of the scalar product of their mean differences. It
        scatters around 0, to both sides, where there is no bias.
        """
        difference = self.sums - reference.sums + self.counts[:, None] * (self.shift - reference.shift)  # [K, P]
        products, counts = difference @ difference.T, np.outer(self.counts, self.counts)

        def estimate(kept: np.ndarray) -> np.ndarray:
            pairs = np.ix_(kept, kept)
            return np.array([_off_diagonal(products[pairs]) / _off_diagonal(counts[pairs])])

        value, error = _jackknife(estimate, len(self.counts))
        return {"bias_squared": float(value[0]), "bias_squared_error": float(error[0])}


def _jackknife(estimate: Callable[[np.ndarray], np.ndarray], blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Estimates from the blocks with the given numbers, and their errors from leaving out one block at a time."""
    every = np.arange(blocks)
    without = np.stack([estimate(np.delete(every, block)) for block in every])
    return estimate(every), np.sqrt((blocks - 1) * without.var(axis=0))


def _root(square: float, error: float) -> tuple[float, float]:
    """The root of a number that may be negative by chance, and its error: that of one error more of the number."""
    positive = max(square, 0.0)
    return math.sqrt(positive), math.sqrt(positive + error) - math.sqrt(positive)


def _off_diagonal(matrix: np.ndarray) -> float:
    return float(matrix.sum() - np.trace(matrix))
