"""Checks at the limits: log weights of extreme size, and a single sample."""

from __future__ import annotations

import numpy as np

from vi.errors import ConfigError
from vi.testing.bench import Bench, Trial, given, shifted
from vi.testing.gradients import LETTERS, gradients, losses, objective
from vi.testing.linear_gaussian import precision
from vi.testing.report import Check, within


def extremes(name: str, bench: Bench) -> Check:
    """Bound and gradients are finite for log weights of extreme size, if they are finite in double precision."""
    wrong, beyond_double = [], False
    for what, low, high in (("spread over ±10,000", -1e4, 1e4), ("near −100,000", -1e5, -1e5)):
        offsets = np.linspace(low, high, bench.example.draws.posterior)
        bound, promised = _finite(bench.trial(), offsets)
        with precision("float32"):
            found = _at_extremes(bench.trial(dtype="float32").copies(), offsets, promised)
        if bench.example.kind == "estimate" and not bound:
            beyond_double = True
            del found["the bound"]
        wrong += [
            f"{each} with log weights {what}" for each, v in found.items() if v is None or not np.all(np.isfinite(v))
        ]
    if beyond_double and not wrong:
        return Check(
            name,
            None,
            "Not promised: the bound estimates the weights themselves, which overflow in double precision too.",
        )
    return within(
        name,
        len(wrong),
        0,
        "Log weights of ±10,000 and of −100,000 give finite bounds and gradients in single precision.",
        f"Not finite: {', '.join(wrong)}: stay in log space, with vi.ops.log_mean_exp and tf.nn.softmax for exp.",
    )


def one_sample(name: str, bench: Bench) -> Check:
    """One sample gives finite values, or the constructor refuses it."""
    try:
        bench.estimator(1)
    except ConfigError as error:
        return Check(name, True, f"It refuses samples=1: {error}")
    trial = bench.trial(samples=1)
    values = [trial.bound(), *given(trial.losses())]
    wrong = sum(v.shape != (bench.size,) or not np.all(np.isfinite(v)) for v in values)
    return within(
        name,
        wrong,
        0,
        "One sample for each datum gives finite bounds and losses.",
        "One sample gives no finite [B]: is something divided by S − 1? If it needs more, raise vi.ConfigError.",
    )


def _finite(trial: Trial, offsets: np.ndarray) -> tuple[bool, list[str]]:
    """Whether the bound is finite, and which groups have a finite objective; only those can have finite gradients."""
    particles = shifted(trial.particles(), offsets)
    values = objective(trial)(particles)._asdict()
    groups = [group for group in LETTERS if values[group] is None or np.all(np.isfinite(values[group]))]
    return bool(np.all(np.isfinite(trial.estimator.bound(particles)))), groups


def _at_extremes(trial: Trial, offsets: np.ndarray, groups: list[str]) -> dict[str, np.ndarray]:
    """The bound, and the gradient of each given group's loss, with these offsets of the log weights."""
    (taken,) = gradients(trial, lambda particles: losses(trial)(shifted(particles, offsets)))
    bound = trial.estimator.bound(shifted(trial.particles(), offsets))
    return {"the bound": bound, **{f"the gradient for {LETTERS[group]}": taken[group] for group in groups}}
