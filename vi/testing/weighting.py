"""Checks that β weighs the objective, and that the losses follow the weighted objective."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vi.particles import Losses
from vi.testing.bench import ROUNDING, Bench, Trial, difference
from vi.testing.expectation import ratio
from vi.testing.following import betas, worst
from vi.testing.gradients import LETTERS, NAMES, gradients, inherited, losses, objective
from vi.testing.linear_gaussian import OFF
from vi.testing.mistakes import surrogate
from vi.testing.report import Check, within


def follows_beta(name: str, bench: Bench) -> Check:
    """β weighs the objective of at least one group, and the losses follow the weighted objective."""
    if any(bench.done[plain].passed is False for plain in NAMES.values()):
        return Check(name, None, "Not checked: it does not follow its objective at β = 1.")
    trial = bench.trial(OFF).copies()
    if not _given(objective(trial)(trial.particles())):
        return Check(name, None, "Not promised: it states no objective for θ or φ.")
    weighed = " and ".join(LETTERS[group] for group in LETTERS if _weighs(trial, group, betas(bench)))
    if not weighed and _sees_prior(trial):
        return Check(
            name,
            False,
            "β weighs neither the loss of θ nor the loss of φ, though they depend on p(z): an `objective` of your own "
            "must use particles.tempered(), or multiply a closed-form KL by particles.kl_weight.",
        )
    promise = f"β, different for each datum, weighs the objective of {weighed}" if weighed else "β weighs no loss"
    if inherited(bench.example):
        return Check(name, bool(weighed) or None, f"{promise}; `losses` is inherited, so the losses are the objective.")
    found = {LETTERS[group]: each for group in LETTERS if (each := worst(bench, group, True))}
    failed = " and ".join(letter for letter, each in found.items() if not ratio(each) <= 1)
    return within(
        name,
        *max(found.values(), key=ratio),
        f"{promise}, and the losses follow it.",
        lambda: f"With a β for each datum, {failed} does not follow the weighted objective: {_why(bench)}",
    )


def _given(values: Losses) -> dict[str, tf.Tensor]:
    """The losses of θ and φ that are not None."""
    return {group: value for group, value in values._asdict().items() if group in LETTERS and value is not None}


def _weighs(trial: Trial, group: str, beta: tf.Tensor) -> bool:
    """Whether β changes the value or the gradient of the objective of a group."""
    value = objective(trial)
    if group not in _given(value(trial.particles())):
        return False
    plain, weighted = (
        [getattr(value(trial.particles(each)), group), gradients(trial, value, beta=each)[0][group]]
        for each in (1.0, beta)
    )
    return any(difference(*pair) > ROUNDING for pair in zip(plain, weighted, strict=True))


def _sees_prior(trial: Trial) -> bool:
    """Whether the objective of either group has a gradient for the parameters of p(z)."""
    prior = trial.weights["generative"][2:]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(prior)
        values = _given(objective(trial)(trial.particles()))
    return any(g is not None and np.any(g) for value in values.values() for g in tape.gradient(value, prior))


def _why(bench: Bench) -> str:
    """The probable mistake of losses that ignore β or misuse it."""
    trial, beta = bench.trial(OFF, repeats=10).copies(), betas(bench, 10)
    squares = surrogate(2, stopped=False, detached=True)
    taken, known = gradients(trial, losses(trial), lambda p: squares(p.stopped().tempered()), beta=beta)
    if np.allclose(taken["inference"], known["inference"], rtol=1e-6, atol=1e-9):
        return "it follows Σ w̃² ∇ log w, but the doubly reparameterized weights of φ are (1 − β) w̃ + β w̃²."
    return "losses must use particles.tempered(), or weigh by particles.kl_weight."
