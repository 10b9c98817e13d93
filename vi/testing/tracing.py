"""Checks that an estimator gives the same numbers compiled by XLA, and traced with an unknown batch size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from vi.graphs import Graph
from vi.particles import Noise
from vi.testing.bench import ROUNDING, STEP, Bench, Trial, difference, given
from vi.testing.report import Check, within


def _everything(trial: Trial, update: bool = False) -> list[tf.Tensor]:
    """The bound, the losses, and the gradients as in a train step."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(trial.weights)
        particles = trial.particles()
        losses = trial.estimator.losses(particles, tf.constant(STEP))
    values = [trial.estimator.bound(particles), *given(losses)]
    for loss, weights in (
        (losses.generative, trial.weights["generative"]),
        (losses.inference, trial.weights["inference"]),
    ):
        values += tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    if update:
        trial.estimator.update(particles)
    return values


def _traced(trial: Trial, batch: int | None, jit: bool = False) -> Callable[[tf.Tensor, Noise], list[tf.Tensor]]:
    """`_everything` as a function of data and noise, traced for a batch size; None leaves the size unknown."""

    def specification(t: tf.Tensor | None) -> tf.TensorSpec | None:
        return None if t is None else tf.TensorSpec([batch, *t.shape[1:]], t.dtype)

    graph = Graph(lambda x, noise: _everything(dataclasses.replace(trial, x=x, noise=noise), True), jit)
    return graph.trace(*tf.nest.map_structure(specification, (trial.x, trial.noise)))


def compiled(name: str, bench: Bench) -> Check:
    """Compiled by XLA, an estimator gives the same numbers, and `update` runs."""
    trial = bench.trial()
    eager = _everything(trial)
    found = _traced(trial, bench.size, jit=True)(trial.x, trial.noise)
    return within(
        name,
        max(difference(*pair) for pair in zip(found, eager, strict=True)),
        ROUNDING,
        "Compiled by XLA, bound, losses and gradients are the same to rounding, and `update` runs.",
        "Compiled by XLA it gives other numbers: does it use Python or NumPy on values, or draw random numbers?",
    )


def unknown_batch(name: str, bench: Bench) -> Check:
    """Traced with an unknown batch size, an estimator gives the same numbers."""
    trial = bench.trial()
    eager = _everything(trial)
    few = trial.rows([0, 1])
    found = _traced(trial, None)
    pairs = [*zip(found(trial.x, trial.noise), eager, strict=True), (found(few.x, few.noise)[0], eager[0][:2])]
    return within(
        name,
        max(difference(*pair) for pair in pairs),
        ROUNDING,
        "Traced with an unknown batch size, it gives the same numbers.",
        "Traced with an unknown batch size, it gives other numbers: use -1 or tf.shape for B, not .shape.",
    )
