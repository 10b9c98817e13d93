"""What a trained model is worth on one split of its data: its bounds with their standard errors, and what q holds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vi.errors import ConfigError, RunError
from vi.evaluation.evaluator import Evaluator
from vi.evaluation.probes import are_classes, knn_accuracy, logistic_accuracy
from vi.evaluation.statistics import Estimates

ACTIVE = 0.01
"""A latent dimension is active if its posterior mean varies by more over the data (Burda et al., 2015, section 5)."""


def evaluate_model(
    parts: Any,
    split: str,
    samples: int,
    size: int | None = None,
    *,
    jit: bool = True,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[str, float], None] = lambda stage, done: None,
) -> dict[str, Any]:
    """The numbers of a trained model on a split, in nats per datum, as evaluation.json has them.

    Distortion is −E log p(x|z), rate is E log q(z|x)/p(z) (Alemi et al., 2018), and elbo = −distortion − rate. Each has
    two errors that are never mixed: `standard_error`, the deviation over the data by √N, and `monte_carlo_error`, what
    S samples for each datum leave open, which is null for S = 1; for iw_bound it is by the delta method, a variance of
    (S/ESS − 1)/(S − 1) a datum. What cannot be computed, since q is implicit or does not factorize, or there are no
    data or labels, is null.

    Args:
        parts: `vi.config.Parts` with trained weights.
        split: "train", "validation" or "test".
        samples: S, for each datum.
        size: the first so many data of the split for the Monte Carlo estimates, all if None; what needs one sample or
            none is computed on the whole split.
        jit: whether XLA compiles the Monte Carlo estimates.
        check: called between chunks; may raise to end the evaluation.
        progress: told the stage and what fraction of it is done.

    Raises:
        ConfigError: there is no such split, or its values do not fit the likelihood.
        RunError: a number is not finite.
    """
    start, model, data = time.monotonic(), parts.model, parts.data
    chosen = open_split(parts, split)
    evaluator = Evaluator(model, data, jit, check)
    estimates = evaluator.estimate(chosen, samples, size, lambda done: progress("Monte Carlo estimates", done))
    numbers = _of_estimates(estimates, samples)
    progress("posterior means", 0)
    means = evaluator.means(chosen)
    variance, divergence = means.var(axis=0, dtype=np.float64), evaluator.kl_per_dimension(chosen)
    errors = None if model.likelihood.support == "none" else evaluator.squared_errors(chosen)
    numbers |= {
        "kl_per_dimension": None if divergence is None else divergence.mean(axis=0, dtype=np.float64).tolist(),
        "active_units": int((variance > ACTIVE).sum()),
        "active_units_threshold": ACTIVE,
        "posterior_mean_variance": variance.tolist(),
        "squared_error": None if errors is None else float(errors.mean(dtype=np.float64)),
    }
    for name, value in flat(numbers).items():
        if not np.isfinite(np.asarray(value, float)).all():
            raise RunError(f"{name} on the {split} data is not finite.")
    progress("probes", 0)
    numbers |= {"knn_accuracy": None, "logistic_accuracy": None}
    if are_classes(data.train.y) and are_classes(chosen.y):
        fitted = (evaluator.means(data.train), data.train.y)
        numbers["knn_accuracy"] = knn_accuracy(*fitted, means, chosen.y)
        check()
        numbers["logistic_accuracy"] = logistic_accuracy(*fitted, means, chosen.y)
    return {
        "split": split,
        "data": len(estimates.log_likelihood),
        "samples": samples,
        "pseudo": model.likelihood.support == "binary" and not data.is_binary(chosen),
        "seconds": time.monotonic() - start,
        **numbers,
    }


def open_split(parts: Any, split: str, asked: str | None = None) -> Any:
    """The split of this name of the data; `asked` is what asks for it, split=NAME by default, for error messages.

    Raises:
        ConfigError: the data have none, or its values do not fit the likelihood.
    """
    likelihood = parts.model.likelihood
    try:
        opened = getattr(parts.data, split)
        if likelihood.support == "binary":
            parts.data.require_unit_interval(f"as likelihood {type(likelihood).__name__} needs", (split,))
    except ConfigError as error:
        raise ConfigError(f"{asked or f'split={split}'}: {error}") from None
    return opened


def flat(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of an evaluation that there are, by the names that dashboards show: evaluation/elbo, …."""
    found = {}
    for name, value in evaluation.items():
        for key, number in value.items() if isinstance(value, Mapping) else [("mean", value)]:
            if number is not None:
                found[f"evaluation/{name}" if key == "mean" else f"evaluation/{name}_{key}"] = number
    return found


@np.errstate(invalid="ignore")
def _of_estimates(estimates: Estimates, samples: int) -> dict[str, Any]:
    """The means over the data of what was estimated for each datum."""

    def mean(values: Any, variance: Any) -> dict[str, float | None]:
        size = len(values)
        return {
            "mean": float(values.mean()),
            "standard_error": float(values.std(ddof=1)) / math.sqrt(size) if size > 1 else None,
            "monte_carlo_error": math.sqrt(max(variance.sum(), 0)) / size if samples > 1 else None,
        }

    distortion = mean(-estimates.log_likelihood, estimates.log_likelihood_variance)
    if estimates.kl is None:
        return {"elbo": None, "distortion": distortion, "rate": None, "iw_bound": None, "effective_sample_size": None}
    ess = estimates.effective_sample_size
    assert ess is not None
    return {
        "elbo": mean(estimates.log_likelihood - estimates.kl, estimates.elbo_variance),
        "distortion": distortion,
        "rate": mean(estimates.kl, estimates.kl_variance),
        "iw_bound": mean(estimates.iw_bound, (samples / ess - 1) / np.float64(samples - 1)),
        "effective_sample_size": {
            "mean": float(ess.mean()),
            "median": float(np.median(ess)),
            "minimum": float(ess.min()),
        },
    }
