"""Trials of an estimator on the linear-Gaussian model: all that its values depend on, in one's hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from vi import random
from vi.errors import ConfigError
from vi.estimators import Estimator
from vi.models.latent import LatentVariableModel
from vi.particles import Losses, Noise, Particles
from vi.settings.sentences import first_line
from vi.testing.linear_gaussian import (
    DIM,
    LATENTS,
    NEAR,
    Affine,
    GivenGaussian,
    GivenPrior,
    Place,
    data,
    make_model,
    precision,
    weights_at,
)

STEP = np.int64(0)
"""The number of the step of every trial."""
ROUNDING = 1e-9
"""The difference that double precision allows between two ways to the same number, relative to it."""
Weights = dict[str, list[Any]]


@dataclasses.dataclass(frozen=True)
class Trial:
    """An estimator with data, noise and weights: all that its values depend on.

    Attributes:
        x: `[B, D]`.
        weights: by group, as of `linear_gaussian.weights_at`: `[1, ...]`, or each datum's own, `[B, ...]`.
    """

    estimator: Estimator
    model: LatentVariableModel
    x: tf.Tensor
    noise: Noise
    weights: Weights

    def particles(self, kl_weight: float | tf.Tensor = 1.0) -> Particles:
        """The particles of the data."""
        kernel, bias, *prior = self.weights["generative"]
        self.model.decoder, self.model.prior = Affine(kernel, bias), GivenPrior(*prior)
        self.model.encoder = Affine(*self.weights["inference"])
        return self.model.particles(self.x, self.noise, kl_weight)

    def bound(self, **options: Any) -> tf.Tensor:
        """The bound of each datum, `[B]`."""
        return self.estimator.bound(self.particles(**options))

    def losses(self, **options: Any) -> Losses:
        """The losses of each datum at step 0, `[B]` each."""
        return self.estimator.losses(self.particles(**options), STEP)

    def rows(self, index: Any) -> Trial:
        """The same with the data `index`."""
        return self.replace_arrays(lambda t: tf.gather(t, index))

    def replace_arrays(self, change: Callable[[tf.Tensor], tf.Tensor]) -> Trial:
        """The same with data and noise changed."""
        noise = tf.nest.map_structure(lambda t: None if t is None else change(t), self.noise)
        return dataclasses.replace(self, x=change(self.x), noise=noise)

    def copies(self) -> Trial:
        """The same with weights of each datum's own, so that their gradients are those of each datum's value."""
        weights = {group: [tf.repeat(w, len(self.x), axis=0) for w in each] for group, each in self.weights.items()}
        return dataclasses.replace(self, weights=weights)

    def moved(self, group: str, direction: list[np.ndarray], distance: float) -> Trial:
        """The same with the weights of a group moved."""
        moved = [w + distance * d for w, d in zip(self.weights[group], direction, strict=True)]
        return dataclasses.replace(self, weights=self.weights | {group: moved})


class Bench:
    """Makes trials of an estimator class, which is called with `samples` and the arguments.

    Attributes:
        example: one such estimator, to ask what it declares.
        size: B.
        done: the checks made so far, by name.
        kept: what more than one of them needs.
    """

    def __init__(self, make: Callable[..., Any], arguments: dict[str, Any]):
        self.arguments = {"samples": 5, **arguments}
        self.make, self.name = make, getattr(make, "__name__", type(make).__name__)
        self.samples = self.arguments["samples"]
        self.models: dict[tuple[str, type], Any] = {}
        self.done: dict[str, Any] = {}
        self.kept: dict[Any, Any] = {}
        if not isinstance(self.samples, int) or self.samples < 1:
            raise ConfigError(f"samples={self.samples}: must be a whole number above 0.")
        try:
            self.example = self.estimator()
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"{self.name}({self.signature}): {type(error).__name__}: {first_line(error)}") from error
        if not isinstance(self.example, Estimator):
            raise ConfigError(
                f"{self.name}: gives a {type(self.example).__name__}, but must give a vi.estimators.Estimator."
            )
        taken = {*self.example.draws, self.samples, LATENTS, DIM}
        self.size = next(size for size in range(4, 99) if size not in taken)  # so that no axis passes for another

    @property
    def signature(self) -> str:
        """The arguments as they are written."""
        return ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())

    def estimator(self, samples: int | None = None) -> Estimator:
        """A new one, of so many samples."""
        estimator = self.make(**self.arguments | ({} if samples is None else {"samples": samples}))
        if isinstance(estimator, Estimator):
            estimator.build((DIM,), LATENTS)
            rng = np.random.default_rng(2)
            for variable in psi(estimator):
                variable.assign(0.3 * rng.standard_normal(variable.shape))
        return estimator

    def trial(
        self,
        place: Place = NEAR,
        samples: int | None = None,
        repeats: int = 1,
        dtype: str = "float64",
        posterior: type[GivenGaussian] = GivenGaussian,
    ) -> Trial:
        """A trial with the data one after another, so many times; the noise is the same in every precision."""
        for each in {"float64", dtype}:
            if (each, posterior) not in self.models:
                with precision(each):
                    self.models[each, posterior] = make_model(posterior)
        with precision(dtype):
            estimator = self.estimator(samples)
        x = np.tile(data(self.size), (repeats, 1))
        model = self.models["float64", posterior]
        noise = model.noise(estimator.draws, tf.range(len(x)), random.seed(0, "train"), 0)
        weights = {group: [tf.constant(w, dtype) for w in each] for group, each in weights_at(place).items()}
        trial = Trial(estimator, self.models[dtype, posterior], tf.constant(x), noise, weights)
        return trial.replace_arrays(lambda t: tf.cast(t, dtype))


def shifted(particles: Particles, offsets: Any) -> Particles:
    """The particles with `offsets`, a number or `[S]`, added to their log p(x|z), and so to their log weights."""
    shift = tf.constant(offsets, particles.log_likelihood.dtype)
    return dataclasses.replace(particles, log_likelihood=particles.log_likelihood + shift)


def psi(estimator: Estimator) -> list[Any]:
    """The trainable variables of the estimator's own."""
    return [variable for variable in estimator.auxiliary_variables if variable.trainable]


def difference(found: Any, expected: Any) -> float:
    """The largest difference between two arrays, relative to the largest number; infinite for other shapes."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        return math.inf
    return float(np.max(np.abs(found - expected)) / max(1.0, np.max(np.abs(expected))))
