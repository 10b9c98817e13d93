"""Whether a bound is on its side of log p(x) on average, and the statistics that decide."""

from __future__ import annotations

import dataclasses
import math
import statistics

import numpy as np

from vi.errors import ConfigError
from vi.testing.bench import ROUNDING, Bench, difference, shifted
from vi.testing.linear_gaussian import EXACT, NEAR, OFF, data, log_marginal
from vi.testing.report import Check, within

REPEATS = 1000
"""Noises for each datum, where an expectation is checked."""
FALSE_ALARM = 0.5e-3 / 5
"""With which probability each of the five checks of expectations fails for an estimator that is right.

So it is for Gaussian values. Those of estimators are skewed, which about doubles it."""
SAMPLES = 20
"""So many samples show what a few hide."""
FAR = 1e5
"""Nats by which log p(x|z) is moved, so that log weights that are clipped show."""


def worst_mean(values: np.ndarray, rounding: np.ndarray, tests: int, sides: int = 2) -> tuple[float, float]:
    """Of K means over independent rows `[R, K]`, the one farthest beyond zero, and its limit.

    The limits are those of t statistics: the largest of all K, and of `tests` such sets, exceeds its own with
    probability `FALSE_ALARM`. To each, `rounding` `[K]` is added.

    Args:
        values: whose means should be zero, or with `sides=1` at most zero.
        rounding: what is allowed besides.
        tests: how many such sets one check looks at.
        sides: 2 or 1.
    """
    count, means = len(values), values.mean(axis=0)
    quantile = statistics.NormalDist().inv_cdf(1 - FALSE_ALARM / (sides * tests * means.size))
    quantile += (quantile**3 + quantile) / (4 * (count - 1))  # of t, to first order (Fisher & Cornish, 1960)
    limits = quantile * values.std(axis=0, ddof=1) / math.sqrt(count) + rounding
    found = np.abs(means) if sides == 2 else means
    worst = np.argmax(np.where(np.isfinite(found), found / limits, np.inf))
    return float(found[worst]), float(limits[worst])


def ratio(found: tuple[float, float]) -> float:
    """How many times its limit a mean is."""
    return found[0] / found[1] if math.isfinite(found[0]) else math.inf


def expectation(name: str, bench: Bench) -> Check:
    """E bound ≤ log p(x) for a lower bound, ≥ for an upper one: at three q, for 1, S and 20 samples."""
    kind = bench.example.kind
    if kind == "estimate":
        return Check(name, None, "Not promised: its kind is estimate, which bounds nothing.")
    if kind not in ("lower", "upper"):
        return Check(name, False, f"kind = {kind!r}: must be 'lower', 'upper' or 'estimate'.")
    found = {}
    for samples in sorted({1, bench.samples, SAMPLES}):
        for place in (OFF, NEAR, EXACT):
            try:
                trial = bench.trial(place, samples, REPEATS)
            except ConfigError:
                continue  # it refuses so many
            bound = np.reshape(trial.bound(), [REPEATS, bench.size])
            excess = (bound - log_marginal(data(bench.size))) * (1 if kind == "lower" else -1)
            rounding = ROUNDING * np.abs(bound).mean(axis=0)
            found[samples, place] = worst_mean(excess, rounding, tests=9, sides=1)
    trial, sign = bench.trial(EXACT, repeats=REPEATS), 1 if kind == "lower" else -1
    for shift in (-FAR, FAR):
        bound = np.reshape(trial.estimator.bound(shifted(trial.particles(), shift)), [REPEATS, bench.size])
        excess = sign * (bound - log_marginal(data(bench.size)) - shift)
        moved = worst_mean(excess, np.full(bench.size, ROUNDING * FAR), tests=9, sides=1)
        if ratio(moved) > 1 and moved[0] > 1 + 2 * max(value for value, _ in found.values()):
            return Check(
                name,
                False,
                f"With a p(x|z) of e^{shift:+,.0f} times the size, the bound is on the wrong side of log p(x), by "
                f"{moved[0]:,.0f} nats: log weights are clipped, or something is added to them or multiplies them.",
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
    """What a bound on the wrong side of log p(x) probably does, `exact` being its excess at the true posterior."""
    if kind == "upper":
        return (
            "the log of the mean of finitely many samples lies below the log of the expectation (Jensen); should kind "
            "be estimate?"
        )
    if already_with_one:
        return "with one sample already, so a density is left out, or is another, or the KL has a wrong sign or weight."
    if abs(exact[0] - math.log(samples)) < 1e-6:
        return f"that is log {samples}, so a sum of weights stands where their mean belongs; take log S off."
    if ratio(exact) <= 1:
        return (
            "at the true posterior it is not, so a surrogate such as Σ w̃ log w is returned as its bound, or weights "
            "are raised to a power above 1, as in Rényi's bound of α < 0 or the χ bound; should kind be estimate?"
        )
    particles = bench.trial(EXACT).particles()
    moved = dataclasses.replace(particles, log_posterior=particles.log_posterior + 1)  # type: ignore[operator]
    if difference(bench.example.bound(moved), bench.example.bound(particles)) == 0:
        return (
            "it does not see log q(z|x) of the samples, so a closed-form KL stands inside the importance weights; in a "
            "log of a mean only the whole weight of each sample, p(x, z) / q(z|x), makes a bound."
        )
    return (
        "with one sample it is not, so the mean over samples is taken too early, of outputs or likelihoods before the "
        "log."
    )
