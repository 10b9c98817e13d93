"""Remarks on the scale of data: scales that defeat a network's initial weights, and splits on different scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

BLOCK = 2**22
"""The number of elements whose squares are in memory at a time."""
SCALE_DATA = 2000
"""The number of data of each split that are looked at."""
SPREAD = 1000
"""A table needs standardization if the ratio of two columns' standard deviations exceeds this."""
LARGE = 100
"""If a mean or a standard deviation exceeds this, the initial bound is extreme."""
SHIFTED, STRETCHED = 10, 20
"""The shift of a mean in standard deviations, and the ratio of standard deviations, of another scale."""


def standard_deviation(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The standard deviation `[*event]` of data `[N, *event]` around a mean `[*event]`, in double precision."""
    rows = max(1, BLOCK // mean.size)
    blocks = (x[start : start + rows] for start in range(0, len(x), rows))
    return np.sqrt(sum(((block - mean) ** 2).sum(axis=0) for block in blocks) / len(x))


def remarks(x: np.ndarray, divisor: float = 1.0, columns: Sequence[str] | None = None) -> Iterator[str]:
    """Sentences on training data `[N, *event]`, which the model sees divided by `divisor`, in a real likelihood.

    Columns of a table are called by `columns`, their names, or else by their numbers.
    """
    names = range(x[0].size) if columns is None else columns
    mean, sd = (each / divisor for each in _moments(x[:SCALE_DATA]))
    table, varying = x.ndim == 2, sd > 0
    if table and varying.any() and sd.max() > SPREAD * (least := sd[varying].min()):
        low, high = int(np.flatnonzero(sd == least)[0]), int(sd.argmax())
        yield (
            f"The standard deviations of the columns run from {least:.3g} (column {names[low]}) to {sd.max():.3g} "
            f"(column {names[high]}), so the wide columns decide the training; data.standardize=true gives all columns "
            "one scale."
        )
    elif max(np.abs(mean).max(), sd.max()) > LARGE:
        where = int(np.maximum(np.abs(mean), sd).argmax())
        place = f"column {names[where]} has" if table else "there is an element of"
        yield (
            f"The values of x_train are large: {place} mean {mean.flat[where]:.3g} and standard deviation "
            f"{sd.flat[where]:.3g}, so the training begins far from the data; data.standardize=true helps."
        )


def another_scale(name: str, x: np.ndarray, train: np.ndarray) -> str | None:
    """A sentence if a split `[N, *event]` is on another scale than the training data; None if it is not."""
    x, train = (each[:SCALE_DATA] for each in (x, train))
    x, train = (each if each.ndim == 2 else each.reshape(-1, 1) for each in (x, train))  # columns, or all elements
    (mean, sd), (mean_of_train, sd_of_train) = map(_moments, (x, train))
    shifted = np.abs(mean - mean_of_train) > SHIFTED * np.maximum(sd, sd_of_train)
    stretched = np.maximum(sd, sd_of_train) > STRETCHED * np.minimum(sd, sd_of_train)
    other = (shifted | stretched) & (sd > 0) & (sd_of_train > 0)
    if not other.any():
        return None
    i = int(other.argmax())
    column = f"column {i} of " if len(other) > 1 else ""
    return (
        f"{column}{name} has mean {mean[i]:.3g} and standard deviation {sd[i]:.3g}, but in x_train "
        f"{mean_of_train[i]:.3g} and {sd_of_train[i]:.3g}: are both on one scale?"
    )


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the standard deviation of data `[N, *event]`, `[*event]` each, in double precision."""
    mean = x.mean(axis=0, dtype=np.float64)
    return mean, standard_deviation(x, mean)
