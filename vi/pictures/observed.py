"""Pictures of data, of their reconstructions, and of samples of the model."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from vi.pictures.style import BLUE, COLUMN, ORANGE, PAGE, integer_axis, open_figure, strip, tile_images
from vi.text import plain

NAMED = 20
"""The most columns whose names are written in a picture."""


FEW = 30
"""The most features that are drawn as points if they have no names."""


def reconstructions(
    path: Path, x: np.ndarray, reconstruction: np.ndarray, names: Sequence[str] | None = None, value: str = "value"
) -> None:
    """Draws the first ten data and their reconstructions, both `[n, *event]`.

    Images `[h, w, c]` are drawn in two rows. Other events are drawn over their features, in a panel each: as lines, or
    as points if they are few or have `names`, the names of the columns of a table. `value` says what the numbers are.
    """
    x, reconstruction = x[:10], reconstruction[:10]
    n = len(x)
    if x.ndim == 4:
        tile = PAGE / 11
        with open_figure(path, tile * (n + 1), 2 * tile * x.shape[1] / x.shape[2]) as figure:
            axes = figure.add_subplot()
            tile_images(axes, np.concatenate([x, reconstruction]), columns=n, gaps=True)
            strip(axes)
            axes.set_yticks([1, 0], labels=["data", "reconstruction"])
        return
    columns = min(n, 5)
    rows = math.ceil(n / columns)
    x, reconstruction = x.reshape(n, -1), reconstruction.reshape(n, -1)
    feature = np.arange(1, x.shape[1] + 1)
    size, lines_of = (3, ("o", "x")) if _apart(feature, names) else (0, ("-o", "--x"))
    with open_figure(path, max(COLUMN, PAGE * columns / 5), 0.5 + 1.3 * rows) as figure:
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
        for i, axes in enumerate(panels[:n]):
            lines = axes.plot(feature, x[i], lines_of[0], color=BLUE, markersize=size, linewidth=1)
            lines += axes.plot(feature, reconstruction[i], lines_of[1], color=ORANGE, markersize=size, linewidth=1)
            _name_features(axes, feature, names, ticks=5)
            axes.tick_params(labelbottom=i + columns >= n)
        for axes in panels[n:]:
            axes.remove()
        figure.supxlabel("feature" if names is None else "column")
        figure.supylabel(value)
        figure.legend(lines, ["data", "reconstruction"], loc="outside upper center", ncols=2)


def prior_samples(path: Path, x: np.ndarray, names: Sequence[str] | None = None, value: str = "value") -> None:
    """Draws samples `[n, *event]` of the model.

    Images `[h, w, c]`, means E[x|z], are drawn in the largest square that n images fill. Of other events, draws of x,
    the quantiles of each feature are drawn. `names` and `value` are as in `reconstructions`.
    """
    if x.ndim == 4:
        side = math.isqrt(len(x))
        with open_figure(path, COLUMN, COLUMN * x.shape[1] / x.shape[2] + 0.15) as figure:
            axes = figure.add_subplot(title=rf"E[x|z] of {side**2} draws of $z \sim p(z)$")
            tile_images(axes, x[: side**2], columns=side, gaps=True)
            strip(axes)
        return
    quantiles = np.quantile(x.reshape(len(x), -1), [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    feature = np.arange(1, quantiles.shape[1] + 1)
    with open_figure(path, COLUMN, 2.6) as figure:
        axes = figure.add_subplot(xlabel="feature" if names is None else "column", ylabel=value)
        axes.set_title(rf"{len(x)} draws of $x \sim p(x|z)$, $z \sim p(z)$")
        axes.use_sticky_edges = False
        wide: dict[str, Any] = {"color": "#B9D9EB", "label": "5–95%"}
        narrow: dict[str, Any] = {"color": "#5AA5D0", "label": "25–75%"}
        median: dict[str, Any] = {"color": "black", "linewidth": 1, "label": "median"}
        if _apart(feature, names):
            axes.bar(feature, quantiles[4] - quantiles[0], 0.7, quantiles[0], **wide)
            axes.bar(feature, quantiles[3] - quantiles[1], 0.7, quantiles[1], **narrow)
            axes.hlines(quantiles[2], feature - 0.35, feature + 0.35, **median)
        else:
            edges = np.arange(len(feature) + 1) + 0.5
            axes.stairs(quantiles[4], edges, baseline=quantiles[0], fill=True, **wide)
            axes.stairs(quantiles[3], edges, baseline=quantiles[1], fill=True, **narrow)
            axes.stairs(quantiles[2], edges, baseline=None, **median)
        _name_features(axes, feature, names, ticks=12)
        figure.legend(loc="outside upper center", ncols=3)


def samples(
    path: Path, x: np.ndarray, reconstructions: np.ndarray, names: Sequence[str] | None = None, value: str = "value"
) -> None:
    """Draws one datum `[*event]` and its reconstructions E[x|z] `[n, *event]` from n draws of z ~ q(z|x).

    An image is drawn beside a square of its reconstructions. Other events are drawn over their features, as in
    `reconstructions`.
    """
    n = len(reconstructions)
    title = rf"E[x|z] of {n} draws of $z \sim q(z|x)$"
    if x.ndim == 3:
        side = math.isqrt(n)
        with open_figure(path, COLUMN, 0.87 * COLUMN * x.shape[0] / x.shape[1]) as figure:
            left, right = figure.subplots(1, 2, width_ratios=[1, side])
            images = np.concatenate([x[None], reconstructions[: side**2]])
            tile_images(left, images[:1], columns=1, like=images)
            tile_images(right, images[1:], columns=side, gaps=True, like=images)
            left.set_anchor("N")
            right.set_anchor("N")
            left.set_title("$x$")
            right.set_title(title)
            strip(left)
            strip(right)
        return
    feature = np.arange(1, x.size + 1)
    size, lines_of = (3, ("o", "x")) if _apart(feature, names) else (0, ("-o", "-x"))
    with open_figure(path, COLUMN, 2.4) as figure:
        axes = figure.add_subplot(xlabel="feature" if names is None else "column", ylabel=value)
        lines = reconstructions.reshape(n, -1).T
        drawn = axes.plot(feature, lines, lines_of[1], color=ORANGE, markersize=size, linewidth=0.6, alpha=0.5)[:1]
        drawn += axes.plot(feature, x.ravel(), lines_of[0], color=BLUE, markersize=size, linewidth=1)
        _name_features(axes, feature, names, ticks=12)
        figure.legend(drawn[::-1], ["$x$", title], loc="outside upper center", ncols=2)


def modes(path: Path, x: np.ndarray, from_posterior: np.ndarray, from_prior: np.ndarray | None) -> None:
    """Draws images, modes of p(x|z) for z ~ q(z|x) at the places of their images, and modes for z ~ p(z) if given.

    Each array is `[n, h, w, c]`, and is drawn in the largest square that n images fill.
    """
    panels = {"$x$": x, r"mode of $p(x|z)$, $z \sim q(z|x)$": from_posterior}
    if from_prior is not None:
        panels[r"mode of $p(x|z)$, $z \sim p(z)$"] = from_prior
    side = math.isqrt(len(x))
    width = PAGE * len(panels) / 3
    with open_figure(path, width, PAGE / 3 * x.shape[1] / x.shape[2] + 0.1) as figure:
        figure.set_layout_engine("constrained", wspace=0.06)
        for axes, (title, images) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
            tile_images(axes, images[: side**2], columns=side, gaps=True)
            axes.set_title(title)
            strip(axes)


def _apart(feature: np.ndarray, names: Sequence[str] | None) -> bool:
    """Whether each feature stands for itself, so that no line connects it with its neighbours."""
    return names is not None or len(feature) <= FEW


def _name_features(axes: Axes, feature: np.ndarray, names: Sequence[str] | None, ticks: int) -> None:
    """Ticks at the features, with their names if there are not too many."""
    integer_axis(axes, feature, ticks)
    if names is not None and len(names) <= NAMED:
        labels = [textwrap.shorten(plain(name), 24, placeholder="…").replace("$", r"\$") for name in names]
        axes.set_xticks(feature, labels=labels, rotation=90)
