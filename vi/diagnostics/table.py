"""Compares the gradients of estimators: signal, noise, bias and cost, in one table."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import tensorflow as tf

from vi.diagnostics.moments import Sums
from vi.diagnostics.noise import OUT_OF_MEMORY, GradientNoise
from vi.errors import ConfigError, RunError
from vi.estimators.base import Estimator
from vi.models.base import Model

log = logging.getLogger(__name__)
UNKNOWN_BIAS = {"bias_squared": math.nan, "bias_squared_error": math.nan}


def diagnose(
    model: Model,
    x: tf.Tensor,
    estimators: Mapping[str, Callable[[int], Estimator]],
    samples: Sequence[int] = (1, 5, 25, 100),
    repeats: int = 200,
    *,
    seed: int = 0,
    step: int = 0,
    kl_weight: float = 1.0,
    jit: bool = True,
    poll: Callable[[], None] = lambda: None,
    progress: Callable[[str, float], None] = lambda stage, done: None,
) -> pd.DataFrame:
    """Signal, noise, bias and cost of the gradients of estimators, for one model and one batch of data.

    Each gradient is the gradient of the mean loss over the batch. There are R repeats with fresh noise. Errors come
    from the jackknife over 10 blocks of repeats; the expectation of its variance is never too small (Efron & Stein,
    1981). Estimators with the same S and the same draws get the same noise, so their difference has a smaller error
    than the two errors suggest. Estimators with different S are independent.

    Args:
        model: the model.
        x: the batch, `[B, *event]`.
        estimators: by name, a function that makes an estimator with S samples. The networks of an estimator have their
            initial weights.
        samples: the numbers S.
        repeats: R.
        seed: the seed of the noise.
        step: the training step, for an estimator that has a schedule.
        kl_weight: β.
        jit: whether XLA compiles the gradients.
        poll: is called from time to time, and may raise an error to end the diagnosis.
        progress: is called with the stage and the fraction of it that is done.

    Returns:
        A row for each estimator, S and parameter group, with these columns:

        - `norm`, `variance` and `snr` with their errors (`Sums.moments`);
        - `bias_squared` with its error (`Sums.squared_bias`). The reference is the gradient of `Estimator.objective`
          along the path of z, for the same noise. It is nan in three cases: the estimator inherits its losses, so that
          the reference is the same; the posterior has no exact path (`ConditionalPosterior.exact_path`); or the group
          has no objective. With relaxed samples the objective belongs to the relaxed model, which is itself biased for
          the discrete one;
        - `seconds` (`GradientNoise.measure`) and `memory` in MB (`GradientNoise.memory`), the same for all groups;
        - `repeats`.

    Raises:
        ConfigError: the model refuses every estimator. If it refuses some, each of these is a warning.
        RunError: every estimator ran out of memory. If some did, each of these is a warning.
    """
    rows: list[dict[str, Any]] = []
    refused: ConfigError | RunError | None = None
    pairs = [(name, s) for name in estimators for s in samples]
    exact_path = model.encode(x, tf.constant(step, tf.int64)).exact_path
    for number, (name, s) in enumerate(pairs):
        progress(f"{name}, {s} sample{'s' if s > 1 else ''}", number / len(pairs))
        try:
            estimator = estimators[name](s)
            estimator.build(tuple(x.shape[1:]), model.latent_dim)
            noise = GradientNoise(model, estimator, x, seed, jit)
            found, seconds = noise.measure(repeats, step, kl_weight, poll)
            cost = {"seconds": seconds, "memory": noise.memory(step, kl_weight)}
            reference: dict[str, Sums] = {}
            if exact_path and type(estimator).losses is not Estimator.losses:
                path = GradientNoise(model, estimator, x, seed, jit, of=estimator.objective)
                reference, _ = path.measure(repeats, step, kl_weight, poll)
        except (ConfigError, tf.errors.ResourceExhaustedError) as error:
            refused = error if isinstance(error, ConfigError) else RunError(OUT_OF_MEMORY)
            log.warning("%s with S=%d is left out: %s", name, s, refused)
            continue
        for group, sums in found.items():
            bias = sums.squared_bias(reference[group]) if group in reference else UNKNOWN_BIAS
            measured = sums.moments() | bias | cost
            rows.append({"estimator": name, "samples": s, "group": group, **measured, "repeats": repeats})
    if refused is not None and not rows:
        raise refused
    return pd.DataFrame(rows)
