"""Trials: an estimator with the linear-Gaussian model, data, noise and weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import numpy.typing as npt
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
    Place,
    data,
    make_model,
    precision,
    weights_at,
)
from vi.testing.report import Check

STEP = np.int64(0)
"""The training step of every trial."""
ROUNDING = 1e-9
"""The tolerance in double precision: the relative difference between two computations of the same number."""
REPEATS = 1000
"""The number of noise draws for each datum in the check of an expectation."""
Weights = dict[str, list[tf.Tensor]]
"""θ and φ by group, as in `linear_gaussian.weights_at`: `[1, ...]`, or a copy for each datum, `[B, ...]`."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """An estimator with all inputs of its values: model, data, noise and weights.

    Attributes:
        x: `[B, D]`.
        weights: θ and φ, shared by all data or with a copy for each datum.
    """

    estimator: Estimator
    model: LatentVariableModel
    x: tf.Tensor
    noise: Noise
    weights: Weights

    def particles(self, kl_weight: float | tf.Tensor = 1.0) -> Particles:
        """The particles of the data."""
        kernel, bias, *prior = self.weights["generative"]
        self.model.decoder, self.model.prior = Affine(kernel, bias), self.model.posterior.prior(*prior)
        self.model.encoder = Affine(*self.weights["inference"])
        return self.model.particles(self.x, self.noise, kl_weight)

    def bound(self, kl_weight: float | tf.Tensor = 1.0) -> tf.Tensor:
        """The bound of each datum, `[B]`."""
        return self.estimator.bound(self.particles(kl_weight))

    def losses(self, kl_weight: float | tf.Tensor = 1.0) -> Losses:
        """The losses of each datum at step 0, `[B]` each."""
        return self.estimator.losses(self.particles(kl_weight), STEP)

    def rows(self, index: Sequence[int] | np.ndarray) -> Trial:
        """The trial with the data `index` only."""
        return self.replace_arrays(lambda t: tf.gather(t, index))

    def replace_arrays(self, change: Callable[[tf.Tensor], tf.Tensor]) -> Trial:
        """The trial with data and noise changed by a function."""
        noise = tf.nest.map_structure(lambda t: None if t is None else change(t), self.noise)
        return dataclasses.replace(self, x=change(self.x), noise=noise)

    def copies(self) -> Trial:
        """The trial with a copy of the weights for each datum. One backward pass then gives each datum's gradient."""
        weights = {group: [tf.repeat(w, len(self.x), axis=0) for w in each] for group, each in self.weights.items()}
        return dataclasses.replace(self, weights=weights)

    def moved(self, group: str, direction: list[np.ndarray], distance: float) -> Trial:
        """The trial with the weights of a group moved."""
        moved = [w + distance * d for w, d in zip(self.weights[group], direction, strict=True)]
        return dataclasses.replace(self, weights=self.weights | {group: moved})


class Bench:
    """Makes trials of an estimator class.

    Args:
        make: the class, or a function that gives an estimator. It is called with `samples` and the arguments.
        arguments: the arguments of the constructor; `samples` is 5 by default.

    Attributes:
        example: an estimator, to read the declarations of its class.
        samples: S.
        size: B.
        repeats: the number of noise draws for each datum in the check of an expectation.
        done: the results of the checks so far, by name.
        kept: gradients that several checks share, of the losses and of the objective. The key is the place of q, and
            whether β differs from 1.

    Raises:
        ConfigError: the call fails, or gives no `vi.estimators.Estimator`.
    """

    def __init__(self, make: Callable[..., Estimator], arguments: Mapping[str, object]):
        self.arguments = {"samples": 5, **arguments}
        self.make, self.name = make, getattr(make, "__name__", type(make).__name__)
        self.repeats = REPEATS
        self.models: dict[tuple[str, type], LatentVariableModel] = {}
        self.done: dict[str, Check] = {}
        self.kept: dict[tuple[Place, bool], list[dict[str, np.ndarray]]] = {}
        samples = self.arguments["samples"]
        if not isinstance(samples, int) or samples < 1:
            raise ConfigError(f"samples={samples}: must be a whole number above 0.")
        self.samples = samples
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
        self.size = next(size for size in range(4, 99) if size not in taken)  # no two axes have the same size

    @property
    def signature(self) -> str:
        """The arguments in Python syntax."""
        return ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())

    def estimator(self, samples: int | None = None) -> Estimator:
        """A new estimator with `samples` samples, and random weights in its own networks."""
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
        """A trial. Its batch repeats all data `repeats` times, with different noise each time.

        The noise is the same in every precision.
        """
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


def shifted(particles: Particles, offsets: float | np.ndarray) -> Particles:
    """The particles with `offsets`, a number or `[S]`, added to log p(x|z), which moves the log weights equally."""
    shift = tf.constant(offsets, particles.log_likelihood.dtype)
    return dataclasses.replace(particles, log_likelihood=particles.log_likelihood + shift)


def given(losses: Losses) -> list[tf.Tensor]:
    """The losses that are not None."""
    return [loss for loss in losses if loss is not None]


def psi(estimator: Estimator) -> list[keras.Variable]:
    """ψ: the estimator's own trainable variables."""
    return [variable for variable in estimator.auxiliary_variables if variable.trainable]


def difference(found: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """The largest difference between two arrays, relative to the largest number; infinite if their shapes differ."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        return math.inf
    return float(np.max(np.abs(found - expected)) / max(1.0, np.max(np.abs(expected))))
