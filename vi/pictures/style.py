"""The shared style of all pictures: sizes, colours, tiled images, and the writing of figures."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

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
# Colours and markers for curves of many settings. The colours show on white and on black.
LOOKS = [
    (colour, marker)
    for marker in ("", "o", "s")
    for colour in (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's
]

GREYS = np.arange(0, 256, 5)  # the levels of grey in a picture with a palette

_lock = threading.Lock()


@contextlib.contextmanager
def open_figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of a size in inches, written to the path at the end of the block.

    The colours are reduced to a small palette, unless the figure holds colour images.
    """
    # The style is of the whole process. Matplotlib has read `matplotlibrc` in the current directory: it is forgotten.
    with _lock, matplotlib.style.context(STYLE, after_reset=True):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        file = io.BytesIO()
        figure.savefig(file, format="png")
    picture = Image.open(file).convert("RGB")
    photographs = any(np.asarray(image.get_array()).ndim == 3 for axes in figure.axes for image in axes.images)
    if not photographs:
        picture = _with_palette(picture)
    dpi = STYLE["savefig.dpi"]
    picture.save(path, format="png", dpi=(dpi, dpi))


def _with_palette(picture: Image.Image) -> Image.Image:
    """The picture in at most 244 colours, which makes its file a third as large. Grey pixels stay grey.

    The most frequent colours are kept if they are at least 8 levels apart; Pillow confuses closer colours.
    """
    pixels = np.asarray(picture)
    grey = (pixels == pixels[..., :1]).all(axis=-1)
    index = np.rint(pixels[..., 0] / GREYS[1]).astype(np.uint8)
    palette = np.repeat(GREYS[:, None], 3, axis=1)
    if not grey.all():
        chosen = _colours(Image.fromarray(pixels[~grey][None]))
        colours = Image.new("P", (1, 1))
        colours.putpalette(chosen.ravel().tolist())
        nearest = np.asarray(picture.quantize(palette=colours, dither=Image.Dither.NONE))
        index = np.where(grey, index, nearest + len(palette)).astype(np.uint8)
        palette = np.concatenate([palette, chosen])
    small = Image.fromarray(index).convert("P")
    small.putpalette(palette.ravel().tolist())
    return small


def _colours(picture: Image.Image) -> np.ndarray:
    """At most 192 colours of a picture, `[n, 3]`, that are at least 8 levels apart: first the most frequent ones."""
    counts: Any = picture.getcolors(picture.width * picture.height)
    frequent = [colour for _, colour in sorted(counts, reverse=True)[:64]]
    others: Any = picture.quantize(128, Image.Quantize.MAXCOVERAGE).getpalette()
    colours = np.concatenate([frequent, np.reshape(others, (-1, 3))])
    chosen = colours[:1]
    for colour in colours:
        if np.abs(chosen - colour).max(axis=1).min() >= 8:
            chosen = np.vstack([chosen, colour])
    return chosen


def integer_axis(axes: Axes, x: np.ndarray, ticks: int) -> None:
    """Puts ticks at integers on the x axis, and sets its limits around the values x."""
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, min_n_ticks=1))
    margin = max(0.5, 0.03 * np.ptp(x))
    axes.set_xlim(x.min() - margin, x.max() + margin)


def tile_images(
    axes: Axes, images: np.ndarray, columns: int, gaps: bool = False, like: np.ndarray | None = None
) -> None:
    """Draws images row by row from the top. A tile is one unit wide and high; the centre of the lower left one is 0.

    If values lie outside [0, 1], all images are scaled by the same numbers: the minimum and maximum of `like`, or of
    the images. Images with other than 1 or 3 channels are drawn by their first channel.
    """
    if images.shape[-1] not in (1, 3):
        images = images[..., :1]
    images = images.astype(np.float32)
    scale = images if like is None else like
    low, high = scale.min(), scale.max()
    if low < 0 or high > 1:
        images = (images - low) / (high - low or 1)
    n, height, width, channels = images.shape
    rows = n // columns
    picture = images.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    picture = picture.reshape(rows * height, columns * width, channels)
    axes.imshow(
        picture,
        cmap="gray_r",  # dark ink on white paper
        vmin=0,
        vmax=1,
        extent=(-0.5, columns - 0.5, -0.5, rows - 0.5),
        aspect=height / width,
        interpolation="nearest" if columns * width < 300 else "auto",  # sharp pixels if there are few
    )
    if gaps:
        axes.vlines(np.arange(1, columns) - 0.5, -0.5, rows - 0.5, color="white", linewidth=1.5)
        axes.hlines(np.arange(1, rows) - 0.5, -0.5, columns - 0.5, color="white", linewidth=1.5)


def strip(axes: Axes) -> None:
    """Removes ticks and frame."""
    axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
