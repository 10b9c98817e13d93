"""Synthetic data: drawn from a known model, or empty."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from vi import random
from vi.data.dataset import Dataset, Validation
from vi.kinds import AtLeast, Positive, Seed


def linear_gaussian_parameters(features: int, factors: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The loadings W `[features, factors]` and the mean `[features]` of `linear_gaussian`, standard normal draws."""
    draws = random.normal([features, factors + 1], random.seed(seed, "prior"), "float64").numpy()
    return draws[:, :factors], draws[:, factors]


def linear_gaussian(
    features: Annotated[int, Positive] = 12,
    factors: Annotated[int, Positive] = 4,
    sd: Annotated[float, Positive] = 0.5,
    size: Annotated[int, AtLeast(2)] = 10_000,
    seed: Seed = 0,
    validation: Validation = 0.1,
) -> Dataset:
    """Factor analysis with isotropic noise: x = W f + mean + sd · ε with f and ε standard normal, `[features]`.

    Args:
        features: the length of x.
        factors: the length of f.
        sd: the standard deviation of the noise.
        size: the number of training data, and of test data.
        seed: of W, the mean and the data.
        validation: a fraction or a count of the training data, or "test".
    """
    weights, mean = linear_gaussian_parameters(features, factors, seed)
    f = random.normal([2 * size, factors], random.seed(seed, "dream_prior"), "float64").numpy()
    noise = random.normal([2 * size, features], random.seed(seed, "dream_likelihood"), "float64").numpy()
    x = (f @ weights.T + mean + sd * noise).astype(np.float32)
    arrays = {"x_train": x[:size], "x_test": x[size:]}
    return Dataset(arrays, "linear-Gaussian data", validation=validation, seed=seed)


def nothing(size: Annotated[int, AtLeast(2)] = 10_000, seed: Seed = 0) -> Dataset:
    """No data, for `likelihood=none`: a single feature that is always 0.

    A mean over the data is then a mean over `size` independent draws of q.

    Args:
        size: the number of data in each split.
        seed: the seed of the noise in evaluations.
    """
    x = np.zeros([size, 1], np.float32)
    return Dataset({"x_train": x, "x_validation": x, "x_test": x}, "no data", validation="given", seed=seed)
