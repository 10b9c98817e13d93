"""Checks that a lower bound is on average ≤ log p(x), and an upper bound ≥ log p(x); with the statistics for it."""

from __future__ import annotations

import dataclasses
import math
import statistics

import numpy as np

from vi.errors import ConfigError
from vi.testing.bench import ROUNDING, Bench, difference, shifted
from vi.testing.linear_gaussian import EXACT, NEAR, OFF, data, log_marginal
from vi.testing.report import Check, within

FALSE_ALARM = 0.5e-3 / 5
"""The probability that each of the five checks of expectations fails for a correct estimator.

This holds for Gaussian values. The values of estimators are skewed, which about doubles the probability."""
SAMPLES = 20
"""A number of samples that shows mistakes which few samples hide."""
FAR = 1e5
"""Nats that are added to log p(x|z) to detect clipped log weights."""


def worst_mean(values: np.ndarray, rounding: np.ndarray, tests: int, sides: int = 2) -> tuple[float, float]:
    """The largest of K means over R independent rows relative to its limit, and this limit.

    The limits come from t statistics. If all true means are zero, the probability is `FALSE_ALARM` that any of the K
    means of `tests` such sets exceeds its limit.

    Args:
        values: `[R, K]`. Their means should be zero, or at most zero with `sides=1`.
        rounding: a number that is added to each limit, `[K]`.
        tests: the number of such sets in one check.
        sides: 2 or 1.
    """
    count, means = len(values), values.mean(axis=0)
    quantile = statistics.NormalDist().inv_cdf(1 - FALSE_ALARM / (sides * tests * means.size))
    quantile += (quantile**3 + quantile) / (4 * (count - 1))  # quantile of t, to first order (Fisher & Cornish, 1960)
    limits = quantile * values.std(axis=0, ddof=1) / math.sqrt(count) + rounding
    found = np.abs(means) if sides == 2 else means
    worst = np.argmax(np.where(np.isfinite(found), found / limits, np.inf))
    return float(found[worst]), float(limits[worst])


def ratio(found: tuple[float, float]) -> float:
    """A mean divided by its limit."""
    return found[0] / found[1] if math.isfinite(found[0]) else math.inf


def expectation(name: str, bench: Bench) -> Check:
    """E bound ≤ log p(x) for a lower bound, ≥ for an upper bound, at three q and for 1, S and 20 samples."""
    kind = bench.example.kind
    if kind == "estimate":
        return Check(name, None, "Not promised: its kind is estimate, not a bound.")
    if kind not in ("lower", "upper"):
        return Check(name, False, f"kind = {kind!r}: must be 'lower', 'upper' or 'estimate'.")
    found = {}
    for samples in sorted({1, bench.samples, SAMPLES}):
        for place in (OFF, NEAR, EXACT):
            try:
                trial = bench.trial(place, samples, bench.repeats)
            except ConfigError:
                continue  # the estimator refuses this number of samples
            bound = np.reshape(trial.bound(), [bench.repeats, bench.size])
            excess = (bound - log_marginal(data(bench.size))) * (1 if kind == "lower" else -1)
            rounding = ROUNDING * np.abs(bound).mean(axis=0)
            found[samples, place] = worst_mean(excess, rounding, tests=9, sides=1)
    trial, sign = bench.trial(EXACT, repeats=bench.repeats), 1 if kind == "lower" else -1
    for shift in (-FAR, FAR):
        bound = np.reshape(trial.estimator.bound(shifted(trial.particles(), shift)), [bench.repeats, bench.size])
        excess = sign * (bound - log_marginal(data(bench.size)) - shift)
        moved = worst_mean(excess, np.full(bench.size, ROUNDING * FAR), tests=9, sides=1)
        if ratio(moved) > 1 and moved[0] > 1 + 2 * max(value for value, _ in found.values()):
            return Check(
                name,
                False,
                f"With p(x|z) multiplied by e^{shift:+,.0f}, the bound is on the wrong side of log p(x), by "
                f"{moved[0]:,.0f} nats: log weights may be clipped, or something may be added to them or multiply "
                "them.",
                *moved,
            )
    samples, place = max(found, key=lambda each: ratio(found[each]))
    value, limit = found[samples, place]
    beyond, side = ("above", "at most") if kind == "lower" else ("below", "at least")
    where = f"with q {place.name} and {samples} sample{'s' if samples > 1 else ''}"
    already = any(ratio(each) > 1 for (number, _), each in found.items() if number == 1)
    exact = found.get((samples, EXACT), (0.0, 1.0))
    return within(
        name,
        value,
        limit,
        f"On average the bound is {side} log p(x), with q off the true posterior, near it and at it (nats).",
        lambda: (
            f"On average the bound is {value:.2g} nats {beyond} log p(x), {where}: "
            f"{_why(bench, kind, already, samples, exact)}"
        ),
    )


def _why(bench: Bench, kind: str, already_with_one: bool, samples: int, exact: tuple[float, float]) -> str:
    """The probable mistake of a bound on the wrong side of log p(x). `exact` is the excess at the true posterior."""
    if kind == "upper":
        return (
            "the log of the mean of finitely many samples lies below the log of the expectation (Jensen); should kind "
            "be estimate?"
        )
    if already_with_one:
        return "with one sample already; a density may be missing or wrong, or the KL may have a wrong sign or weight."
    if abs(exact[0] - math.log(samples)) < 1e-6:
        return f"that is log {samples}; a sum of weights may stand where their mean belongs, so subtract log S."
    if ratio(exact) <= 1:
        return (
            "not so at the true posterior; a surrogate such as Σ w̃ log w may be returned as the bound, or weights may "
            "be raised to a power above 1, as in Rényi's bound of α < 0 or the χ bound; should kind be estimate?"
        )
    particles = bench.trial(EXACT).particles()
    moved = dataclasses.replace(particles, log_posterior=particles.log_posterior + 1)  # type: ignore[operator]
    if difference(bench.example.bound(moved), bench.example.bound(particles)) == 0:
        return (
            "it does not see log q(z|x) of the samples; a closed-form KL may stand inside the importance weights. In a "
            "log of a mean, only the whole weight of each sample, p(x, z) / q(z|x), makes a bound."
        )
    return (
        "not so with one sample; the mean over samples may be taken too early, of outputs or likelihoods before the "
        "log."
    )
