"""Writes the pictures of a trained model into a folder."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from vi.data.dataset import Dataset, Split
from vi.evaluation.evaluator import Evaluator
from vi.models.latent import LatentVariableModel
from vi.pictures import diagrams
from vi.pictures.curves import curves
from vi.pictures.model_pictures import ModelPictures, Picture

log = logging.getLogger(__name__)
DIAGRAMS = {
    "encoder_diagram": diagrams.encoder_diagram,
    "decoder_diagram": diagrams.decoder_diagram,
    "model_diagram": diagrams.model_diagram,
}


def draw_pictures(
    model: LatentVariableModel, data: Dataset, split: Split, metrics: Path, folder: Path, poll: Callable[[], None]
) -> Iterator[tuple[str, Path]]:
    """Writes the pictures of a trained model into a folder; yields the name and the path of each one.

    Pictures that make no sense for the model or its data are left out. If a picture cannot be drawn, there is a warning
    and no error, because the training is already done.

    Args:
        model: with trained weights.
        data: the data set.
        split: the split to draw.
        metrics: the file metrics.csv of the run, for the learning curves.
        folder: where the pictures are written.
        poll: is called between pictures, and may raise an error to end the drawing.
    """
    pictures = ModelPictures(model, split, Evaluator(model, data, jit=False, poll=poll)).choose()
    pictures["curves"] = lambda path: curves(path, pd.read_csv(metrics))
    yield from _write(pictures, folder, poll)


def draw_diagrams(model: LatentVariableModel, folder: Path, poll: Callable[[], None]) -> Iterator[tuple[str, Path]]:
    """Writes the diagrams of a model as `draw_pictures` writes its pictures; none if Graphviz is not installed."""
    if diagrams.graphviz_is_installed():
        pictures: dict[str, Picture] = {name: functools.partial(draw, model=model) for name, draw in DIAGRAMS.items()}
        yield from _write(pictures, folder, poll)


def _write(pictures: dict[str, Picture], folder: Path, poll: Callable[[], None]) -> Iterator[tuple[str, Path]]:
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        poll()
        path = folder / f"{name}.png"
        try:
            picture(path)
        except Exception as error:
            log.warning("The picture %s could not be drawn: %s: %s", name, type(error).__name__, error)
        else:
            yield name, path
