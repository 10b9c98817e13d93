"""Measures the gradients of a training while it runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import tensorflow as tf

from vi.diagnostics.moments import Sums
from vi.diagnostics.noise import OUT_OF_MEMORY, GradientNoise
from vi.training.trainer import Trainer

log = logging.getLogger(__name__)
REPEATS = 50
"""Gradients of fresh noise for each measurement."""
NAMES = {"mean_norm": "norm", "variance": "variance", "snr": "snr"}
"""Names in metrics.csv, and the moments (`Sums.moments`) that they show."""


def watch_gradients(
    trainer: Trainer, x: tf.Tensor, seed: int, poll: Callable[[], None] = lambda: None
) -> Callable[[bool], dict[str, float | None]]:
    """A function that measures the gradients of a training in its current state, without changing the training.

    Its argument is whether a measurement is due. It returns `gradient_mean_norm/<group>`, `gradient_variance/<group>`
    and `gradient_snr/<group>` for the trainer's estimator. They come from 50 repeats with fresh noise on the batch x
    `[B, *event]`. All data have weight 1. A value is None if no measurement is due or the number is not finite. Running
    out of memory is a warning; all later values are None.
    """
    noise = GradientNoise(trainer.model, trainer.estimator, x, seed, trainer.jit)
    fits = True

    def measure(due: bool) -> dict[str, float | None]:
        nonlocal fits
        sums: dict[str, Sums] = {}
        if due and fits:
            step = int(trainer.step.numpy())
            try:
                sums, _ = noise.measure(REPEATS, step, float(trainer.beta(step)), poll)
            except tf.errors.ResourceExhaustedError:
                fits = False
                log.warning("trainer.diagnose_every is given up: %s", OUT_OF_MEMORY)
        found: dict[str, float | None] = {}
        for group in noise.variables:
            moments = sums[group].moments() if sums else {}
            for name, moment in NAMES.items():
                value = moments.get(moment, math.nan)
                found[f"gradient_{name}/{group}"] = value if math.isfinite(value) else None
        return found

    return measure
