"""The pictures of a trained model and of its training: PNG files of a paper's column or page width.

Everything is drawn from NumPy arrays and pandas frames through Matplotlib's objects, so that it needs no
display and may happen in a thread.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import textwrap
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

MANIFOLD_SIZE = 15
MOST_CLASSES = 100

COLUMN, PAGE = 3.4, 7.0  # widths in inches
STYLE: dict[Any, Any] = (
    dict.fromkeys(["font.size", "axes.titlesize", "axes.labelsize", "figure.labelsize"], 8)
    | dict.fromkeys(["xtick.labelsize", "ytick.labelsize", "legend.fontsize"], 7)
    | dict.fromkeys(["axes.linewidth", "xtick.major.width", "ytick.major.width"], 0.6)
    | {"legend.frameon": False, "savefig.dpi": 200, "savefig.bbox": "tight", "savefig.pad_inches": 0.03}
)
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"  # Okabe and Ito's
CLASSES = [  # Paul Tol's muted scheme, safe for the colour-blind
    *["#332288", "#88CCEE", "#CC6677", "#117733", "#DDCC77"],
    *["#AA4499", "#44AA99", "#882255", "#999933", "#AAAAAA"],
]
# For curves of many settings: bright on white and on black, and told apart by markers when colours come again.
LOOKS = [
    (colour, marker)
    for marker in ("", "o", "s")
    for colour in (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's
]

TRAIN = {"label": "train", "color": ORANGE, "linestyle": "--"}
VALIDATION = {"label": "validation", "color": BLUE, "linestyle": "-"}
WEIGHTED = {"label": "validation, importance-weighted", "color": GREEN, "linestyle": ":"}
CURVES: dict[str, dict[str, dict[str, Any]]] = {
    "negative ELBO": {"train/elbo": TRAIN, "validation/elbo": VALIDATION, "validation/iw_bound": WEIGHTED},
    r"reconstruction, $-\mathrm{E}_q\,\log\,p(x|z)$": {"train/nll": TRAIN, "validation/nll": VALIDATION},
    r"$\mathrm{KL}(q(z|x)\,\Vert\,p(z))$": {"train/kl": TRAIN, "validation/kl": VALIDATION},
}

_lock = threading.Lock()


def latent_space(path: Path, means: np.ndarray, labels: np.ndarray | None = None, title: str = "") -> None:
    """Draws posterior means E[z|x] `[N, L]`, coloured by their labels `[N]` if there are any.

    Two dimensions are drawn as they are and more by their first two principal components. One is drawn as a
    histogram for each label, all of the same height. More than a hundred classes are not coloured.
    """
    dimensions = means.shape[1]
    if labels is not None and len(np.unique(labels)) > MOST_CLASSES:
        labels = None
    with _figure(path, COLUMN, 0.9 * COLUMN) as figure:
        axes = figure.add_subplot(title=title, xlabel="$z_1$", ylabel="$z_2$")
        if dimensions == 1:
            _histograms(axes, means[:, 0], labels)
            return
        if dimensions > 2:
            means, shares = _principal_components(means)
            axes.set_title(f"{title}\nprincipal components of {dimensions} latent dimensions".strip())
            axes.set_xlabel(f"first principal component of E[z|x] ({shares[0]:.0%})")
            axes.set_ylabel(f"second principal component of E[z|x] ({shares[1]:.0%})")
        _scatter(axes, means, labels)


def manifold_grid(size: int = MANIFOLD_SIZE, low: float = 0.05, high: float = 0.95) -> np.ndarray:
    """Latents `[size * size, 2]`, float32, at evenly spaced quantiles of a standard normal, low to high.

    They come row by row from the top, as the picture is drawn: z₂ falls from row to row, z₁ rises along each.
    """
    z = np.array([NormalDist().inv_cdf(p) for p in np.linspace(low, high, size)], dtype=np.float32)
    return np.stack([np.tile(z, size), np.repeat(z[::-1], size)], axis=-1)


def manifold(path: Path, images: np.ndarray) -> None:
    """Draws the images `[size * size, h, w, c]` decoded at `manifold_grid(size)`, without gaps."""
    size = math.isqrt(len(images))
    ticks = np.unique(np.linspace(0, size - 1, 7).round().astype(int))
    z = manifold_grid(size)[ticks, 0].round(2) + 0.0  # no −0.00
    names = [f"${value:.2f}$" for value in z]
    with _figure(path, COLUMN, COLUMN * images.shape[1] / images.shape[2]) as figure:
        axes = figure.add_subplot(xlabel="$z_1$", ylabel="$z_2$")
        _tile(axes, images, columns=size, gaps=images.shape[1] < 16)  # few pixels run into each other
        axes.set_xticks(ticks, labels=names)
        axes.set_yticks(ticks, labels=names)


def reconstructions(path: Path, x: np.ndarray, reconstruction: np.ndarray) -> None:
    """Draws data and their reconstructions, both `[n, *event]`: the first ten if there are more.

    Images `[h, w, c]` are drawn in two rows, other events as lines over their features, a panel each.
    """
    x, reconstruction = x[:10], reconstruction[:10]
    n = len(x)
    if x.ndim == 4:
        tile = PAGE / 11
        with _figure(path, tile * (n + 1), 2 * tile * x.shape[1] / x.shape[2]) as figure:
            axes = figure.add_subplot()
            _tile(axes, np.concatenate([x, reconstruction]), columns=n, gaps=True)
            _bare(axes)
            axes.set_yticks([1, 0], labels=["data", "reconstruction"])
        return
    columns = min(n, 5)
    rows = math.ceil(n / columns)
    x, reconstruction = x.reshape(n, -1), reconstruction.reshape(n, -1)
    feature = np.arange(1, x.shape[1] + 1)
    size = 3 if len(feature) <= 30 else 0
    with _figure(path, max(COLUMN, PAGE * columns / 5), 0.5 + 1.3 * rows) as figure:
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
        for i, axes in enumerate(panels[:n]):
            lines = axes.plot(feature, x[i], "-o", color=BLUE, markersize=size, linewidth=1)
            lines += axes.plot(feature, reconstruction[i], "--x", color=ORANGE, markersize=size, linewidth=1)
            _count(axes, feature, ticks=5)
            axes.tick_params(labelbottom=i + columns >= n)
        for axes in panels[n:]:
            axes.remove()
        figure.supxlabel("feature")
        figure.supylabel("value")
        figure.legend(lines, ["data", "reconstruction"], loc="outside upper center", ncols=2)


def prior_samples(path: Path, x: np.ndarray) -> None:
    """Draws samples `[n, *event]` of the model.

    Images `[h, w, c]` are drawn in the largest square that n fills, other events as quantiles by feature.
    """
    if x.ndim == 4:
        side = math.isqrt(len(x))
        with _figure(path, COLUMN, COLUMN * x.shape[1] / x.shape[2]) as figure:
            axes = figure.add_subplot()
            _tile(axes, x[: side**2], columns=side, gaps=True)
            _bare(axes)
        return
    quantiles = np.quantile(x.reshape(len(x), -1), [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    feature = np.arange(1, quantiles.shape[1] + 1)
    edges = np.arange(len(feature) + 1) + 0.5
    with _figure(path, COLUMN, 2.4) as figure:
        axes = figure.add_subplot(xlabel="feature", ylabel=f"value in {len(x)} samples")
        axes.use_sticky_edges = False
        axes.stairs(quantiles[4], edges, baseline=quantiles[0], fill=True, color="#B9D9EB", label="5–95%")
        axes.stairs(quantiles[3], edges, baseline=quantiles[1], fill=True, color="#5AA5D0", label="25–75%")
        axes.stairs(quantiles[2], edges, baseline=None, color="black", linewidth=1, label="median")
        _count(axes, feature, ticks=12)
        figure.legend(loc="outside upper center", ncols=3)


def curves(path: Path, metrics: pd.DataFrame) -> None:
    """Draws the negative ELBO and its two terms over the epochs, in nats per datum.

    The rows, one at least, are those of metrics.csv. Empty cells and missing columns are left out.
    """
    with _figure(path, PAGE, 2.3) as figure:
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
            _count(axes, metrics["epoch"].to_numpy(), ticks=5)
        if legend:
            figure.legend(handles=list(legend.values()), loc="outside upper center", ncols=3)


def comparison(path: Path, curves: pd.DataFrame, metrics: Sequence[str], notes: Sequence[str] = ()) -> None:
    """Draws learning curves of several settings against epochs and against seconds, a row of panels per metric.

    Args:
        path: of the picture.
        curves: a row per point: its `setting`, its `run`, empty for a mean over seeds, which is drawn with its
            `<metric> standard error` as a band, else a single run's, drawn dashed; `epoch`, `seconds`, the metrics.
        metrics: the columns to draw.
        notes: sentences to stand above.
    """
    looks = dict(zip(curves["setting"].unique(), itertools.cycle(LOOKS), strict=False))
    labels = [textwrap.fill(str(setting), 110).replace("$", r"\$") for setting in looks]
    columns = max(1, min(4, 124 // max((len(label) + 8 for label in labels), default=124)))
    lines = ["Means over seeds ± standard error over seeds; runs that have not finished are dashed.", *notes]
    heading = "\n".join(textwrap.fill(line, 125) for line in lines)
    rows = math.ceil(len(labels) / columns) + heading.count("\n") + sum(label.count("\n") for label in labels)
    with _figure(path, PAGE, 2.4 * max(len(metrics), 1) + 0.15 * rows + 0.2) as figure:
        figure.suptitle(heading, x=0.01, ha="left", fontsize=7)
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
    """The limits of a metric that show what follows the first tenth of the epochs, if that would be squashed.

    The curves are those of `comparison`. Unfinished runs count where nothing else is there to be shown.
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


