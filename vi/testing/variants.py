"""Checks with other families: a posterior made of a TFP bijector, and a prior that shares a variable with q."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from vi.errors import ConfigError
from vi.particles import Losses, Particles
from vi.testing.bench import ROUNDING, Bench, Trial, difference, given
from vi.testing.families import Flow, SharingGaussian, WrittenFlow
from vi.testing.following import worst_excess
from vi.testing.gradients import NAMES, inherited, losses, objective
from vi.testing.linear_gaussian import LATENTS, OFF
from vi.testing.report import Check, within

Value = Callable[[Particles], Losses]
ZERO = tf.UnconnectedGradients.ZERO


def bijector(name: str, bench: Bench) -> Check:
    """Bound, losses and their gradients are the same whether a posterior is made of a TFP bijector or of formulas."""
    try:
        found, expected = (_values(bench.trial(OFF, posterior=family)) for family in (Flow, WrittenFlow))
    except ConfigError as error:
        return Check(name, None, f"Not promised: it refuses a flow as posterior: {error}")
    return within(
        name,
        max(difference(*pair) for pair in zip(found, expected, strict=True)),
        ROUNDING,
        "With a posterior made of a TFP bijector, bound, losses and gradients are the same as with its formulas.",
        "With a posterior made of a TFP bijector, bound, losses or gradients differ from the values by formulas: "
        "bijectors remember the noise of each z and lose its path, so take log q(z|x) from particles.posterior.",
    )


def _values(trial: Trial) -> list[tf.Tensor]:
    """The bound, the losses, and the gradient of each loss by φ and by the weights of the flow."""
    own = [variable.value for variable in trial.model.posterior.trainable_variables]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(trial.weights)
        values = given(trial.losses())
    sources = [*trial.weights["inference"], *own]
    taken = [tape.gradient(value, sources, unconnected_gradients=ZERO) for value in values[:2]]
    return [trial.bound(), *values, *(gradient for each in taken for gradient in each)]


def shared_variable(name: str, bench: Bench) -> Check:
    """A variable that q and the prior share follows θ's objective through p, and φ's objective through q."""
    if inherited(bench.example):
        return Check(name, None, "Nothing to check: `losses` is inherited, so the losses are the objective.")
    if any(bench.done[plain].passed is False for plain in NAMES.values() if plain in bench.done):
        return Check(name, None, "Not checked: it does not follow its objective without a shared variable.")
    trial = bench.trial(OFF, repeats=bench.repeats, posterior=SharingGaussian).copies()
    family = trial.model.posterior
    assert isinstance(family, SharingGaussian)
    family.own.variable = keras.Variable(np.zeros([len(trial.x), LATENTS]))  # a copy for each datum
    taken, expected = _by_shared(trial, family.own.variable, losses(trial), objective(trial))
    if taken is None or expected is None:
        return Check(name, None, "Not promised: it states no objective for φ.")
    worst = worst_excess(bench, taken, expected, tests=1)
    return within(
        name,
        *worst,
        "A variable that q and the prior share follows the objectives of θ and φ on average (nats; the worst entry).",
        "A variable that q and the prior share misses its objectives: does a loss read the prior or the posterior in "
        "another way than through the particles?",
    )


def _by_shared(trial: Trial, variable: keras.Variable, *values: Value) -> list[np.ndarray | None]:
    """The gradients by the shared variable, as in a train step, `[N, L]` each; None without a loss for φ.

    θ's loss is differentiated where the prior reads the variable, φ's loss where q reads it.
    """
    with tf.GradientTape(persistent=True) as tape:
        particles = trial.particles()
        found = [value(particles) for value in values]

    def by(loss: tf.Tensor, source: tf.Tensor) -> np.ndarray:
        return np.asarray(tf.convert_to_tensor(tape.gradient(loss, source, unconnected_gradients=ZERO)))

    def total(each: Losses) -> np.ndarray | None:
        if each.inference is None:
            return None
        of_p = [by(each.generative, alias) for _, alias in particles.aliases]
        return sum(of_p, by(each.inference, variable.value))

    return [total(each) for each in found]
