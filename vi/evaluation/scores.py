"""The scores of a trained model on one split of its data: bounds with standard errors, and latent statistics."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vi.data.dataset import Dataset, Split
from vi.errors import RunError
from vi.evaluation.evaluator import Evaluator
from vi.evaluation.latents import ACTIVE, active_units
from vi.evaluation.probes import are_classes, knn_accuracy, logistic_accuracy
from vi.evaluation.splits import open_split
from vi.evaluation.statistics import Estimates
from vi.models.latent import LatentVariableModel

Scores = dict[str, Any]


def evaluate_model(
    model: LatentVariableModel,
    data: Dataset,
    split: str,
    samples: int,
    size: int | None = None,
    *,
    jit: bool = True,
    poll: Callable[[], None] = lambda: None,
    progress: Callable[[str, float], None] = lambda stage, done: None,
) -> Scores:
    """The scores of a trained model on a split, in nats per datum, as in evaluation.json.

    Distortion is −E log p(x|z), rate is E log q(z|x)/p(z) (Alemi et al., 2018), and elbo = −distortion − rate.

    Each of these has two errors, which are never mixed. `standard_error` is the standard deviation over the data,
    divided by √N. `monte_carlo_error` comes from the S samples of each datum; it is null for S = 1. For iw_bound it
    follows from the delta method: each datum contributes a variance of (S/ESS − 1)/(S − 1).

    A score is null if it cannot be computed: q is implicit or does not factorize, or there are no data or labels.

    Args:
        model: with trained weights.
        data: the data set.
        split: "train", "validation" or "test".
        samples: S, for each datum.
        size: the Monte Carlo estimates use the first `size` data of the split, or all if None. Scores that need at most
            one sample use the whole split.
        jit: whether XLA compiles the Monte Carlo estimates.
        poll: is called between chunks, and may raise an error to end the evaluation.
        progress: is called with the stage and the fraction of it that is done.

    Raises:
        ConfigError: the data have no such split, or its values do not fit the likelihood.
        RunError: a score is not finite.
    """
    start = time.monotonic()
    chosen = open_split(data, model.likelihood, split)
    evaluator = Evaluator(model, data, jit, poll)
    estimates = evaluator.estimate(chosen, samples, size, lambda done: progress("Monte Carlo estimates", done))
    progress("posterior means", 0)
    means = evaluator.means(chosen)
    scores = _bounds(estimates, samples) | _latents(means, evaluator.kl_per_dimension(chosen))
    observed = model.likelihood.support != "none"
    scores["squared_error"] = float(evaluator.squared_errors(chosen).mean(dtype=np.float64)) if observed else None
    _require_finite(scores, split)
    progress("probes", 0)
    scores |= _probes(evaluator, data, chosen, means, poll)
    return {
        "split": split,
        "data": len(estimates.log_likelihood),
        "samples": samples,
        "pseudo": model.likelihood.support == "binary" and not data.is_binary(chosen),
        "seconds": time.monotonic() - start,
        **scores,
    }


def flat(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The scores that are not null, under the names that dashboards show: evaluation/elbo, …."""
    found = {}
    for name, value in evaluation.items():
        for key, number in value.items() if isinstance(value, Mapping) else [("mean", value)]:
            if number is not None:
                found[f"evaluation/{name}" if key == "mean" else f"evaluation/{name}_{key}"] = number
    return found


@np.errstate(invalid="ignore")
def _bounds(estimates: Estimates, samples: int) -> Scores:
    """The means over the data of the Monte Carlo estimates, with their errors."""
    distortion = _mean(-estimates.log_likelihood, estimates.log_likelihood_variance, samples)
    if estimates.kl is None:
        return {"elbo": None, "distortion": distortion, "rate": None, "iw_bound": None, "effective_sample_size": None}
    ess = estimates.effective_sample_size
    assert ess is not None
    assert estimates.iw_bound is not None
    return {
        "elbo": _mean(estimates.log_likelihood - estimates.kl, estimates.elbo_variance, samples),
        "distortion": distortion,
        "rate": _mean(estimates.kl, estimates.kl_variance, samples),
        "iw_bound": _mean(estimates.iw_bound, (samples / ess - 1) / np.float64(samples - 1), samples),
        "effective_sample_size": {
            "mean": float(ess.mean()),
            "median": float(np.median(ess)),
            "minimum": float(ess.min()),
        },
    }


def _mean(values: np.ndarray, variance: np.ndarray | None, samples: int) -> dict[str, float | None]:
    """The mean of values `[N]` with its two errors; `variance` `[N]` is the Monte Carlo variance of each value."""
    size = len(values)
    return {
        "mean": float(values.mean()),
        "standard_error": float(values.std(ddof=1)) / math.sqrt(size) if size > 1 else None,
        "monte_carlo_error": math.sqrt(max(variance.sum(), 0)) / size if samples > 1 and variance is not None else None,
    }


def _latents(means: np.ndarray, divergence: np.ndarray | None) -> Scores:
    """The scores of the latent dimensions, from posterior means `[N, L]` and KL per dimension `[N, L]` or None."""
    variance = means.var(axis=0, dtype=np.float64)
    return {
        "kl_per_dimension": None if divergence is None else divergence.mean(axis=0, dtype=np.float64).tolist(),
        "active_units": active_units(means),
        "active_units_threshold": ACTIVE,
        "posterior_mean_variance": variance.tolist(),
    }


def _probes(
    evaluator: Evaluator, data: Dataset, chosen: Split, means: np.ndarray, poll: Callable[[], None]
) -> dict[str, float | None]:
    """The accuracies of classifiers that are fitted on training data and scored on a split; null without labels."""
    if not (are_classes(data.train.y) and are_classes(chosen.y)):
        return {"knn_accuracy": None, "logistic_accuracy": None}
    train_means = evaluator.means(data.train)
    knn = knn_accuracy(train_means, data.train.y, means, chosen.y)
    poll()
    logistic = logistic_accuracy(train_means, data.train.y, means, chosen.y)
    return {"knn_accuracy": knn, "logistic_accuracy": logistic}


def _require_finite(scores: Scores, split: str) -> None:
    for name, value in flat(scores).items():
        if not np.isfinite(np.asarray(value, float)).all():
            raise RunError(f"{name} on the {split} data is not finite.")
