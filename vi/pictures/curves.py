"""Curves of one training, of several trainings side by side, and of a sweep over β."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vi.pictures.style import BLUE, COLUMN, GREEN, LOOKS, ORANGE, PAGE, integer_axis, open_figure
from vi.text import plain

TRAIN = {"label": "train", "color": ORANGE, "linestyle": "--"}
VALIDATION = {"label": "validation", "color": BLUE, "linestyle": "-"}
WEIGHTED = {"label": "validation, importance-weighted", "color": GREEN, "linestyle": ":"}
CURVES: dict[str, dict[str, dict[str, Any]]] = {
    "negative ELBO": {"train/elbo": TRAIN, "validation/elbo": VALIDATION, "validation/iw_bound": WEIGHTED},
    r"reconstruction, $-\mathrm{E}_q\,\log\,p(x|z)$": {"train/nll": TRAIN, "validation/nll": VALIDATION},
    r"$\mathrm{KL}(q(z|x)\,\Vert\,p(z))$": {"train/kl": TRAIN, "validation/kl": VALIDATION},
}


def curves(path: Path, metrics: pd.DataFrame) -> None:
    """Draws the negative ELBO and its two terms over the epochs, in nats per datum.

    `metrics` has the rows of metrics.csv, at least one. Empty cells and missing columns are left out.
    """
    with open_figure(path, PAGE, 2.3) as figure:
        legend = {}
        for axes, (title, columns) in zip(figure.subplots(1, 3, sharex=True), CURVES.items(), strict=True):
            axes.set(title=title, xlabel="epoch", ylabel="nats per datum")
            values = metrics.reindex(columns=list(columns)).astype(float).set_index(metrics["epoch"])
            values = values.replace([np.inf, -np.inf], np.nan).dropna(how="all")
            if title == "negative ELBO":
                values = -values
            for column, look in columns.items():
                y = values[column].dropna()
                if len(y):
                    look = look | {"marker": "o" if len(y) <= 10 else ""}
                    (legend[look["label"]],) = axes.plot(y.index, y, markersize=2.5, linewidth=1.1, **look)
            if values.empty:
                axes.set_yticks([])
                axes.text(0.5, 0.5, "not recorded", color="0.4", ha="center", transform=axes.transAxes)
            else:
                _cut(axes, values)
            integer_axis(axes, metrics["epoch"].to_numpy(), ticks=5)
        if legend:
            figure.legend(handles=list(legend.values()), loc="outside upper center", ncols=3)


def comparison(path: Path, curves: pd.DataFrame, metrics: Sequence[str], notes: Sequence[str] = ()) -> None:
    """Draws learning curves of several settings against epochs and against seconds, a row of panels per metric.

    Args:
        path: the path of the picture.
        curves: a row for each point: `setting`, `run`, `epoch`, `seconds` and the metrics. For a mean over seeds `run`
            is empty, and `<metric> standard error` is drawn as a band. Else `run` names a single run, which is drawn
            dashed.
        metrics: the columns to draw.
        notes: sentences above the panels.
    """
    looks = dict(zip(curves["setting"].unique(), itertools.cycle(LOOKS), strict=False))
    labels = [textwrap.fill(textwrap.shorten(plain(setting), 500), 110).replace("$", r"\$") for setting in looks]
    columns = max(1, min(4, 124 // max((len(label) + 8 for label in labels), default=124)))
    lines = ["Means over seeds ± standard error over seeds; runs that have not finished are dashed.", *notes]
    heading = "\n".join(textwrap.fill(plain(line), 125) for line in lines)
    rows = math.ceil(len(labels) / columns) + heading.count("\n") + sum(label.count("\n") for label in labels)
    with open_figure(path, PAGE, 2.4 * max(len(metrics), 1) + 0.15 * rows + 0.2) as figure:
        figure.suptitle(heading, x=0.01, ha="left", fontsize=7, parse_math=False)
        panels = figure.subplots(max(len(metrics), 1), 2, sharex="col", sharey="row", squeeze=False)
        for (by_epoch, by_seconds), metric in zip(panels, metrics, strict=False):
            by_epoch.set_ylabel(f"{metric}\nin nats per datum")
            for (setting, run), line in curves.dropna(subset=metric).groupby(["setting", "run"], observed=True):
                for axes, x in ((by_epoch, "epoch"), (by_seconds, "seconds")):
                    _draw_line(axes, line[x], line[metric], line[f"{metric} standard error"], looks[setting], bool(run))
            if limits := focus(curves, metric):
                by_epoch.set_ylim(limits)
        panels[-1, 0].set_xlabel("epoch")
        panels[-1, 1].set_xlabel("seconds, mean over seeds")
        if not metrics:
            panels[0, 0].text(0.5, 0.5, "no curves yet", color="0.4", ha="center", transform=panels[0, 0].transAxes)
        handles = [Line2D([], [], linewidth=1.2, markersize=3, color=c, marker=m) for c, m in looks.values()]
        if handles:
            figure.legend(handles, labels, loc="outside lower left", ncols=columns, handlelength=1.6)


def focus(curves: pd.DataFrame, metric: str) -> tuple[float, float] | None:
    """Limits of the y axis without the first tenth of the epochs; None if the other epochs take half of the height.

    The curves are as in `comparison`. Unfinished runs count only if there are no means.
    """
    curves = curves.dropna(subset=metric)
    curves = curves[curves["run"] == ""] if (curves["run"] == "").any() else curves
    epochs = curves.groupby(["setting", "run"], observed=True)["epoch"]
    start, end = epochs.transform("min"), epochs.transform("max")
    late = curves.loc[curves["epoch"] > start + (end - start) / 10, metric]
    if len(late) < 4:
        return None
    height = late.max() - late.min()
    if not 0 < 2 * height < curves[metric].max() - curves[metric].min():
        return None
    return late.min() - 0.1 * height, late.max() + 0.1 * height


def rate_distortion(path: Path, points: pd.DataFrame) -> None:
    """Draws a line through the points of a sweep over β, each marked with its β.

    Args:
        path: the path of the picture.
        points: a row for each point: `beta`, `rate` and `distortion` in nats per datum, and, if there are several
            seeds, `rate standard error` and `distortion standard error`.
    """
    points = points.sort_values("rate")
    errors = points.reindex(columns=["rate standard error", "distortion standard error"]).astype(float).fillna(0)
    with open_figure(path, COLUMN, 0.8 * COLUMN) as figure:
        axes = figure.add_subplot(xlabel=r"rate, $\mathrm{KL}(q(z|x)\,\Vert\,p(z))$, in nats per datum")
        axes.set_ylabel(r"distortion, $-\mathrm{E}_q\,\log\,p(x|z)$, in nats per datum")
        x_error, y_error = errors.to_numpy().T
        rate, distortion = points["rate"], points["distortion"]
        look: dict[str, Any] = {"color": BLUE, "markersize": 3, "linewidth": 1.1, "elinewidth": 0.8, "capsize": 1.5}
        axes.errorbar(rate, distortion, yerr=y_error, xerr=x_error, fmt="-o", **look)
        room = np.ptp(rate) or 1
        axes.set_xlim(rate.min() - 0.08 * room, rate.max() + 0.3 * room)  # room for the last label
        axes.margins(y=0.1)
        for beta, x, y in zip(points["beta"], rate, distortion, strict=True):  # above a convex curve there is room
            name = rf"$\beta = {beta:g}$"
            axes.annotate(name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)


def _draw_line(axes: Axes, x: pd.Series, y: pd.Series, error: pd.Series, look: tuple[str, str], single: bool) -> None:
    colour, marker = look
    axes.plot(
        x,
        y,
        color=colour,
        linestyle="--" if single else "-",
        linewidth=0.9 if single else 1.2,
        marker="" if single and len(x) > 10 else marker or ("o" if len(x) <= 10 else ""),
        markevery=math.ceil(len(x) / 8),
        markersize=3,
    )
    axes.fill_between(x, y - error, y + error, color=colour, alpha=0.2, linewidth=0)


def _cut(axes: Axes, values: pd.DataFrame) -> None:
    """Cuts off the first tenth of the epochs at the top if it would take more than half of the height."""
    epoch = values.index.to_numpy(dtype=float)
    late = values[epoch > epoch.min() + (epoch.max() - epoch.min()) / 10]
    if late.index.nunique() < 4:
        return
    low, high, top = np.nanmin(values.to_numpy()), np.nanmax(late.to_numpy()), np.nanmax(values.to_numpy())
    if 0 < 2 * (high - low) < top - low:
        axes.set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))
