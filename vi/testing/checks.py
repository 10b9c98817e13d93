"""All checks of an estimator: each holds one promise of the contract to a number, and says what it means."""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from vi.errors import ConfigError
from vi.estimators import Estimator
from vi.particles import Losses
from vi.settings.sentences import first_line
from vi.testing import gradients
from vi.testing.bench import ROUNDING, STEP, Bench, Trial, difference, psi
from vi.testing.expectation import expectation
from vi.testing.linear_gaussian import precision
from vi.testing.report import Check, Report, within


def check_estimator(estimator: Callable[..., Any], **arguments: Any) -> Report:
    """Checks everything that an estimator promises, on a model of which everything is known.

    In a test of your own: `check_estimator(MyEstimator).raise_if_failed()`.

    Gradients are checked for each datum's own copy of the weights, in one batch of thousands of data. So a loss that
    couples the data of a batch, as a baseline that is their mean does, is checked in a large batch only.

    Args:
        estimator: the class, or a function that gives one; it is called with `samples`, by default 5, and the
            arguments.
        arguments: of the constructor.

    Raises:
        ConfigError: that call fails, or gives no `vi.estimators.Estimator`.
    """
    start = time.perf_counter()
    with precision("float64"):
        bench = Bench(estimator, arguments)
        for name, check in CHECKS.items():
            broken = next((gate for gate in GATES if gate in bench.done and not bench.done[gate].passed), None)
            untold = Check(name, None, f"Not checked: see {broken}.")
            bench.done[name] = untold if broken else _run(name, check, bench)
    kind, seconds = str(bench.example.kind), time.perf_counter() - start
    return Report(f"{bench.name}({bench.signature})", kind, tuple(bench.done.values()), seconds)


def _run(name: str, check: Callable[[str, Bench], Check], bench: Bench) -> Check:
    """A check, which fails where an error is raised in it."""
    try:
        return check(name, bench)
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {first_line(error)}{_where(error, bench)}")