@contextlib.contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure, in inches, that is written once it is drawn."""
    with _lock, matplotlib.rc_context(STYLE):  # a style is the whole process's
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        figure.savefig(path, format="png")


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


def _principal_components(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components `[N, 2]` and their shares of the variance."""
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # a collapsed posterior has no variance to share
        return pca.fit_transform(means), np.nan_to_num(pca.explained_variance_ratio_)


def _scatter(axes: Axes, points: np.ndarray, labels: np.ndarray | None) -> None:
    # In a random order no class covers the others, even if the data come sorted.
    order = np.random.default_rng(0).permutation(len(points))
    x, y = points[order].T
    dots = axes.scatter(x, y, s=np.clip(20_000 / len(x), 2.5, 12), color=BLUE, alpha=0.7, linewidths=0)
    axes.set_box_aspect(1)
    axes.set_aspect("equal", adjustable="datalim")
    if labels is not None:
        names, index, colours = _classes(labels)
        dots.set_facecolor(colours(index[order]))
        norm = BoundaryNorm(np.arange(len(names) + 1) - 0.5, len(names))
        bar = axes.inset_axes((1.03, 0, 0.05, 1))
        axes.figure.colorbar(ScalarMappable(norm, colours), cax=bar, label="label")
        _name(bar, names)


