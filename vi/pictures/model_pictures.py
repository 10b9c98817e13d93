"""Chooses the pictures that make sense for a model, and computes their data."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vi import random
from vi.data.dataset import Split
from vi.evaluation.evaluator import Evaluator
from vi.models.latent import LatentVariableModel
from vi.pictures import latent, observed

log = logging.getLogger(__name__)
Picture = Callable[[Path], None]
MIXED = 10
"""Columns without names whose standard deviations differ by more than this factor are drawn as columns of a table."""
ELEMENTS = 2**22
"""The picture of the spread of x has about this many numbers, so that memory stays near the size of the data."""


class ModelPictures:
    """The pictures of a model on a split. Each public method except `choose` writes the picture of its name to a path.

    Args:
        model: with trained weights.
        split: the data to draw.
        evaluator: computes posterior means, and gives the data as the model sees them.
    """

    def __init__(self, model: LatentVariableModel, split: Split, evaluator: Evaluator):
        self.model, self.split, self.evaluator = model, split, evaluator
        self.seed = random.seed(0, "people")

    def choose(self) -> dict[str, Picture]:
        """The pictures that make sense for the model and its data, by name."""
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
            self.modes: images and likelihood.support == "binary",  # the mode of a Gaussian is its mean
            self.prior_samples: self._generative(),
        }
        return {picture.__name__: picture for picture, makes_sense in sense.items() if makes_sense}

    def latent_space(self, path: Path) -> None:
        """Posterior means of the split with their labels."""
        latent.latent_space(path, self._means, self.split.y)

    def manifold(self, path: Path) -> None:
        """Images decoded at quantiles of the prior."""
        latent.manifold(path, self._manifold)

    def latent_space_and_manifold(self, path: Path) -> None:
        """The latent space and the manifold beside each other."""
        latent.latent_space_and_manifold(path, self._means, self.split.y, self._manifold)

    def reconstructions(self, path: Path) -> None:
        """Ten data and a reconstruction of each."""
        x = self._view(10)
        observed.reconstructions(path, self._shown(x), self._shown(self.model.reconstruct(x)), *self._axes)

    def samples(self, path: Path) -> None:
        """One datum and 25 reconstructions of it."""
        x = self._view(1)
        means = self.model.decode(self._sample_posterior(x, 25)).mean()[0]
        observed.samples(path, self._shown(x)[0], self._shown(means), *self._axes)

    def modes(self, path: Path) -> None:
        """25 images, and modes of p(x|z) for z from the posterior and from the prior."""
        x = self._view(25)
        from_posterior = self.model.decode(self._sample_posterior(x, 1)).mode()[:, 0]
        from_prior = None
        if self._generative():
            from_prior = _as_images(self.model.decode(self._sample_prior(len(x))).mode())
        observed.modes(path, _as_images(x), _as_images(from_posterior), from_prior)

    def prior_samples(self, path: Path) -> None:
        """For images, means E[x|z] of z from the prior. For other data, draws of x, which show their spread."""
        likelihood = self.model.likelihood
        if _is_image(likelihood.event_shape):
            return observed.prior_samples(path, _as_images(self.model.generate(64)))
        count = max(100, min(1000, ELEMENTS // math.prod(likelihood.event_shape)))
        noise = likelihood.noise([count], random.fold(self.seed, "dream_likelihood"))
        x = self.model.decode(self._sample_prior(count)).sample(noise)
        observed.prior_samples(path, self._shown(x), *self._axes)

    def density(self, path: Path) -> None:
        """The density of the prior, and samples of q over it."""

        def log_density(z: np.ndarray) -> np.ndarray:
            return self.model.prior.log_prob(tf.constant(z, self.model.prior.compute_dtype)[None])[0].numpy()

        latent.density(path, log_density, self._sample_posterior(self._view(1), 1000)[0].numpy())

    @functools.cached_property
    def _is_table(self) -> bool:
        """Whether the data are columns of their own: they have names, or scales that differ by more than `MIXED`."""
        data = self.evaluator.data
        if data.columns is not None or len(data.event_shape) != 1:
            return data.columns is not None
        varying = data.sd[data.sd > 0]
        return len(varying) > 0 and bool(varying.max() > MIXED * varying.min())

    @functools.cached_property
    def _axes(self) -> tuple[Sequence[str] | None, str]:
        """The names of the columns of a table, and what the drawn numbers are."""
        if not self._is_table:
            return None, "value"
        data = self.evaluator.data
        names = [str(i + 1) for i in range(*data.event_shape)] if data.columns is None else data.columns
        return names, "(value − mean) / sd of the column"

    def _shown(self, x: tf.Tensor) -> np.ndarray:
        """Data `[n, *event]` as they are drawn: tables relative to mean and sd of each column of the training data."""
        if not self._is_table:
            return _as_images(x)
        data = self.evaluator.data
        return (x.numpy() - data.mean) / np.where(data.sd > 0, data.sd, 1)

    @functools.cached_property
    def _means(self) -> np.ndarray:
        return self.evaluator.means(self.split)

    @functools.cached_property
    def _manifold(self) -> np.ndarray:
        grid = tf.constant(latent.manifold_grid(), self.model.prior.compute_dtype)
        return _as_images(self.model.decode(grid).mean())

    def _view(self, count: int) -> tf.Tensor:
        """Up to `count` data, evenly spaced over the split, as the model sees them."""
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
        """Whether the prior can be sampled and q is no point mass; training does not pull a point mass to the prior."""
        try:
            self._sample_prior(1)
        except Exception as error:  # an error of any kind must not end a run that is trained
            log.debug("The prior cannot be sampled: %s", error)
            return False
        return self._stochastic()

    def _stochastic(self) -> bool:
        """Whether q(z|x) is more than a single point."""
        x = tf.zeros([1, *self.model.likelihood.event_shape], self.model.posterior.compute_dtype)
        z = self._sample_posterior(x, 100)[0].numpy()  # 100, because two samples of a few bits may be equal
        return bool(np.ptp(z, axis=0).any())


def _is_image(event_shape: tuple[int, ...]) -> bool:
    return len(event_shape) in (2, 3)


def _as_images(x: tf.Tensor) -> np.ndarray:
    """Adds a channel axis to images `[N, h, w]`; other events stay as they are."""
    array = x.numpy()
    return array[..., None] if array.ndim == 3 else array
