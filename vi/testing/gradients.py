"""Whether the losses of an estimator follow the gradient of its objective, for each parameter group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from vi.estimators import Estimator
from vi.particles import Losses, Particles
from vi.testing.bench import ROUNDING, STEP, Bench, Trial, difference, shifted
from vi.testing.expectation import REPEATS, ratio, worst_mean
from vi.testing.linear_gaussian import EXACT, LATENTS, NEAR, OFF, GivenGaussian, PathlessGaussian
from vi.testing.report import Check, within

LETTERS = {"generative": "θ", "inference": "φ"}
NAMES = {group: f"gradient for {letter}" for group, letter in LETTERS.items()}
BETAS = (0.25, 0.75)
"""β of each datum, from the first to the last."""
DISTANCE = 1e-5
"""Of a finite difference: its error is of the order of the square of it."""


def gradients(
    trial: Trial, *values: Callable[[Particles], Losses], beta: float | tf.Tensor = 1.0
) -> list[dict[str, Any]]:
    """Of several losses of the same particles, the gradient by θ and φ for each datum, `[N, parameters]` by group.

    It is None where there is no loss for the group.
    """
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(trial.weights)
        particles = trial.particles(beta)
        found = [value(particles)._asdict() for value in values]
    zero = tf.UnconnectedGradients.ZERO

    def taken(loss: tf.Tensor | None, weights: list[Any]) -> np.ndarray | None:
        each = None if loss is None else tape.gradient(loss, weights, unconnected_gradients=zero)
        return None if each is None else np.concatenate([np.reshape(g, [len(g), -1]) for g in each], axis=1)

    return [{group: taken(losses[group], weights) for group, weights in trial.weights.items()} for losses in found]


def losses(trial: Trial) -> Callable[[Particles], Losses]:
    """What is differentiated, as a function of particles."""
    return lambda particles: trial.estimator.losses(particles, tf.constant(STEP))


def objective(trial: Trial) -> Callable[[Particles], Losses]:
    """What the groups descend in expectation, as a function of particles."""
    return lambda particles: trial.estimator.objective(particles, tf.constant(STEP))


def inherited(estimator: Estimator) -> bool:
    """Whether its losses are the objective by definition, so that comparing them would prove nothing."""
    return type(estimator).losses is Estimator.losses


def target(estimator: Estimator) -> str:
    """The objective in words."""
    own = type(estimator).objective is not Estimator.objective
    return "of its own objective" if own else "of its bound"


def _betas(bench: Bench, repeats: int = 1) -> tf.Tensor:
    """β of each datum."""
    return tf.tile(tf.linspace(tf.constant(BETAS[0], tf.float64), BETAS[1], bench.size), [repeats])


def _worst(bench: Bench, group: str, weighted: bool) -> tuple[float, float] | None:
    """The worst mean over noises of the gradient of the losses less that of the objective, from the same noises."""
    found = []
    for place in (OFF, NEAR):
        if (place, weighted) not in bench.kept:
            trial, beta = bench.trial(place, repeats=REPEATS).copies(), _betas(bench, REPEATS) if weighted else 1.0
            bench.kept[place, weighted] = gradients(trial, losses(trial), objective(trial), beta=beta)
        taken, expected = (each[group] for each in bench.kept[place, weighted])
        if expected is None:
            return None
        found.append(_excess(bench, taken, expected, tests=4 if weighted else 2))
    return max(found, key=ratio)


def _excess(bench: Bench, taken: np.ndarray, expected: np.ndarray, tests: int) -> tuple[float, float]:
    """The worst mean over noises of what one gradient has beyond another, averaged over data, with its limit."""
    batches = [REPEATS, bench.size, -1]
    excess = np.reshape(taken - expected, batches).mean(axis=1)
    rounding = ROUNDING * (1 + np.abs(np.reshape(expected, batches)).mean(axis=(0, 1)))
    return worst_mean(excess, rounding, tests)


def follows(name: str, bench: Bench, group: str) -> Check:
    """The mean over noises of the gradient of the losses is that of the objective."""
    if inherited(bench.example):
        return Check(name, None, "Nothing to check: `losses` is inherited, so they are the objective itself.")
    letter, worst = LETTERS[group], _worst(bench, group, False)
    if worst is None:
        return _leads(name, bench, group)
    return within(
        name,
        *worst,
        f"On average {letter} follows the gradient {target(bench.example)} (nats; the worst of its entries).",
        lambda: f"On average {letter} does not follow the gradient {target(bench.example)}: {_why(bench, group)}",
    )


def _leads(name: str, bench: Bench, group: str) -> Check:
    """Where no objective is stated for a group, its loss falls on average from q off the true posterior towards it."""
    letter, trial = LETTERS[group], bench.trial(OFF, repeats=REPEATS).copies()
    if group != "inference":
        return Check(name, None, f"Not promised: it states no objective for {letter}.")
    (taken,) = gradients(trial, losses(trial))
    exact = bench.trial(EXACT).weights[group]
    towards = np.concatenate([np.ravel(e - w[:1]) for e, w in zip(exact, trial.weights[group], strict=True)])
    slopes = np.reshape(taken[group] @ towards, [REPEATS, bench.size]).mean(axis=1, keepdims=True)
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
    """Where z passes no gradient, the mean over noises of the gradient of the losses is the same as where it does."""
    if bench.example.pathwise:
        return Check(name, None, "Nothing to check: it is pathwise, so any other posterior is refused.")
    if any(bench.done[plain].passed is False for plain in NAMES.values()):
        return Check(name, None, "Not checked: it does not follow its objective with a path.")
    trial, pathless = (
        bench.trial(OFF, repeats=REPEATS, posterior=q).copies() for q in (GivenGaussian, PathlessGaussian)
    )
    (expected,), (taken,) = gradients(trial, objective(trial)), gradients(pathless, losses(pathless))
    found = {
        letter: _excess(bench, taken[group], expected[group], tests=2)
        for group, letter in LETTERS.items()
        if expected[group] is not None
    }
    if not found:
        return Check(name, None, "Not promised: it states no objective for θ or φ.")
    failed = " and ".join(letter for letter, worst in found.items() if not ratio(worst) <= 1)
    return within(
        name,
        *max(found.values(), key=ratio),
        f"Where z passes no gradient, as of discrete latents, {' and '.join(found)} still follow the objective.",
        f"Where z passes no gradient, as of discrete latents, {failed} does not follow the objective: declare "
        "pathwise = True, or give φ a score, of log q(z|x) at tf.stop_gradient(z).",
    )


def follows_beta(name: str, bench: Bench) -> Check:
    """β weighs the objective of a group at least, and the losses follow it then too."""
    if any(bench.done[plain].passed is False for plain in NAMES.values()):
        return Check(name, None, "Not checked: it does not follow its objective without β.")
    trial = bench.trial(OFF).copies()
    if not _given(objective(trial)(trial.particles())):
        return Check(name, None, "Not promised: it states no objective for θ or φ.")
    weighed = " and ".join(LETTERS[group] for group in LETTERS if _weighs(trial, group, _betas(bench)))
    if not weighed and _sees_prior(trial):
        return Check(
            name,
            False,
            "β weighs neither group, though p(z) stands in what they descend: an `objective` of one's own uses "
            "particles.tempered(), or multiplies a KL in closed form by particles.kl_weight.",
        )
    promise = f"β, of each datum its own, weighs the objective of {weighed}" if weighed else "β weighs neither group"
    if inherited(bench.example):
        return Check(
            name, bool(weighed) or None, f"{promise}; `losses` is inherited, so they are the objective itself."
        )
    found = {LETTERS[group]: worst for group in LETTERS if (worst := _worst(bench, group, True))}
    failed = " and ".join(letter for letter, worst in found.items() if not ratio(worst) <= 1)
    return within(
        name,
        *max(found.values(), key=ratio),
        f"{promise}, and the losses follow it.",
        lambda: f"With a β for each datum, {failed} does not follow the weighted objective: {_why_weighted(bench)}",
    )


def _given(values: Losses) -> dict[str, tf.Tensor]:
    """Those of θ and φ that are not None."""
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


def _why_weighted(bench: Bench) -> str:
    """What losses that ignore β, or weigh by it in a wrong way, probably do."""
    trial, beta = bench.trial(OFF, repeats=10).copies(), _betas(bench, 10)
    squares = _surrogate(2, stopped=False, detached=True)
    taken, known = gradients(trial, losses(trial), lambda p: squares(p.stopped().tempered()), beta=beta)
    if np.allclose(taken["inference"], known["inference"], rtol=1e-6, atol=1e-9):
        return "it follows Σ w̃² ∇ log w, but the doubly reparameterized weights of φ are (1 − β) w̃ + β w̃²."
    return "losses must use particles.tempered(), or weigh by particles.kl_weight."


def _why(bench: Bench, group: str) -> str:
    """What losses that follow another gradient probably do: known mistakes are compared with them."""
    trial = bench.trial(OFF, repeats=10).copies()
    taken, expected, *known = gradients(trial, losses(trial), objective(trial), *(mistake for mistake, _ in MISTAKES))
    if not np.any(taken[group]):
        return f"its loss has no gradient for {LETTERS[group]} at all."
    factor = np.sum(taken[group] * expected[group]) / np.sum(expected[group] ** 2)
    if np.allclose(taken[group], factor * expected[group], rtol=1e-6, atol=1e-9):
        return (
            f"it follows {factor:.3g} times that gradient: a loss is what is descended, so −bound, for each datum; the "
            "mean over the batch is taken by the train step."
        )
    if group == "generative" and not np.any(taken[group][:, -2 * LATENTS :]):
        return "it has no gradient for the parameters of p(z), so a prior that is learned would stay as it is."
    for each, (_, sentence) in zip(known, MISTAKES, strict=True):
        if np.allclose(taken[group], each[group], rtol=1e-6, atol=1e-9):
            return f"{sentence}."
    return (
        "are the weights that multiply a gradient stopped (tf.stop_gradient), does each group have its own loss, and "
        "is log q(z|x) taken at tf.stop_gradient(z) where its score is meant?"
    )


def _surrogate(power: int, stopped: bool, detached: bool) -> Callable[[Particles], Losses]:
    """−Σ w̃ⁿ log w for both groups."""

    def value(particles: Particles) -> Losses:
        log_weight = (particles.stopped() if stopped else particles).log_weight
        weight = tf.nn.softmax(log_weight, axis=1) ** power
        loss = -tf.reduce_sum((tf.stop_gradient(weight) if detached else weight) * log_weight, axis=1)
        return Losses(loss, loss)

    return value


MISTAKES = [
    *(
        (_surrogate(power, stopped, False), f"its weights {w} are not stopped, but need tf.stop_gradient")
        for power, w in ((1, "w̃"), (2, "w̃²"))
        for stopped in (True, False)
    ),
    (_surrogate(2, True, True), "it follows Σ w̃² ∇ log w, with φ's weights w̃² of DReG, where w̃ belongs"),
    (
        _surrogate(2, False, True),
        "it follows Σ w̃² ∇ log w with log q(z|x) as it is, but the weights w̃² of DReG are for φ alone, with log q(z|x) "
        "at stopped φ (particles.stopped())",
    ),
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
    trial = bench.trial(OFF, repeats=8).copies()
    taken = gradients(trial, objective(trial))[0][group]
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
        f"That gradient by {letter} is the one of finite differences (relative).",
        f"That gradient by {letter} is not the one of finite differences: a tf.stop_gradient, or an operation without "
        "a gradient, stands in `bound` or `objective`; it belongs in `losses`.",
    )


def finite(trial: Trial, offsets: np.ndarray) -> tuple[bool, list[str]]:
    """Whether the bound is finite with these offsets, and the groups whose objective is: only its gradient can be."""
    particles = shifted(trial.particles(), offsets)
    values = objective(trial)(particles)._asdict()
    groups = [group for group in LETTERS if values[group] is None or np.all(np.isfinite(values[group]))]
    return bool(np.all(np.isfinite(trial.estimator.bound(particles)))), groups


def at_extremes(trial: Trial, offsets: np.ndarray, groups: list[str]) -> dict[str, Any]:
    """The bound, and the gradient of the loss of each of some groups, with these offsets."""
    (taken,) = gradients(trial, lambda particles: losses(trial)(shifted(particles, offsets)))
    bound = trial.estimator.bound(shifted(trial.particles(), offsets))
    return {"the bound": bound, **{f"the gradient for {LETTERS[group]}": taken[group] for group in groups}}
