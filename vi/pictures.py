"""The pictures of a trained model: which ones it gets, and what they are drawn from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from vi import figures, random
from vi.evaluate import Evaluator

log = logging.getLogger(__name__)


def draw(parts: Any, directory: Path, check: Callable[[], None]) -> Iterator[tuple[str, Path]]:
    """Writes the pictures of a trained model below `figures/`; gives the name and the path of each as it is made.

    A picture that cannot be drawn is a warning: the run has been trained. `check` is called between them.
    """
    model, data = parts.model, parts.data
    evaluator = Evaluator(model, data, jit=False, check=check)
    pictures: dict[str, Callable[[Path], None]] = {
        "latent_space": lambda path: figures.latent_space(path, evaluator.means(data.validation), data.validation.y),
        "reconstructions": lambda path: _draw_reconstructions(path, model, data, evaluator),
        "prior_samples": lambda path: figures.prior_samples(path, _prior_samples(model)),
        "curves": lambda path: figures.curves(path, pd.read_csv(directory / "metrics.csv")),
    }
    if model.prior.latent_dim == 2 and _is_image(data.event_shape):
        grid = tf.constant(figures.manifold_grid(), model.prior.compute_dtype)
        pictures["manifold"] = lambda path: figures.manifold(path, _as_images(model.decode(grid).mean()))
    folder = directory / "figures"
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        check()
        path = folder / f"{name}.png"
        try:
            picture(path)
        except Exception as error:
            log.warning("The picture %s could not be drawn: %s: %s", name, type(error).__name__, error)
        else:
            yield name, path


def _draw_reconstructions(path: Path, model: Any, data: Any, evaluator: Evaluator) -> None:
    size = len(data.validation)
    x = evaluator.view(data.validation, np.linspace(0, size - 1, min(10, size)).astype(int).tolist())
    figures.reconstructions(path, _as_images(x), _as_images(model.reconstruct(x)))


def _prior_samples(model: Any) -> np.ndarray:
    """Means of images, which show more; draws of other data, whose spread is what is looked at."""
    if _is_image(model.likelihood.event_shape):
        return _as_images(model.generate(64))
    seed = random.seed(0, "people")
    z = model.prior.sample(model.prior.noise([1000], random.fold(seed, "dream_prior")))
    noise = model.likelihood.noise([1000], random.fold(seed, "dream_likelihood"))
    return model.decode(z).sample(noise).numpy()


def _is_image(event_shape: tuple[int, ...]) -> bool:
    return len(event_shape) in (2, 3)


def _as_images(x: tf.Tensor) -> np.ndarray:
    """`[N, h, w, c]` of `[N, h, w]`; other events as they are."""
    array = x.numpy()
    return array[..., None] if array.ndim == 3 else array
