"""What the gradients of estimators are worth and cost: a table for several, and a watch on a training."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import tensorflow as tf

from vi.diagnostics.moments import Sums
from vi.diagnostics.noise import GradientNoise
from vi.errors import ConfigError, RunError
from vi.estimators.base import Estimator
from vi.training.trainer import Trainer

log = logging.getLogger(__name__)


WATCHED = 50
"""Repeats during a training."""


OUT_OF_MEMORY = "out of memory; fewer data or samples need less."


def diagnose(
    model: Any,
    x: tf.Tensor,
    estimators: Mapping[str, Callable[[int], Estimator]],
    samples: Sequence[int] = (1, 5, 25, 100),
    repeats: int = 200,
    *,
    seed: int = 0,
    step: int = 0,
    kl_weight: float = 1.0,
    jit: bool = True,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[str, float], None] = lambda stage, done: None,
) -> pd.DataFrame:
    """What the gradients of estimators are worth and cost, on one model and one batch of data.

    They are gradients of the mean loss over the batch, over R repeats of fresh noise. Errors are by the jackknife over
    10 blocks of repeats, whose variance is in expectation never too small (Efron & Stein, 1981). Since estimators of
    one S that take the same draws get the same noises, they differ by less than their errors say; those of different S
    are independent.

    Args:
        model: a `LatentVariableModel`.
        x: the batch, `[B, *event]`.
        estimators: by name; each makes an estimator with S samples, as its class does. Networks of its own get their
            initial weights.
        samples: each S.
        repeats: R.
        seed: of the noise.
        step: for schedules of the estimators'.
        kl_weight: β.
        jit: whether XLA compiles them.
        check: called from time to time; may raise to end it.
        progress: told the stage and what fraction of it is done.

    Returns:
        A row for each estimator, S and parameter group: `norm`, `variance` and `snr` with their errors
        (`Sums.moments`); `bias_squared` with its error (`Sums.squared_bias`), where the reference is the gradient of
        `Estimator.objective` along the path of z, for the same noises; `seconds` (`GradientNoise.measure`) and `memory`
        in MB (`GradientNoise.memory`), which all groups share; and `repeats`. The bias is nan where nothing can be
        measured: the losses are inherited, and so the reference itself; the path of z is missing or biased, as of a
        posterior that is not reparameterized or straight-through (`ConditionalPosterior.exact_path`); or the group
        follows no objective. Where samples are relaxed, the objective is that of the relaxed model, itself biased
        for the discrete one.

    Raises:
        ConfigError: every estimator is refused. Where only some are, that is a warning.
        RunError: likewise, out of memory.
    """
    rows: list[dict[str, Any]] = []
    refused: ConfigError | RunError | None = None
    pairs = [(name, s) for name in estimators for s in samples]
    exact_path = model.encode(x, tf.constant(step, tf.int64)).exact_path
    for number, (name, s) in enumerate(pairs):
        progress(f"{name}, {s} sample{'s' if s > 1 else ''}", number / len(pairs))
        try:
            estimator = estimators[name](s)
            estimator.build(tuple(x.shape[1:]), model.prior.latent_dim)
            noise = GradientNoise(model, estimator, x, seed, jit)
            found, seconds = noise.measure(repeats, step, kl_weight, check)
            cost = {"seconds": seconds, "memory": noise.memory(step, kl_weight)}
            reference: dict[str, Sums] = {}
            if exact_path and type(estimator).losses is not Estimator.losses:
                path = GradientNoise(model, estimator, x, seed, jit, of=estimator.objective)
                reference, _ = path.measure(repeats, step, kl_weight, check)
        except (ConfigError, tf.errors.ResourceExhaustedError) as error:
            refused = error if isinstance(error, ConfigError) else RunError(OUT_OF_MEMORY)
            log.warning("%s with S=%d is left out: %s", name, s, refused)
            continue
        for group, sums in found.items():
            unknown = {"bias_squared": math.nan, "bias_squared_error": math.nan}
            bias = sums.squared_bias(reference[group]) if group in reference else unknown
            measured = sums.moments() | bias | cost
            rows.append({"estimator": name, "samples": s, "group": group, **measured, "repeats": repeats})
    if refused is not None and not rows:
        raise refused
    return pd.DataFrame(rows)


def watch_gradients(
    trainer: Trainer, x: tf.Tensor, seed: int, check: Callable[[], None] = lambda: None
) -> Callable[[bool], dict[str, float | None]]:
    """A function that measures the gradients which a training follows, as it stands, and changes nothing of it.

    Told whether it is due, it returns `gradient_mean_norm/<group>`, `gradient_variance/<group>` and
    `gradient_snr/<group>` (`Sums.moments`) for the trainer's own estimator, over 50 repeats of fresh noise on the batch
    x `[B, *event]`, of which the data's weights are left out; None where it is not due, or a number is not finite. Out
    of memory is a warning, and all are None from then on.
    """
    noise = GradientNoise(trainer.model, trainer.estimator, x, seed, trainer.jit)
    fits = True

    def measure(due: bool) -> dict[str, float | None]:
        nonlocal fits
        found: dict[str, float | None] = {}
        sums: dict[str, Sums] = {}
        if due and fits:
            step = int(trainer.step.numpy())
            try:
                sums, _ = noise.measure(WATCHED, step, float(trainer.beta(step)), check)
            except tf.errors.ResourceExhaustedError:
                fits = False
                log.warning("trainer.diagnose_every is given up: %s", OUT_OF_MEMORY)
        for group in noise.variables:
            moments = sums[group].moments() if sums else {}
            for name, moment in (("mean_norm", "norm"), ("variance", "variance"), ("snr", "snr")):
                value = moments.get(moment, math.nan)
                found[f"gradient_{name}/{group}"] = value if math.isfinite(value) else None
        return found

    return measure
