"""Signal, noise and bias of gradients, computed from sums over repeats."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

BLOCKS = 10
"""The number of blocks of repeats. The errors come from the differences between blocks."""


@dataclasses.dataclass(frozen=True)
class Sums:
    """Sums over the gradients g `[P]` of one parameter group, in K blocks of repeats, in double precision.

    They sum the deviations d = g − shift, so that rounding adds no variance to a gradient without noise.

    Attributes:
        counts: the number of gradients in each block, `[K]`.
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
        """Signal and noise of R gradients g over all parameters of the group; the error of NAME is NAME_error.

        - `variance`: tr Cov g, the sum over parameters of unbiased estimates of their variances.
        - `norm`: ‖E g‖, the root of ‖ḡ‖² − variance/R, which estimates its square without bias; 0 if negative.
        - `snr`: norm/√variance; infinite without noise. Rainforth et al. (2018, eq. 10) define |E g|/sd for one
          parameter. `snr`² is the variance-weighted mean of the squares of these ratios. Its estimate is a ratio of
          unbiased estimates, so it has a bias of O(1/R).
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
        """‖E g − E g'‖² with its error, where `reference` has the sums of gradients g' for the same noise.

        The estimate is unbiased: the scalar product of the mean differences of two blocks, averaged over all pairs of
        different blocks. Without a bias it scatters around 0 and may be negative.
        """
        difference = self.sums - reference.sums + self.counts[:, None] * (self.shift - reference.shift)  # [K, P]
        products, counts = difference @ difference.T, np.outer(self.counts, self.counts)

        def estimate(kept: np.ndarray) -> np.ndarray:
            pairs = np.ix_(kept, kept)
            return np.array([_off_diagonal(products[pairs]) / _off_diagonal(counts[pairs])])

        value, error = _jackknife(estimate, len(self.counts))
        return {"bias_squared": float(value[0]), "bias_squared_error": float(error[0])}


def _jackknife(estimate: Callable[[np.ndarray], np.ndarray], blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """An estimate from all blocks, and its jackknife error. `estimate` is given the indices of the blocks to use."""
    every = np.arange(blocks)
    without = np.stack([estimate(np.delete(every, block)) for block in every])
    return estimate(every), np.sqrt((blocks - 1) * without.var(axis=0))


def _root(square: float, error: float) -> tuple[float, float]:
    """The root of a number, or 0 if the number is negative, and the error of the root."""
    positive = max(square, 0.0)
    return math.sqrt(positive), math.sqrt(positive + error) - math.sqrt(positive)


def _off_diagonal(matrix: np.ndarray) -> float:
    return float(matrix.sum() - np.trace(matrix))
