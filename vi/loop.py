"""A whole training: compiled calls until the next evaluation, a row of metrics, a checkpoint, and so on."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from vi.errors import RunError
from vi.trainer import Trainer

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Progress:
    """Where a run stands; saved with every checkpoint.

    Attributes:
        step: the steps done.
        total: the steps to do.
        epoch: step · B / N.
        seconds: wall time, with compiling and evaluation.
        training_seconds: of compiled calls, but for the first, which compiles.
        training_examples: seen in that time.
        bound: the mean of the estimator's bound over the steps since the last evaluation.
        best: the best value of the monitored metric, and `best_step` its step.
        stale: evaluations since the best.
    """

    step: int = 0
    total: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    training_seconds: float = 0.0
    training_examples: int = 0
    bound: float = math.nan
    best: float | None = None
    best_step: int = 0
    stale: int = 0

    @property
    def examples_per_second(self) -> float | None:
        """Training data a second, compiling and evaluation left out; None before the second call."""
        return self.training_examples / self.training_seconds if self.training_seconds else None


def fit(
    trainer: Trainer,
    validate: Callable[[], dict[str, float]],
    checkpoints: Any,
    loggers: Sequence[Any],
    *,
    epochs: float,
    evaluate_every: float = 1.0,
    monitor: str = "validation/iw_bound",
    patience: int | None = None,
    steps_per_call: int | Literal["auto"] = "auto",
) -> Progress:
    """Trains for so many epochs, or until `monitor` has not improved for `patience` evaluations.

    Args:
        trainer: at the step where to begin.
        validate: returns the validation metrics.
        checkpoints: `Checkpoints`, written at every evaluation and at every best.
        loggers: each has `progress(progress)`, called about once a second, and `log(row)`, at each evaluation.
        epochs: how often each datum is seen.
        evaluate_every: epochs between evaluations; the end is always evaluated.
        monitor: the metric that the best checkpoint and early stopping go by; bounds are maximized,
            everything else is minimized. Where it cannot be computed, `validation/nll`.
        patience: None never stops early.
        steps_per_call: train steps for each compiled call; "auto" makes a call last about a second.

    Raises:
        RunError: out of memory, or a metric is not finite.
    """
    progress = Progress(step=int(trainer.step.numpy()), total=steps_of(epochs, trainer))
    began = time.perf_counter()
    _warn_of_unfinished_schedule(trainer, progress.total)
    pace = 1 if steps_per_call == "auto" else steps_per_call
    compiled, saved = False, None
    for target in _evaluation_steps(trainer, progress, evaluate_every):
        while progress.step < target:
            steps = min(pace, target - progress.step)
            start = time.perf_counter()
            trainer.run(steps)
            if name := trainer.first_not_finite():
                raise _not_finite(name, int(trainer.step.numpy()) - 1, saved)
            elapsed = time.perf_counter() - start
            progress.step += steps
            progress.epoch = progress.step * trainer.batch_size / trainer.size
            progress.seconds = time.perf_counter() - began
            if compiled:
                progress.training_seconds += elapsed
                progress.training_examples += steps * trainer.batch_size
                if steps_per_call == "auto":
                    pace = max(1, min(10 * pace, round(steps / elapsed)))
            compiled = True
            progress.bound = trainer.mean_bound()
            for logger in loggers:
                logger.progress(progress)
        row = _row(trainer, progress, validate())
        for name, value in row.items():
            if value is not None and not math.isfinite(value):
                raise _not_finite(name, progress.step, saved)
        progress.seconds = row["seconds"] = time.perf_counter() - began
        if row.get(monitor) is None:
            log.warning("%s cannot be computed for this model; going by validation/nll instead.", monitor)
            monitor = "validation/nll"
        improved = _update_best(progress, row, monitor)
        checkpoints.save(progress.step, dataclasses.asdict(progress))
        if improved:
            checkpoints.save(progress.step, dataclasses.asdict(progress), best=True)
        saved = progress.step
        for logger in loggers:
            logger.log(row)
        if patience is not None and progress.stale >= patience:
            _warn_of_unfinished_schedule(trainer, progress.step)
            log.info("Stopped early: %s has not improved for %d evaluations.", monitor, patience)
            break
    return progress


def steps_of(epochs: float, trainer: Trainer) -> int:
    """The steps in which each datum is seen `epochs` times, rounded up."""
    return math.ceil(epochs * trainer.size / trainer.batch_size - 1e-9)


def _evaluation_steps(trainer: Trainer, progress: Progress, every: float) -> Iterator[int]:
    count = 1
    while (step := steps_of(count * every, trainer)) < progress.total:
        if step > progress.step:
            yield step
        count += 1
    yield progress.total


def _row(trainer: Trainer, progress: Progress, validation: dict[str, float]) -> dict[str, float | None]:
    """A row of metrics.csv; what cannot be computed is None."""
    averages = trainer.averages()
    row: dict[str, float | None] = {"step": progress.step, "epoch": progress.epoch, "seconds": 0.0}
    for name in ("train/loss", "train/bound", "train/elbo", "train/nll", "train/kl"):
        row[name] = averages.pop(name, None)
    for name in ("validation/elbo", "validation/nll", "validation/kl", "validation/iw_bound"):
        row[name] = validation.get(name)
    row["beta"] = float(trainer.beta(progress.step))
    row |= {f"learning_rate/{group}": trainer.learning_rate(group) for group in trainer.variables}
    return row | averages


def _update_best(progress: Progress, row: dict[str, float | None], monitor: str) -> bool:
    """Counts an evaluation towards the best; returns whether it is the best so far."""
    value = row[monitor]
    assert value is not None
    sign = 1 if monitor.endswith(("elbo", "bound")) else -1
    improved = progress.best is None or sign * value > sign * progress.best
    if improved:
        progress.best, progress.best_step, progress.stale = value, progress.step, 0
    else:
        progress.stale += 1
    return improved


def _not_finite(name: str, step: int, saved: int | None) -> RunError:
    checkpoint = "no checkpoint was written" if saved is None else f"the last good checkpoint is of step {saved}"
    return RunError(
        f"{name} is not finite at step {step}; {checkpoint}. A smaller optimizer.learning_rate or "
        "optimizer.global_clipnorm=1 often helps."
    )


def _warn_of_unfinished_schedule(trainer: Trainer, total: int) -> None:
    last, limit = float(trainer.beta(total - 1)), float(trainer.beta(2**30))
    if not math.isclose(last, limit, rel_tol=1e-3, abs_tol=1e-6):
        log.warning(
            "The schedule of trainer.beta does not end within this run: beta is %.4g at the last step, %d, and "
            "goes on to %.4g.", last, total - 1, limit,
        )  # fmt: skip
