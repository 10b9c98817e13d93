"""Pictures of the latent space."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap

from vi.pictures.style import BLUE, CLASSES, COLUMN, ORANGE, PAGE, open_figure, tile_images

MANIFOLD_SIZE = 15
MOST_CLASSES = 100
GRID = 200  # points along each side of a density
LEVELS = [-8.0, -4.5, -2.0, -0.5, 0.0]
BLUES = ["#EAF3F9", "#CDE2F0", "#A4CCE5", "#78B3D9"]


def latent_space(path: Path, means: np.ndarray, labels: np.ndarray | None = None, title: str = "") -> None:
    """Draws posterior means E[z|x] `[N, L]`, coloured by their labels `[N]` if there are labels.

    Two dimensions are drawn directly, more as their first two principal components, one as a histogram for each label,
    scaled to the same height. Labels of more than a hundred classes are ignored.
    """
    with open_figure(path, COLUMN, 0.9 * COLUMN) as figure:
        _draw_means(figure.add_subplot(title=title), means, labels)


def manifold_grid(size: int = MANIFOLD_SIZE, low: float = 0.05, high: float = 0.95) -> np.ndarray:
    """Latents `[size * size, 2]`, float32, at evenly spaced quantiles of a standard normal, from low to high.

    They are in the order of the picture, row by row from the top: z₂ falls from row to row, z₁ rises along each row.
    """
    z = np.array([NormalDist().inv_cdf(p) for p in np.linspace(low, high, size)], dtype=np.float32)
    return np.stack([np.tile(z, size), np.repeat(z[::-1], size)], axis=-1)


def manifold(path: Path, images: np.ndarray) -> None:
    """Draws the images `[size * size, h, w, c]` decoded at `manifold_grid(size)`, without gaps."""
    with open_figure(path, COLUMN, COLUMN * images.shape[1] / images.shape[2]) as figure:
        _draw_manifold(figure.add_subplot(), images)


def latent_space_and_manifold(path: Path, means: np.ndarray, labels: np.ndarray | None, images: np.ndarray) -> None:
    """Draws `latent_space` of means `[N, 2]` and `manifold` of images `[size * size, h, w, c]` beside each other."""
    with open_figure(path, PAGE, 0.48 * PAGE) as figure:
        left, right = figure.subplots(1, 2)
        _draw_means(left, means, labels)
        _draw_manifold(right, images)


def density(path: Path, log_density: Callable[[np.ndarray], np.ndarray], z: np.ndarray) -> None:
    """Draws contours of an unnormalized log density, `[N, 2]` → `[N]`, with samples z `[N, 2]` of q over them.

    The contours are 0.5, 2, 4.5 and 8 nats below the maximum. For a Gaussian they are at 1, 2, 3 and 4 standard
    deviations. The square shows all samples, and the last contour up to five times as far out as the samples.
    """
    z = z[np.isfinite(z).all(axis=1)]
    centre, reach = _square(z)
    points, values = _on_grid(log_density, centre, 5 * max(reach, 1.0))
    centre, reach = _square(np.concatenate([points[values > LEVELS[0]], z]))
    points, values = _on_grid(log_density, centre, 1.05 * max(reach, 1e-3))
    with open_figure(path, COLUMN, 0.9 * COLUMN) as figure:
        axes = figure.add_subplot(xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
        grid = [a.reshape(GRID, GRID) for a in (*points.T, values)]
        areas = axes.contourf(*grid, levels=LEVELS, colors=BLUES)
        axes.contour(*grid, levels=LEVELS[:-1], colors=BLUE, linewidths=0.4, linestyles="solid")
        look: dict[str, Any] = {"s": 2.5, "color": ORANGE, "alpha": 0.6, "linewidths": 0, "zorder": 3}
        axes.scatter(*z.T, label=f"{len(z):,} samples of $q$", **look)
        bar = axes.inset_axes((1.03, 0, 0.05, 1))
        figure.colorbar(areas, cax=bar, label=r"$\log\,p(z)$ − its maximum, in nats")
        figure.legend(loc="outside upper center", markerscale=3)


def _square(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The centre `[2]` of points `[N, 2]` and half the side of the least square around it that holds them."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (low + high) / 2, float((high - low).max() / 2)


def _on_grid(
    log_density: Callable[[np.ndarray], np.ndarray], centre: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points `[GRID², 2]` of a square, and the log density at them `[GRID²]` minus its maximum."""
    x, y = np.meshgrid(*(np.linspace(c - reach, c + reach, GRID) for c in centre))
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    values = np.nan_to_num(np.asarray(log_density(points), np.float64), nan=-1e30, neginf=-1e30)
    return points, values - values.max()


def _draw_means(axes: Axes, means: np.ndarray, labels: np.ndarray | None) -> None:
    if labels is not None and len(np.unique(labels)) > MOST_CLASSES:
        labels = None
    dimensions = means.shape[1]
    axes.set(xlabel="$z_1$", ylabel="$z_2$")
    if dimensions == 1:
        _histograms(axes, means[:, 0], labels)
        return
    if dimensions > 2:
        means, shares = _principal_components(means)
        axes.set_title(f"{axes.get_title()}\nprincipal components of {dimensions} latent dimensions".strip())
        axes.set_xlabel(f"first principal component of E[z|x] ({shares[0]:.0%})")
        axes.set_ylabel(f"second principal component of E[z|x] ({shares[1]:.0%})")
    _scatter(axes, means, labels)


def _draw_manifold(axes: Axes, images: np.ndarray) -> None:
    size = math.isqrt(len(images))
    count = 7 if images.shape[2] >= images.shape[1] else 5  # in a narrow picture the names would overlap
    ticks = np.unique(np.linspace(0, size - 1, count).round().astype(int))
    z = manifold_grid(size)[ticks, 0].round(2) + 0.0  # + 0.0 turns −0.00 into 0.00
    names = [f"${value:.2f}$" for value in z]
    # Images of few pixels run together without gaps.
    tile_images(axes, images, columns=size, gaps=images.shape[1] < 16)
    axes.set(xlabel="$z_1$", ylabel="$z_2$")
    axes.set_xticks(ticks, labels=names)
    axes.set_yticks(ticks, labels=names)


def _principal_components(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components `[N, 2]` and their shares of the variance."""
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # the means of a collapsed posterior have no variance
        return pca.fit_transform(means), np.nan_to_num(pca.explained_variance_ratio_)


def _scatter(axes: Axes, points: np.ndarray, labels: np.ndarray | None) -> None:
    # In a random order no class covers the others, even if the data are sorted by class.
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
    """Labels class k at height k; leaves out some labels if there are many."""
    shown = range(0, len(names), math.ceil(len(names) / 12))
    axes.set_yticks(shown, labels=[str(names[k]) for k in shown])
    axes.tick_params(axis="y", which="both", length=0)
