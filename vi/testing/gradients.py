"""Whether the losses of an estimator follow the gradient of its objective, for each parameter group."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from vi.estimators import Estimator
from vi.testing.bench import ROUNDING, STEP, Bench, Trial
from vi.testing.expectation import REPEATS, ratio, worst_mean
from vi.testing.linear_gaussian import NEAR, OFF
from vi.testing.report import Check, within
from vi.types import Particles

LETTERS = {"generative": "θ", "inference": "φ"}
NAMES = {group: f"gradient for {letter}" for group, letter in LETTERS.items()}
BETA = 0.5
DISTANCE = 1e-5
"""Of a finite difference: its error is of the order of the square of it."""


def gradient(trial: Trial, group: str, *values: Callable[[Particles], Any], beta: float = 1.0) -> list[np.ndarray]:
    """The gradient by θ or φ of each of several `[N]` of the same particles, for each datum: `[N, parameters]` each."""
    weights = trial.weights[group]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(trial.weights)
        particles = trial.particles(beta)
        found = [value(particles) for value in values]
    zero = tf.UnconnectedGradients.ZERO
    taken = [tape.gradient(value, weights, unconnected_gradients=zero) for value in found]
    return [np.concatenate([np.reshape(g, [len(g), -1]) for g in each], axis=1) for each in taken]


def objective(estimator: Estimator, group: str) -> Callable[[Particles], Any]:
    """What the group descends in expectation."""
    return lambda particles: getattr(estimator.objective(particles, tf.constant(STEP)), group)


def _loss(estimator: Estimator, group: str) -> Callable[[Particles], Any]:
    """What is differentiated for the group."""
    return lambda particles: getattr(estimator.losses(particles, tf.constant(STEP)), group)


def states_none(bench: Bench, group: str) -> bool:
    """Whether the estimator states no objective for the group."""
    return objective(bench.example, group)(bench.trial().particles()) is None


def target(estimator: Estimator) -> str:
    """The objective in words."""
    own = type(estimator).objective is not Estimator.objective
    return "of its own objective" if own else "of its bound"


def follows(name: str, bench: Bench, group: str, beta: float = 1.0) -> Check:
    """The mean over noises of the gradient of the losses is that of the objective, from the same noises."""
    letter = LETTERS[group]
    if states_none(bench, group):
        return Check(name, None, f"Not promised: it states no objective for {letter}.")
    found = []
    for place in (OFF, NEAR):
        trial = bench.trial(place, repeats=REPEATS).copies()
        loss = _loss(trial.estimator, group)
        taken, expected = gradient(trial, group, loss, objective(trial.estimator, group), beta=beta)
        batches = [REPEATS, bench.size, -1]
        excess = np.reshape(taken - expected, batches).mean(axis=1)
        rounding = ROUNDING * (1 + np.abs(np.reshape(expected, batches)).mean(axis=(0, 1)))
        found.append(worst_mean(excess, rounding, tests=4 if beta != 1 else 2))
    worst = max(found, key=ratio)
    return within(
        name,
        *worst,
        f"On average {letter} follows the gradient {target(bench.example)} (nats; the worst of its entries).",
        f"On average {letter} does not follow the gradient {target(bench.example)}: {_why(bench, group)}",
    )


def follows_beta(name: str, bench: Bench) -> Check:
    """The same with β, for both groups."""
    plain = [bench.done[NAMES[group]] for group in LETTERS]
    if any(check.passed is False for check in plain):
        return Check(name, None, "Not checked: it does not follow its objective without β.")
    groups = [group for group, check in zip(LETTERS, plain, strict=True) if check.passed]
    checks = [follows(name, bench, group, BETA) for group in groups]
    worst = max(checks, key=lambda check: ratio((check.value, check.limit)))  # type: ignore[arg-type]
    failed = " and ".join(LETTERS[g] for g, check in zip(groups, checks, strict=True) if not check.passed)
    return within(
        name,
        worst.value,  # type: ignore[arg-type]
        worst.limit,  # type: ignore[arg-type]
        f"So they do where β = {BETA} weighs the KL.",
        f"With β = {BETA}, {failed} does not follow the weighted objective: losses must use particles.tempered(), or "
        "weigh by particles.kl_weight.",
    )


def _why(bench: Bench, group: str) -> str:
    """What losses that follow another gradient probably do: known mistakes are compared with them."""
    trial = bench.trial(OFF, repeats=10).copies()
    loss = _loss(trial.estimator, group)
    taken, *known = gradient(trial, group, loss, *(mistake for mistake, _ in MISTAKES))
    for gradients, (_, sentence) in zip(known, MISTAKES, strict=True):
        if np.allclose(taken, gradients, rtol=1e-6, atol=1e-9):
            return f"{sentence}."
    return (
        "are the weights that multiply a gradient stopped (tf.stop_gradient), is each group's loss its own, and is no "
        "part of the path or of the score left out?"
    )


def _surrogate(power: int, stopped: bool, detached: bool) -> Callable[[Particles], tf.Tensor]:
    """−Σ w̃ⁿ log w."""

    def value(particles: Particles) -> tf.Tensor:
        log_weight = (particles.stopped() if stopped else particles).log_weight
        weight = tf.nn.softmax(log_weight, axis=1) ** power
        return -tf.reduce_sum((tf.stop_gradient(weight) if detached else weight) * log_weight, axis=1)

    return value


MISTAKES = [
    *(
        (_surrogate(power, stopped, False), f"its weights {w} are not stopped, but need tf.stop_gradient")
        for power, w in ((1, "w̃"), (2, "w̃²"))
        for stopped in (True, False)
    ),
    (_surrogate(2, True, True), "it follows Σ w̃² ∇ log w, with φ's weights w̃² of DReG, where w̃ belongs"),
    (_surrogate(2, False, True), "it follows Σ w̃² ∇ log w, with φ's weights w̃² of DReG, where w̃ belongs"),
    (
        _surrogate(1, True, True),
        "it follows Σ w̃ ∇ log w at stopped log q(z|x), but in a mean of weights the score does not vanish; the weights "
        "of DReG for φ are w̃²",
    ),
]
"""Gradients that are taken for that of an importance-weighted bound, and what is wrong with each."""


def differences(name: str, bench: Bench, group: str) -> Check:
    """The gradient of the objective is that of its value, by finite differences with the same noise."""
    letter = LETTERS[group]
    if states_none(bench, group):
        return Check(name, None, f"Not promised: it states no objective for {letter}.")
    trial = bench.trial(OFF, repeats=8).copies()
    value = objective(trial.estimator, group)
    (taken,) = gradient(trial, group, value)
    weights, rng, errors = trial.weights[group], np.random.default_rng(3), []
    for _ in range(2):
        direction = [rng.standard_normal(w.shape) for w in weights]
        ends = [tf.reduce_sum(value(trial.moved(group, direction, d).particles())) for d in (DISTANCE, -DISTANCE)]
        flat = np.concatenate([np.reshape(d, [len(d), -1]) for d in direction], axis=1)
        errors.append(abs(float(ends[0] - ends[1]) / (2 * DISTANCE) - np.sum(flat * taken)))
    return within(
        name,
        max(errors) / max(float(np.linalg.norm(taken)), 1e-3),
        1e-5,
        f"That gradient by {letter} is the one of finite differences (relative).",
        f"That gradient by {letter} is not the one of finite differences: a tf.stop_gradient, or an operation without "
        "a gradient, stands in `bound` or `objective`; it belongs in `losses`.",
    )


def _shifted(particles: Particles, offsets: np.ndarray) -> Particles:
    """The particles with `offsets` `[S]` added to their log weights."""
    shift = tf.constant(offsets, particles.log_likelihood.dtype)
    return dataclasses.replace(particles, log_likelihood=particles.log_likelihood + shift)


def finite(trial: Trial, offsets: np.ndarray) -> list[str]:
    """The groups whose objective is a finite number with these offsets: only its gradient can be."""
    particles = _shifted(trial.particles(), offsets)
    values = {group: objective(trial.estimator, group)(particles) for group in LETTERS}
    return [group for group, value in values.items() if value is None or np.all(np.isfinite(value))]


def at_extremes(trial: Trial, offsets: np.ndarray, groups: list[str]) -> dict[str, Any]:
    """The bound, and the gradient of the loss of each of some groups, with these offsets."""

    def loss(group: str) -> Callable[[Particles], Any]:
        return lambda particles: _loss(trial.estimator, group)(_shifted(particles, offsets))

    taken = {f"the gradient for {LETTERS[group]}": gradient(trial, group, loss(group))[0] for group in groups}
    return {"the bound": trial.estimator.bound(_shifted(trial.particles(), offsets)), **taken}
