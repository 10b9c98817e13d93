"""Checks that the losses follow the gradient of the objective on average, for each parameter group."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vi.testing.bench import ROUNDING, Bench
from vi.testing.expectation import ratio, worst_mean
from vi.testing.gradients import LETTERS, NAMES, gradients, inherited, losses, objective, target
from vi.testing.linear_gaussian import EXACT, NEAR, OFF, GivenGaussian, PathlessGaussian
from vi.testing.mistakes import why
from vi.testing.report import Check, within

BETAS = (0.25, 0.75)
"""β of the first and of the last datum. The β of the other data are evenly spaced between them."""
DISTANCE = 1e-5
"""The step size of a finite difference. The error is of the order of its square."""


def follows(name: str, bench: Bench, group: str) -> Check:
    """The gradient of the losses and the gradient of the objective have the same mean over noise draws."""
    if inherited(bench.example):
        return Check(name, None, "Nothing to check: `losses` is inherited, so the losses are the objective.")
    letter, found = LETTERS[group], worst(bench, group, False)
    if found is None:
        return _leads(name, bench, group)
    return within(
        name,
        *found,
        f"On average {letter} follows the gradient {target(bench.example)} (nats; the worst of its entries).",
        lambda: f"On average {letter} does not follow the gradient {target(bench.example)}: {why(bench, group)}",
    )


def _leads(name: str, bench: Bench, group: str) -> Check:
    """For a group without an objective: its loss decreases on average if q moves towards the true posterior."""
    letter, trial = LETTERS[group], bench.trial(OFF, repeats=bench.repeats).copies()
    if group != "inference":
        return Check(name, None, f"Not promised: it states no objective for {letter}.")
    (taken,) = gradients(trial, losses(trial))
    exact = bench.trial(EXACT).weights[group]
    towards = np.concatenate([np.ravel(e - w[:1]) for e, w in zip(exact, trial.weights[group], strict=True)])
    slopes = np.reshape(taken[group] @ towards, [bench.repeats, bench.size]).mean(axis=1, keepdims=True)
    error = worst_mean(slopes, np.zeros(1), tests=1, sides=1)[1]
    return within(
        name,
        float(slopes.mean()),
        -error,
        f"It states no objective for {letter}, whose loss falls on average from q off the true posterior towards it.",
        f"It states no objective for {letter}, and on average its loss does not fall from q off the true posterior "
        "towards it: has it the wrong sign, or a gradient of mean zero?",
    )


def without_path(name: str, bench: Bench) -> Check:
    """The mean gradient of the losses over noise draws is the same whether or not z passes a gradient."""
    if bench.example.pathwise:
        return Check(name, None, "Nothing to check: `pathwise` is True, so it refuses posteriors without a path.")
    if any(bench.done[plain].passed is False for plain in NAMES.values()):
        return Check(name, None, "Not checked: with a path its losses have another gradient than its objective.")
    trial, pathless = (
        bench.trial(OFF, repeats=bench.repeats, posterior=q).copies() for q in (GivenGaussian, PathlessGaussian)
    )
    (expected,), (taken,) = gradients(trial, objective(trial)), gradients(pathless, losses(pathless))
    found = {
        letter: worst_excess(bench, taken[group], expected[group], tests=2)
        for group, letter in LETTERS.items()
        if group in expected
    }
    if not found:
        return Check(name, None, "Not promised: it states no objective for θ or φ.")
    failed = " and ".join(letter for letter, worst in found.items() if not ratio(worst) <= 1)
    return within(
        name,
        *max(found.values(), key=ratio),
        f"If z passes no gradient, as with discrete latents, {' and '.join(found)} still follow the objective.",
        f"If z passes no gradient, as with discrete latents, {failed} does not follow the objective: declare "
        "pathwise = True, or give φ a score: the gradient of log q(z|x) at tf.stop_gradient(z).",
    )


def differences(name: str, bench: Bench, group: str) -> Check:
    """The gradient of the objective agrees with finite differences of its value, for the same noise."""
    letter = LETTERS[group]
    trial = bench.trial(OFF, repeats=8).copies()
    taken = gradients(trial, objective(trial))[0].get(group)
    if taken is None:
        return Check(name, None, f"Not promised: it states no objective for {letter}.")

    def total(direction: list[np.ndarray], distance: float) -> float:
        moved = trial.moved(group, direction, distance)
        return float(tf.reduce_sum(getattr(objective(moved)(moved.particles()), group)))

    rng, errors = np.random.default_rng(3), []
    for _ in range(2):
        direction = [rng.standard_normal(w.shape) for w in trial.weights[group]]
        flat = np.concatenate([np.reshape(d, [len(d), -1]) for d in direction], axis=1)
        slope = (total(direction, DISTANCE) - total(direction, -DISTANCE)) / (2 * DISTANCE)
        errors.append(abs(slope - np.sum(flat * taken)))
    return within(
        name,
        max(errors) / max(float(np.linalg.norm(taken)), 1e-3),
        1e-5,
        f"The gradient of the objective by {letter} agrees with finite differences (relative).",
        f"The gradient of the objective by {letter} disagrees with finite differences: a tf.stop_gradient, or an "
        "operation without a gradient, stands in `bound` or `objective`; it belongs in `losses`.",
    )


def betas(bench: Bench, repeats: int = 1) -> tf.Tensor:
    """β of each datum, `[B · repeats]`."""
    return tf.tile(tf.linspace(tf.constant(BETAS[0], tf.float64), BETAS[1], bench.size), [repeats])


def worst(bench: Bench, group: str, weighted: bool) -> tuple[float, float] | None:
    """The worst mean, over noise draws, of the losses' gradient minus the objective's gradient, and its limit."""
    found = []
    for place in (OFF, NEAR):
        if (place, weighted) not in bench.kept:
            trial, beta = (
                bench.trial(place, repeats=bench.repeats).copies(),
                betas(bench, bench.repeats) if weighted else 1.0,
            )
            bench.kept[place, weighted] = gradients(trial, losses(trial), objective(trial), beta=beta)
        taken, expected = bench.kept[place, weighted]
        if group not in expected:
            return None
        found.append(worst_excess(bench, taken[group], expected[group], tests=4 if weighted else 2))
    return max(found, key=ratio)


def worst_excess(bench: Bench, taken: np.ndarray, expected: np.ndarray, tests: int) -> tuple[float, float]:
    """The worst mean, over noise draws and data, of the difference of two gradients, and its limit."""
    batches = [bench.repeats, bench.size, -1]
    excess = np.reshape(taken - expected, batches).mean(axis=1)
    rounding = ROUNDING * (1 + np.abs(np.reshape(expected, batches)).mean(axis=(0, 1)))
    return worst_mean(excess, rounding, tests)