def _histograms(axes: Axes, z: np.ndarray, labels: np.ndarray | None) -> None:
    edges = np.histogram_bin_edges(z, bins=50)
    if labels is None:
        axes.stairs(np.histogram(z, edges)[0], edges, fill=True, color=BLUE)
        axes.set_ylabel("number of data")
        return
    names, index, colours = _classes(labels)
    for k in range(len(names)):
        counts = np.histogram(z[index == k], edges)[0]
        axes.stairs(k + 0.9 * counts / counts.max(), edges, baseline=k, fill=True, color=colours(k))
    axes.set_ylabel("label")
    _name(axes, names)


def _classes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, Colormap]:
    """The K distinct labels, each label's index among them, and K colours."""
    names, index = np.unique(labels, return_inverse=True)
    k = len(names)
    few = k <= len(CLASSES)
    return names, index, ListedColormap(CLASSES[:k]) if few else matplotlib.colormaps["viridis"].resampled(k)


def _name(axes: Axes, names: np.ndarray) -> None:
    """Marks class k at height k; not every one if there are many."""
    shown = range(0, len(names), math.ceil(len(names) / 12))
    axes.set_yticks(shown, labels=[str(names[k]) for k in shown])
    axes.tick_params(axis="y", which="both", length=0)


def _count(axes: Axes, x: np.ndarray, ticks: int) -> None:
    """Makes x an axis of integers."""
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, min_n_ticks=1))
    margin = max(0.5, 0.03 * np.ptp(x))
    axes.set_xlim(x.min() - margin, x.max() + margin)


def _cut(axes: Axes, values: pd.DataFrame) -> None:
    """Lets the first tenth of the epochs leave at the top if they would take more than half of the height."""
    epoch = values.index.to_numpy(dtype=float)
    late = values[epoch > epoch.min() + (epoch.max() - epoch.min()) / 10]
    if late.index.nunique() < 4:
        return
    low, high, top = np.nanmin(values.to_numpy()), np.nanmax(late.to_numpy()), np.nanmax(values.to_numpy())
    if 0 < 2 * (high - low) < top - low:
        axes.set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))


def _tile(axes: Axes, images: np.ndarray, columns: int, gaps: bool = False) -> None:
    """Draws images row by row from the top; a tile is one unit wide and high, the lower left one around 0.

    Values beyond [0, 1] are scaled, all images alike. Only the first of channels other than 1 or 3 is drawn.
    """
    if images.shape[-1] not in (1, 3):
        images = images[..., :1]
    images = images.astype(np.float32)
    low, high = images.min(), images.max()
    if low < 0 or high > 1:
        images = (images - low) / (high - low or 1)
    n, height, width, channels = images.shape
    rows = n // columns
    picture = images.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    picture = picture.reshape(rows * height, columns * width, channels)
    axes.imshow(
        picture,
        cmap="gray_r",  # ink on paper
        vmin=0,
        vmax=1,
        extent=(-0.5, columns - 0.5, -0.5, rows - 0.5),
        aspect=height / width,
        interpolation="nearest" if columns * width < 300 else "auto",  # sharp where a pixel is many dots
    )
    if gaps:
        axes.vlines(np.arange(1, columns) - 0.5, -0.5, rows - 0.5, color="white", linewidth=1.5)
        axes.hlines(np.arange(1, rows) - 0.5, -0.5, columns - 0.5, color="white", linewidth=1.5)


def _bare(axes: Axes) -> None:
    """Leaves nothing but what is drawn."""
    axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
