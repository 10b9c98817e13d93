"""Pictures of signal and noise of gradients against the number of samples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from vi.pictures.style import LOOKS, PAGE, open_figure

NAMES = {"generative": "θ, generative", "inference": "φ, inference"}
QUANTITIES = {
    "snr": ("signal-to-noise ratio of the gradient", r"\mathrm{SNR}", (-0.5, 0.5)),
    "variance": ("variance of the gradient, summed", r"\mathrm{Var}", (-1.0,)),
}
EXPONENTS = {-1.0: "-1", -0.5: "-1/2", 0.5: "1/2"}
MARKERS = "osD^vP"


def power_laws(path: Path, gradients: pd.DataFrame, slopes: pd.DataFrame, quantity: str) -> None:
    """Draws a quantity of gradients against S on logarithmic axes, with a panel for each parameter group.

    Numbers that are not positive are left out. Dotted lines have the slopes of theory: 1/2 and −1/2 for the SNR, −1
    for the variance.

    Args:
        path: the path of the picture.
        gradients: a row for each `estimator`, `samples` and `group`, with the quantity and `<quantity>_error`.
        slopes: the fitted `slope` with its `slope_error` for each `estimator`, `group` and `quantity`.
        quantity: "snr" or "variance".
    """
    label, symbol, references = QUANTITIES[quantity]
    fitted = slopes[slopes["quantity"] == quantity].set_index(["estimator", "group"])
    groups, estimators = gradients["group"].unique(), gradients["estimator"].unique()
    with open_figure(path, PAGE, 2.6 + 0.13 * len(estimators)) as figure:
        panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        panels[0].set_ylabel(label)
        for axes, group in zip(panels, groups, strict=True):
            axes.set(xscale="log", yscale="log", xlabel="samples S", title=NAMES[group])
            of_group = gradients[gradients["group"] == group]
            for number, estimator in enumerate(estimators):
                points = of_group[of_group["estimator"] == estimator].sort_values("samples")
                slope = fitted.loc[(estimator, group)]
                name = f"{estimator}:  {_law(symbol, slope['slope'], slope['slope_error'])}"
                shift = 1.03 ** (number - (len(estimators) - 1) / 2)  # so that equal numbers are drawn side by side
                _draw(axes, points, quantity, shift, number, name)
            ticks = np.sort(gradients["samples"].unique())
            axes.xaxis.set_major_locator(FixedLocator(ticks.tolist()))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xticklabels([f"{tick:,}" for tick in ticks])
        for axes in panels:  # after all lines, which set the limits
            axes.yaxis.set_minor_formatter(NullFormatter())
            _draw_references(axes, references)
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))


def _draw(axes: Axes, points: pd.DataFrame, quantity: str, shift: float, number: int, name: str) -> None:
    points = points[np.isfinite(points[quantity]) & (points[quantity] > 0)]
    y, error = points[quantity].to_numpy(), points[f"{quantity}_error"].to_numpy()
    look: dict[str, Any] = {"color": LOOKS[number % 6][0], "marker": MARKERS[number % 6], "markersize": 3.5}
    look |= {"linewidth": 1.0, "elinewidth": 0.8, "capsize": 1.5, "markerfacecolor": "none" if number % 2 else None}
    bars = np.stack([np.minimum(error, 0.9 * y), error])  # the lower end stays positive
    axes.errorbar(points["samples"] * shift, y, yerr=bars, label=name, **look)


def _draw_references(axes: Axes, references: tuple[float, ...]) -> None:
    """Draws dotted lines with the given slopes through the middle of the panel."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    x, middle = np.array([left, right]), math.sqrt(left * right)
    label = ", ".join(f"$S^{{{EXPONENTS[slope]}}}$" for slope in references)
    for slope in references:
        y = math.sqrt(low * high) * (x / middle) ** slope
        axes.plot(x, y, color="0.6", linewidth=0.8, linestyle=":", zorder=0, label=label)
        label = "_"  # once in the legend
    axes.set(xlim=(left, right), ylim=(low, high))


def _law(symbol: str, slope: float, error: float) -> str:
    if not math.isfinite(slope):
        return "no slope"
    digits = 2 if error >= 0.005 else 3
    return rf"${symbol} \propto S^{{{slope:+.{digits}f} \pm {error:.{digits}f}}}$"