def _where(error: Exception, bench: Bench) -> str:
    """The line of the estimator's own file at which an error was raised, if it was there."""
    file = getattr(sys.modules[type(bench.example).__module__], "__file__", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({Path(str(file)).name}, line {lines[-1]})" if lines else ""


def _given(losses: Losses) -> list[tf.Tensor]:
    """The losses that are not None."""
    return [loss for loss in losses if loss is not None]


def _shape(name: str, bench: Bench) -> Check:
    with precision("float32"):
        trial = bench.trial(dtype="float32")
        bound, losses = trial.bound(), trial.losses()
    if not isinstance(losses, Losses):
        return Check(name, False, f"losses must return a vi.types.Losses, but returns a {type(losses).__name__}.")
    values = {"bound": bound, "the loss for θ": losses.generative, "the loss for φ": losses.inference}
    if losses.auxiliary is not None:
        values["the loss for ψ"] = losses.auxiliary
    wrong = [f"{what} has shape {np.shape(v)}" for what, v in values.items() if np.shape(v) != (bench.size,)]
    return within(
        name,
        len(wrong),
        0,
        f"Bound and losses have a number for each datum, [B] = [{bench.size}].",
        f"{'; '.join(wrong)} for B = {bench.size} data and {bench.example.draws.posterior} samples each: reduce over "
        "the samples, axis=1; are the axes of data and samples swapped?",
    )


def _double(name: str, bench: Bench) -> Check:
    trial = bench.trial()
    values = [trial.bound(), *_given(trial.losses())]
    if not all(value.dtype == tf.float64 for value in values):
        return Check(name, False, "In double precision bound or losses are not double: cast constants to their dtype.")
    with precision("float32"):
        single = bench.trial(dtype="float32").bound()
    return within(
        name,
        difference(single, values[0]),
        1e-4,
        "In double precision the bound is the same to rounding.",
        "Single and double precision disagree: is something not in log space, or are numbers of very different size "
        "subtracted?",
    )


def _finite(name: str, bench: Bench) -> Check:
    with precision("float32"):
        trial = bench.trial(dtype="float32")
        values = [trial.bound(), *_given(trial.losses())]
    return within(
        name,
        sum(not np.all(np.isfinite(value)) for value in values),
        0,
        "Bound and losses are finite at ordinary weights.",
        "Bound or losses are not finite at ordinary weights: is there a log of, or a division by, what may be zero?",
    )


def _randomness(name: str, bench: Bench) -> Check:
    with precision("float32"):
        trial = bench.trial(dtype="float32")
        first, second = ([trial.bound(), *_given(trial.losses())] for _ in range(2))
    return within(
        name,
        max(difference(*pair) for pair in zip(first, second, strict=True)),
        0,
        "The same particles give the same bound and losses.",
        "The same particles give another bound or other losses: draw no random number, but ask for noise in `draws`.",
    )


def _by_itself(name: str, bench: Bench) -> Check:
    trial = bench.trial()
    alone = [trial.rows([i]).bound()[0] for i in range(bench.size)]
    twice = trial.rows(np.tile(np.arange(bench.size), 2))
    pairs = zip(_given(twice.losses())[:2], _given(trial.losses())[:2], strict=True)  # those of θ and φ
    for both, once in pairs:
        if np.any(once) and (np.ptp(once) == 0 or difference(both[: bench.size], once / 2) <= ROUNDING):
            meaning = (
                "Losses are divided by B, averaged over the batch, or normalized over axis=0: they are of each datum."
            )
            return Check(name, False, f"{meaning} The mean over the batch is taken by the train step.")
    return within(
        name,
        difference(trial.bound(), alone),
        ROUNDING,
        "The bound of a datum is the same in a batch of its own.",
        "The bound of a datum depends on the others of its batch: something is reduced or normalized over axis=0.",
    )


def _order_of_data(name: str, bench: Bench) -> Check:
    trial, order = bench.trial(), np.roll(np.arange(bench.size), 1)
    moved = trial.rows(order)
    pairs = [(moved.bound(), trial.bound())]
    for beta in (tf.ones(bench.size, tf.float64), tf.range(bench.size, dtype=tf.float64)):  # of each datum its own
        of_moved = moved.losses(kl_weight=tf.gather(beta, order))
        pairs += zip(_given(of_moved), _given(trial.losses(kl_weight=beta)), strict=True)
    return within(
        name,
        max(difference(found, tf.gather(expected, order)) for found, expected in pairs),
        ROUNDING,
        "Bound and losses go with their data and the β of each, whatever their order.",
        "Bounds or losses change with the order of the data: is a tensor reshaped across the axes, or the β of one "
        "datum taken for all?",
    )


def _order_of_samples(name: str, bench: Bench) -> Check:
    if not bench.example.exchangeable:
        return Check(name, None, "Not promised: the samples are declared not exchangeable.")
    trial = bench.trial()
    order = np.roll(np.arange(trial.noise.posterior.shape[1]), 1)
    noise = trial.noise._replace(posterior=tf.gather(trial.noise.posterior, order, axis=1))
    moved = dataclasses.replace(trial, noise=noise)
    return within(
        name,
        difference(moved.bound(), trial.bound()),
        ROUNDING,
        "The bound is the same for every order of the samples.",
        "The bound changes with the order of the samples: declare exchangeable = False, or treat all alike.",
    )


def _unweighted(name: str, bench: Bench) -> Check:
    trial = bench.trial()
    weights = (0.5, tf.range(bench.size, dtype=tf.float64))
    values = [difference(trial.bound(kl_weight=weight), trial.bound()) for weight in weights]
    for weight in weights:
        if any(loss.shape != (bench.size,) for loss in _given(trial.losses(kl_weight=weight))):
            return Check(name, False, f"With β = {weight} the losses are not [B].")
    return within(
        name,
        max(values),
        ROUNDING,
        "β weighs the loss and never the bound; it may be a number for each datum.",
        "The bound changes with β: it must not use particles.kl_weight, which is for `objective` and `losses`.",
    )


def _extremes(name: str, bench: Bench) -> Check:
    wrong, beyond_double = [], False
    for what, low, high in (("spread over ±10,000", -1e4, 1e4), ("near −100,000", -1e5, -1e5)):
        offsets = np.linspace(low, high, bench.example.draws.posterior)
        bound, promised = gradients.finite(bench.trial(), offsets)
        with precision("float32"):
            found = gradients.at_extremes(bench.trial(dtype="float32").copies(), offsets, promised)
        if bench.example.kind == "estimate" and not bound:
            beyond_double = True
            del found["the bound"]
        wrong += [f"{each} with log weights {what}" for each, v in found.items() if not np.all(np.isfinite(v))]
    if beyond_double and not wrong:
        return Check(
            name, None, "Not promised: as an estimate of the weights themselves, double cannot hold it either."
        )
    return within(
        name,
        len(wrong),
        0,
        "Log weights of ±10,000 and of −100,000 give finite bounds and gradients in single precision.",
        f"Not finite: {', '.join(wrong)}: stay in log space, with vi.ops.log_mean_exp and tf.nn.softmax for exp.",
    )


def _one_sample(name: str, bench: Bench) -> Check:
    try:
        bench.estimator(1)
    except ConfigError as error:
        return Check(name, True, f"It refuses samples=1: {error}")
    trial = bench.trial(samples=1)
    values = [trial.bound(), *_given(trial.losses())]
    wrong = sum(v.shape != (bench.size,) or not np.all(np.isfinite(v)) for v in values)
    return within(
        name,
        wrong,
        0,
        "One sample for each datum gives finite bounds and losses.",
        "One sample gives no finite [B]: is something divided by S − 1? If it needs more, raise vi.ConfigError.",
    )


def _everything(trial: Trial, update: bool = False) -> list[tf.Tensor]:
    """Bound, losses and gradients, as a train step takes them."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(trial.weights)
        particles = trial.particles()
        losses = trial.estimator.losses(particles, tf.constant(STEP))
    values = [trial.estimator.bound(particles), *_given(losses)]
    for loss, weights in (
        (losses.generative, trial.weights["generative"]),
        (losses.inference, trial.weights["inference"]),
    ):
        values += tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    if update:
        trial.estimator.update(particles)
    return values


def _traced(trial: Trial, batch: int | None, **options: Any) -> Callable[..., Any]:
    """`_everything` of data and noise, traced for a batch size."""

    def specification(t: tf.Tensor | None) -> tf.TensorSpec | None:
        return None if t is None else tf.TensorSpec([batch, *t.shape[1:]], t.dtype)

    function = tf.function(lambda x, noise: _everything(dataclasses.replace(trial, x=x, noise=noise), True), **options)
    return function.get_concrete_function(*tf.nest.map_structure(specification, (trial.x, trial.noise)))


def _compiled(name: str, bench: Bench) -> Check:
    trial = bench.trial()
    eager = _everything(trial)
    found = _traced(trial, bench.size, jit_compile=True)(trial.x, trial.noise)
    return within(
        name,
        max(difference(*pair) for pair in zip(found, eager, strict=True)),
        ROUNDING,
        "Compiled by XLA, bound, losses and gradients are the same to rounding, and `update` runs.",
        "Compiled by XLA it gives other numbers: does it use Python or NumPy on values, or draw random numbers?",
    )


def _unknown_batch(name: str, bench: Bench) -> Check:
    trial = bench.trial()
    eager = _everything(trial)
    few = trial.rows([0, 1])
    found = _traced(trial, None)
    pairs = [*zip(found(trial.x, trial.noise), eager, strict=True), (found(few.x, few.noise)[0], eager[0][:2])]
    return within(
        name,
        max(difference(*pair) for pair in pairs),
        ROUNDING,
        "Traced with a batch size that is not known, it gives the same numbers.",
        "Traced with a batch size that is not known, it gives other numbers: use -1 or tf.shape for B, not .shape.",
    )


def _plain(value: Any) -> Any:
    """What can be compared of an attribute: the values of plain data, and which object anything else is."""
    if isinstance(value, dict):
        return [(key, _plain(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, set):
        return frozenset(value)
    return value if isinstance(value, bool | int | float | str | None) else id(value)


def _update(name: str, bench: Bench) -> Check:
    if type(bench.example).update is Estimator.update:
        return Check(name, None, "Nothing to check: `update` is inherited, and does nothing.")
    trial = bench.trial()
    estimator = trial.estimator
    held = dict(vars(estimator))  # so that no new object has the identity of an old one
    before = {key: _plain(value) for key, value in held.items()}
    step = tf.function(lambda: estimator.update(trial.particles())).get_concrete_function()
    values = [variable.numpy() for variable in step.graph.variables]
    step()
    after = {key: _plain(value) for key, value in vars(estimator).items()}
    saved = {id(variable.value) for variable in estimator.auxiliary_variables}
    hidden = [
        f"the variable {variable.name.removesuffix(':0')}"
        for variable, value in zip(step.graph.variables, values, strict=True)
        if id(variable) not in saved and not np.array_equal(variable.numpy(), value)
    ]
    hidden += [f"the attribute {key}" for key in {**before, **after} if before.get(key) != after.get(key)]
    return within(
        name,
        len(hidden),
        0,
        "What `update` changes is saved: it is in auxiliary_variables.",
        f"`update` changes {' and '.join(hidden)}, which no checkpoint holds: keep it in a keras.Variable that "
        "auxiliary_variables names.",
    )


def _auxiliary(name: str, bench: Bench) -> Check:
    trial = bench.trial()
    own = psi(trial.estimator)
    if not own:
        return Check(name, None, "Not promised: it has no trainable variables of its own.")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(trial.weights)
        loss = trial.losses().auxiliary
    if loss is None:
        return Check(name, False, "It has trainable variables, but losses give no auxiliary loss, which trains them.")
    zero = tf.UnconnectedGradients.ZERO
    others = tf.linalg.global_norm(
        tape.gradient(loss, [w for each in trial.weights.values() for w in each], unconnected_gradients=zero)
    )
    of_psi = tf.linalg.global_norm(tape.gradient(loss, [v.value for v in own], unconnected_gradients=zero))
    if not of_psi > 0:
        return Check(name, False, "The auxiliary loss has no gradient for ψ, the estimator's own trainable variables.")
    return within(
        name,
        float(others),
        0,
        "The auxiliary loss trains ψ alone: it has no gradient for θ and φ.",
        "The auxiliary loss has a gradient for θ or φ: stop it on what comes from the particles.",
    )


GATES = ("shape", "finite", "no noise of its own", "double precision")
"""Without these, nothing else can be found out."""
CHECKS: dict[str, Callable[[str, Bench], Check]] = {
    "shape": _shape,
    "finite": _finite,
    "no noise of its own": _randomness,
    "double precision": _double,
    "each datum by itself": _by_itself,
    "order of data": _order_of_data,
    "order of samples": _order_of_samples,
    "expectation": expectation,
    **{gradients.NAMES[group]: functools.partial(gradients.follows, group=group) for group in gradients.NAMES},
    "gradients with β": gradients.follows_beta,
    "differences by θ": functools.partial(gradients.differences, group="generative"),
    "differences by φ": functools.partial(gradients.differences, group="inference"),
    "without a path": gradients.without_path,
    "β": _unweighted,
    "extreme weights": _extremes,
    "one sample": _one_sample,
    "compiled": _compiled,
    "unknown batch size": _unknown_batch,
    "auxiliary loss": _auxiliary,
    "update": _update,
}
