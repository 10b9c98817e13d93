"""Checks of the values of bound and losses: shape, precision, finite numbers, no own noise."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vi.particles import Losses
from vi.testing.bench import Bench, difference, given
from vi.testing.linear_gaussian import precision
from vi.testing.report import Check, within


def shape(name: str, bench: Bench) -> Check:
    """Bound and losses are `[B]`."""
    with precision("float32"):
        trial = bench.trial(dtype="float32")
        bound, losses = trial.bound(), trial.losses()
    if not isinstance(losses, Losses):
        return Check(name, False, f"losses must return a vi.particles.Losses, but returns a {type(losses).__name__}.")
    values = {"bound": bound, "the loss for θ": losses.generative, "the loss for φ": losses.inference}
    if losses.auxiliary is not None:
        values["the loss for ψ"] = losses.auxiliary
    wrong = [f"{what} has shape {np.shape(v)}" for what, v in values.items() if np.shape(v) != (bench.size,)]
    return within(
        name,
        len(wrong),
        0,
        f"Bound and losses have a number for each datum, [B] = [{bench.size}].",
        lambda: (
            f"{'; '.join(wrong)} for B = {bench.size} data and {bench.example.draws.posterior} samples each: "
            f"{_advice(np.shape(bound))}."
        ),
    )


def _advice(shape: tuple[int, ...]) -> str:
    """What helps against a bound of a wrong shape."""
    if shape == ():
        return "the trainer takes the mean over the data, so reduce over the samples alone, axis=1"
    return "reduce over the samples, axis=1; the axes of data and samples may be swapped"


def double(name: str, bench: Bench) -> Check:
    """In double precision the values are double. They equal the values in single precision up to rounding."""
    trial = bench.trial()
    values = [trial.bound(), *given(trial.losses())]
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


def finite(name: str, bench: Bench) -> Check:
    """The values are finite at ordinary weights."""
    with precision("float32"):
        trial = bench.trial(dtype="float32")
        values = [trial.bound(), *given(trial.losses())]
    return within(
        name,
        sum(not np.all(np.isfinite(value)) for value in values),
        0,
        "Bound and losses are finite at ordinary weights.",
        "Bound or losses are not finite at ordinary weights: is there a log of zero, or a division by zero?",
    )


def randomness(name: str, bench: Bench) -> Check:
    """The same particles give the same values twice."""
    with precision("float32"):
        trial = bench.trial(dtype="float32")
        first, second = ([trial.bound(), *given(trial.losses())] for _ in range(2))
    return within(
        name,
        max(difference(*pair) for pair in zip(first, second, strict=True)),
        0,
        "The same particles give the same bound and losses.",
        "The same particles give another bound or other losses: draw no random number, but ask for noise in `draws`.",
    )
