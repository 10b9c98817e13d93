"""Runs all checks of an estimator. Each check tests one promise of the contract by a number and its limit."""

from __future__ import annotations

import functools
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from vi.estimators import Estimator
from vi.settings.sentences import first_line
from vi.testing import batches, extremes, following, state, tracing, values, variants, weighting
from vi.testing.bench import Bench
from vi.testing.expectation import expectation
from vi.testing.gradients import NAMES
from vi.testing.linear_gaussian import precision
from vi.testing.report import Check, Report

GATES = ("shape", "finite", "no noise of its own", "double precision")
"""If one of these fails, no later check is made."""
CHECKS: dict[str, Callable[[str, Bench], Check]] = {
    "shape": values.shape,
    "finite": values.finite,
    "no noise of its own": values.randomness,
    "double precision": values.double,
    "each datum by itself": batches.by_itself,
    "order of data": batches.order_of_data,
    "order of samples": batches.order_of_samples,
    "expectation": expectation,
    **{NAMES[group]: functools.partial(following.follows, group=group) for group in NAMES},
    "gradients with β": weighting.follows_beta,
    "differences by θ": functools.partial(following.differences, group="generative"),
    "differences by φ": functools.partial(following.differences, group="inference"),
    "without a path": following.without_path,
    "a TFP bijector": variants.bijector,
    "a shared variable": variants.shared_variable,
    "β": batches.unweighted,
    "extreme weights": extremes.extremes,
    "one sample": extremes.one_sample,
    "compiled": tracing.compiled,
    "unknown batch size": tracing.unknown_batch,
    "auxiliary loss": state.auxiliary,
    "update": state.update,
}


def check_estimator(estimator: Callable[..., Estimator], **arguments: object) -> Report:
    """Checks all promises of an estimator, on a model with known log p(x) and true posterior.

    In a test: `check_estimator(MyEstimator).raise_if_failed()`.

    Gradients are checked with a copy of the weights for each datum, in one batch of thousands of data. A loss may
    depend on the whole batch, for example by a baseline that is the mean of the batch. Such a loss is therefore checked
    in a large batch only.

    Args:
        estimator: the class, or a function that gives an estimator. It is called with `samples`, by default 5, and the
            arguments.
        arguments: the arguments of the constructor.

    Raises:
        ConfigError: the call fails, or gives no `vi.estimators.Estimator`.
    """
    start = time.perf_counter()
    with precision("float64"):
        bench = Bench(estimator, arguments)
        for name, check in CHECKS.items():
            broken = next((gate for gate in GATES if gate in bench.done and not bench.done[gate].passed), None)
            skipped = Check(name, None, f"Not checked: see {broken}.")
            bench.done[name] = skipped if broken else _run(name, check, bench)
    kind, seconds = str(bench.example.kind), time.perf_counter() - start
    return Report(f"{bench.name}({bench.signature})", kind, tuple(bench.done.values()), seconds)


def _run(name: str, check: Callable[[str, Bench], Check], bench: Bench) -> Check:
    """The result of a check; failed if the check raises an error."""
    try:
        return check(name, bench)
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {first_line(error)}{_where(error, bench)}")


def _where(error: Exception, bench: Bench) -> str:
    """The file and line of the estimator that raised an error; empty if it was raised elsewhere."""
    file = getattr(sys.modules[type(bench.example).__module__], "__file__", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({Path(str(file)).name}, line {lines[-1]})" if lines else ""
