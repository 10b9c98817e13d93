"""Power laws of signal and noise in the number of samples."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def fit_slopes(gradients: pd.DataFrame) -> pd.DataFrame:
    """The exponents a in SNR ∝ S^a and in variance ∝ S^a, for each estimator and group of `diagnose`.

    The fit is a least-squares line through the logarithms, weighted by their errors. It leaves out a number if the
    error exceeds a quarter of it, since the logarithm is then too uncertain. It also leaves out S = 1, because the
    power laws hold for large S only. The error is the error of the weighted fit; it is multiplied by √(χ²/ν) if the
    points scatter by more than their errors. The slope and its error are nan if fewer than two points remain.

    Returns:
        `estimator`, `group`, `quantity` ("snr" or "variance"), `slope`, `slope_error`.
    """
    rows = [
        {"estimator": estimator, "group": group, "quantity": quantity, "slope": slope, "slope_error": error}
        for (estimator, group), points in gradients.groupby(["estimator", "group"], sort=False)
        for quantity in ("snr", "variance")
        for slope, error in [_power_law(*points[["samples", quantity, f"{quantity}_error"]].to_numpy(float).T)]
    ]
    return pd.DataFrame(rows)


def _power_law(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """The exponent of y as a power of x, and its error."""
    usable = np.isfinite(y) & (error > 0) & (error < y / 4) & (x > 1)
    if len(set(x[usable])) < 2:
        return math.nan, math.nan
    x, y, weight = np.log(x[usable]), np.log(y[usable]), (y[usable] / error[usable]) ** 2
    x = x - weight @ x / weight.sum()
    spread = weight @ x**2
    slope = weight @ (x * y) / spread
    residual = y - weight @ y / weight.sum() - slope * x
    scatter = weight @ residual**2 / max(len(x) - 2, 1)
    return float(slope), float(math.sqrt(max(scatter, 1) / spread))
