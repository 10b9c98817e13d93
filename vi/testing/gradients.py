"""The gradients of an estimator's losses and of its objective, for each datum and parameter group."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from vi.estimators import Estimator
from vi.particles import Losses, Particles
from vi.testing.bench import STEP, Trial

LETTERS = {"generative": "θ", "inference": "φ"}
Gradients = dict[str, np.ndarray]
"""The gradient of each datum by the parameters of each group, `[N, parameters]`."""
NAMES = {group: f"gradient for {letter}" for group, letter in LETTERS.items()}


def gradients(trial: Trial, *values: Callable[[Particles], Losses], beta: float | tf.Tensor = 1.0) -> list[Gradients]:
    """The gradients by θ and φ of several losses of the same particles, `[N, parameters]` by group.

    The trial needs a copy of the weights for each datum. A group is left out if it has no loss.
    """
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(trial.weights)
        particles = trial.particles(beta)
        found = [value(particles)._asdict() for value in values]
    zero = tf.UnconnectedGradients.ZERO

    def by(weights: list[tf.Tensor], loss: tf.Tensor) -> np.ndarray:
        each = tape.gradient(loss, weights, unconnected_gradients=zero)
        return np.concatenate([np.reshape(g, [len(g), -1]) for g in each], axis=1)

    return [
        {group: by(weights, losses[group]) for group, weights in trial.weights.items() if losses[group] is not None}
        for losses in found
    ]


def losses(trial: Trial) -> Callable[[Particles], Losses]:
    """The losses of the trial's estimator, as a function of particles."""
    return lambda particles: trial.estimator.losses(particles, tf.constant(STEP))


def objective(trial: Trial) -> Callable[[Particles], Losses]:
    """The objective of the trial's estimator, as a function of particles."""
    return lambda particles: trial.estimator.objective(particles, tf.constant(STEP))


def inherited(estimator: Estimator) -> bool:
    """Whether the losses are inherited, so that they equal the objective by definition."""
    return type(estimator).losses is Estimator.losses


def target(estimator: Estimator) -> str:
    """The objective in words."""
    own = type(estimator).objective is not Estimator.objective
    return "of its own objective" if own else "of its bound"
