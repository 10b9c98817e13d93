"""Finds the probable mistake behind a wrong gradient, by comparing it with known wrong gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from vi.particles import Losses, Particles
from vi.testing.bench import Bench
from vi.testing.gradients import LETTERS, gradients, losses, objective
from vi.testing.linear_gaussian import LATENTS, OFF


def why(bench: Bench, group: str) -> str:
    """The probable mistake of losses that do not follow the gradient of the objective."""
    trial = bench.trial(OFF, repeats=10).copies()
    taken, expected, *known = gradients(trial, losses(trial), objective(trial), *(mistake for mistake, _ in MISTAKES))
    if not np.any(taken[group]):
        return f"its loss has no gradient for {LETTERS[group]} at all."
    factor = np.sum(taken[group] * expected[group]) / np.sum(expected[group] ** 2)
    if np.allclose(taken[group], factor * expected[group], rtol=1e-6, atol=1e-9):
        return (
            f"it follows {factor:.3g} times that gradient: a loss is minimized, so it is −bound of each datum, and the "
            "train step takes the mean over the batch."
        )
    if group == "generative" and not np.any(taken[group][:, -2 * LATENTS :]):
        return "it has no gradient for the parameters of p(z), so a learned prior would not change."
    for each, (_, sentence) in zip(known, MISTAKES, strict=True):
        if np.allclose(taken[group], each[group], rtol=1e-6, atol=1e-9):
            return f"{sentence}."
    return (
        "are the weights that multiply a gradient stopped (tf.stop_gradient), does each group have its own loss, and "
        "is log q(z|x) taken at tf.stop_gradient(z) where its score is meant?"
    )


def surrogate(power: int, stopped: bool, detached: bool) -> Callable[[Particles], Losses]:
    """A function of particles that gives −Σ w̃ⁿ log w for both groups, n being the power."""

    def value(particles: Particles) -> Losses:
        log_weight = (particles.stopped() if stopped else particles).log_weight
        weight = tf.nn.softmax(log_weight, axis=1) ** power
        loss = -tf.reduce_sum((tf.stop_gradient(weight) if detached else weight) * log_weight, axis=1)
        return Losses(loss, loss)

    return value


MISTAKES = [
    *(
        (surrogate(power, stopped, False), f"its weights {w} are not stopped, but need tf.stop_gradient")
        for power, w in ((1, "w̃"), (2, "w̃²"))
        for stopped in (True, False)
    ),
    (surrogate(2, True, True), "it follows Σ w̃² ∇ log w, with φ's weights w̃² of DReG, where w̃ belongs"),
    (
        surrogate(2, False, True),
        "it follows Σ w̃² ∇ log w with log q(z|x) as it is, but the weights w̃² of DReG are for φ alone, with log q(z|x) "
        "at stopped φ (particles.stopped())",
    ),
    (
        surrogate(1, True, True),
        "it follows Σ w̃ ∇ log w at stopped log q(z|x), but in a mean of weights the score does not vanish; the weights "
        "of DReG for φ are w̃²",
    ),
]
"""Wrong gradients of an importance-weighted bound, each with a sentence that names the mistake."""
