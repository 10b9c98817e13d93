"""The pictures of a trained model: which ones it gets, and what they are drawn from."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from vi import pictures as figures
from vi import random
from vi.evaluation.evaluator import Evaluator
from vi.pictures import diagrams

log = logging.getLogger(__name__)
Picture = Callable[[Path], None]


def draw(parts: Any, split: Any, metrics: Path, folder: Path, check: Callable[[], None]) -> Iterator[tuple[str, Path]]:
    """Writes the pictures of a trained model into `folder`; gives the name and the path of each as it is made.

    What makes no sense of the model or its data is left out. A picture that cannot be drawn is a warning: the run
    has been trained.

    Args:
        parts: `vi.config.Parts`.
        split: the data to draw, of `parts.data`.
        metrics: the run's metrics.csv.
        folder: where they are written.
        check: called between them.
    """
    pictures = _Pictures(parts.model, split, Evaluator(parts.model, parts.data, jit=False, check=check)).choose()
    yield from _write(pictures | {"curves": lambda path: figures.curves(path, pd.read_csv(metrics))}, folder, check)


def draw_diagrams(model: Any, folder: Path, check: Callable[[], None]) -> Iterator[tuple[str, Path]]:
    """Writes the diagrams of a model, which no split changes, as `draw` does; none without Graphviz."""
    names = ("encoder_diagram", "decoder_diagram", "model_diagram") if diagrams.graphviz_is_installed() else ()
    yield from _write({name: functools.partial(getattr(diagrams, name), model=model) for name in names}, folder, check)


def _write(pictures: dict[str, Picture], folder: Path, check: Callable[[], None]) -> Iterator[tuple[str, Path]]:
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


class _Pictures:
    """The pictures of a model on a split, each a method that writes it to a path."""

    def __init__(self, model: Any, split: Any, evaluator: Evaluator):
        self.model, self.split, self.evaluator = model, split, evaluator
        self.seed = random.seed(0, "people")

    def choose(self) -> dict[str, Picture]:
        """Those that make sense, by name."""
        likelihood, flat = self.model.likelihood, self.model.prior.latent_dim == 2 and not self.model.prior.discrete
        if likelihood.support == "none":
            return {"density": self.density} if flat else {}
        images, stochastic = _is_image(likelihood.event_shape), self._stochastic()
        sense = {
            self.latent_space: True,
            self.manifold: flat and images and self._generative(),
            self.latent_space_and_manifold: flat and images and self._generative(),
            self.reconstructions: True,
            self.samples: stochastic,
            self.modes: images and likelihood.support == "binary",  # a Gaussian's mode is its mean
            self.prior_samples: self._generative(),
        }
        return {picture.__name__: picture for picture, makes_sense in sense.items() if makes_sense}

    def latent_space(self, path: Path) -> None:
        figures.latent_space(path, self._means, self.split.y)

    def manifold(self, path: Path) -> None:
        figures.manifold(path, self._manifold)

    def latent_space_and_manifold(self, path: Path) -> None:
        figures.latent_space_and_manifold(path, self._means, self.split.y, self._manifold)

    def reconstructions(self, path: Path) -> None:
        x = self._view(10)
        figures.reconstructions(path, _as_images(x), _as_images(self.model.reconstruct(x)))

    def samples(self, path: Path) -> None:
        x = self._view(1)
        means = self.model.decode(self._sample_posterior(x, 25)).mean()[0]
        figures.samples(path, _as_images(x)[0], _as_images(means))

    def modes(self, path: Path) -> None:
        x = self._view(25)
        from_posterior = self.model.decode(self._sample_posterior(x, 1)).mode()[:, 0]
        from_prior = None
        if self._generative():
            from_prior = _as_images(self.model.decode(self._sample_prior(len(x))).mode())
        figures.modes(path, _as_images(x), _as_images(from_posterior), from_prior)

    def prior_samples(self, path: Path) -> None:
        """Means of images, which show more; draws of other data, whose spread is what is looked at."""
        likelihood = self.model.likelihood
        if _is_image(likelihood.event_shape):
            return figures.prior_samples(path, _as_images(self.model.generate(64)))
        noise = likelihood.noise([1000], random.fold(self.seed, "dream_likelihood"))
        figures.prior_samples(path, self.model.decode(self._sample_prior(1000)).sample(noise).numpy())

    def density(self, path: Path) -> None:
        def log_density(z: np.ndarray) -> np.ndarray:
            return self.model.prior.log_prob(tf.constant(z, self.model.prior.compute_dtype)[None])[0].numpy()

        figures.density(path, log_density, self._sample_posterior(self._view(1), 1000)[0].numpy())

    @functools.cached_property
    def _means(self) -> np.ndarray:
        return self.evaluator.means(self.split)

    @functools.cached_property
    def _manifold(self) -> np.ndarray:
        grid = tf.constant(figures.manifold_grid(), self.model.prior.compute_dtype)
        return _as_images(self.model.decode(grid).mean())

    def _view(self, count: int) -> tf.Tensor:
        """Up to `count` data from all over the split, as the model sees them."""
        size = len(self.split)
        return self.evaluator.view(self.split, np.linspace(0, size - 1, min(count, size)).astype(int).tolist())

    def _sample_posterior(self, x: tf.Tensor, count: int) -> tf.Tensor:
        """z ~ q(z|x), `[B, S, L]` for S = `count`."""
        return self.model.encode(x).sample(self.model.posterior.noise([x.shape[0], count], self.seed))[0]

    def _sample_prior(self, count: int) -> tf.Tensor:
        """z ~ p(z), `[count, L]`."""
        prior = self.model.prior
        return prior.sample(prior.noise([count], random.fold(self.seed, "dream_prior")))

    def _generative(self) -> bool:
        """Whether the prior can be sampled, and is one that q was held to: not where q is a point."""
        try:
            self._sample_prior(1)
        except Exception as error:  # of whatever kind, it must not end a run that has been trained
            log.debug("The prior cannot be sampled: %s", error)
            return False
        return self._stochastic()

    def _stochastic(self) -> bool:
        """Whether q(z|x) is more than a point."""
        x = tf.zeros([1, *self.model.likelihood.event_shape], self.model.posterior.compute_dtype)
        z = self._sample_posterior(x, 100)[0].numpy()  # two samples of a few bits may well be the same
        return bool(np.ptp(z, axis=0).any())


def _is_image(event_shape: tuple[int, ...]) -> bool:
    return len(event_shape) in (2, 3)


def _as_images(x: tf.Tensor) -> np.ndarray:
    """`[N, h, w, c]` of `[N, h, w]`; other events as they are."""
    array = x.numpy()
    return array[..., None] if array.ndim == 3 else array
