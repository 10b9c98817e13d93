"""A whole training: compiled calls up to each evaluation, then a row of metrics and a checkpoint."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from vi.errors import ConfigError, Interrupted, RunError
from vi.kinds import Range, kind_of
from vi.training.checkpoints import Checkpoints
from vi.training.trainer import Trainer

log = logging.getLogger(__name__)


LEAST, MOST = 5, 50
"""The smallest and the largest number of evaluations, unless the user sets their interval."""
LATER = "A smaller optimizer.learning_rate or optimizer.global_clipnorm=1 often helps."
AT_THE_START = (
    "No step was taken before, so the cause is the data or the initial model: look at the scale of the data; "
    "data.standardize=true or data.scale often helps."
)


class NotFinite(RunError):
    """The trainer's next step is not finite, or a metric of the last row is not.

    Args:
        what: the beginning of the sentence.
        saved: the step of the last good checkpoint, if there is one.
        step: the number of steps taken.
    """

    def __init__(self, what: str, saved: int | None, step: int):
        self.advice = LATER if step else AT_THE_START
        super().__init__(f"{what}; {last_good(saved)}. {self.advice}")
        self.what, self.saved = what, saved


@dataclasses.dataclass
class Progress:
    """The progress of a run; saved with every checkpoint.

    Attributes:
        step: the steps done.
        total: the steps to do.
        epoch: step · B / N.
        seconds: wall time, with compiling and evaluation.
        training_seconds: the time of the calls that compile nothing.
        training_examples: the number of training data seen in this time.
        bound: the mean of the estimator's bound over the steps since the last evaluation.
        best: the best value of the monitored metric, and `best_step` its step; None before the first evaluation.
        monitored: the metric of `best`.
        stale: evaluations since the best.
        skipped: the number of steps that were skipped because they were not finite.
        interval: epochs between evaluations.
        evaluated: the step of the last evaluation; `row` is its row of metrics.csv.
    """

    step: int = 0
    total: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    training_seconds: float = 0.0
    training_examples: int = 0
    bound: float = math.nan
    best: float | None = None
    best_step: int | None = None
    monitored: str | None = None
    stale: int = 0
    skipped: int = 0
    interval: float | None = None
    evaluated: int = 0
    row: dict[str, float | None] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Progress:
        """The progress that a checkpoint's state holds.

        Raises:
            ConfigError: a value is missing, or has another type.
        """
        hints = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            value, kind = state.get(field.name, field.default), kind_of(hints[field.name])
            if not (field.name == "row" or kind.test(value) or value != value):  # the bound may be NaN
                raise ConfigError(f"state.json: {field.name}={value!r:.100}: must be {kind.allowed}.")
        known = {field.name: state[field.name] for field in dataclasses.fields(cls) if field.name in state}
        if not _is_row(row := known.get("row", {})):
            raise ConfigError(f"state.json: row={row!r:.100}: must hold the metrics of a row.")
        if (interval := known.get("interval")) is not None and interval <= 0:
            raise ConfigError(f"state.json: interval={interval!r:.100}: must be a finite number above 0, or null.")
        return cls(**known)

    @property
    def examples_per_second(self) -> float | None:
        """Training data per second, without compiling and evaluation; None before the second call."""
        return self.training_examples / self.training_seconds if self.training_seconds else None


def _is_row(row: Any) -> bool:
    """Whether it is empty, or has a step and numbers by name."""
    number = Range().of(float) | kind_of(type(None))
    return isinstance(row, dict) and (
        not row or (type(row.get("step")) is int and all(isinstance(k, str) and number.test(row[k]) for k in row))
    )


class ProgressLogger(Protocol):
    """What `fit` tells of a training."""

    def progress(self, progress: Progress) -> None:
        """Receives the progress: at the beginning, and then about once a second."""

    def log(self, row: Mapping[str, float | None]) -> None:
        """Receives a row of metrics, at each evaluation; a metric that cannot be computed is None."""


def fit(
    trainer: Trainer,
    validate: Callable[[], dict[str, float]],
    checkpoints: Checkpoints,
    loggers: Sequence[ProgressLogger],
    *,
    epochs: float,
    evaluate_every: float | None = None,
    monitor: str = "validation/iw_bound",
    patience: int | None = None,
    steps_per_call: int | Literal["auto"] = "auto",
    nonfinite: Literal["stop", "skip"] = "stop",
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
    diagnose: Callable[[bool], dict[str, float | None]] | None = None,
    diagnose_every: float | None = None,
) -> Progress:
    """Trains for `epochs` epochs, or until `monitor` has not improved for `patience` evaluations.

    Args:
        trainer: the trainer, at the first step to take.
        validate: returns the validation metrics.
        checkpoints: `Checkpoints`, written at every evaluation.
        loggers: receive the progress and the rows.
        epochs: how often each datum is seen.
        evaluate_every: epochs between evaluations; the last step is always evaluated. None evaluates at every epoch,
            but at least 5 and at most 50 times. A resumed run then keeps its interval.
        monitor: the metric for the best checkpoint and early stopping. Bounds are maximized, other metrics are
            minimized. If it cannot be computed, `validation/nll` takes its place.
        patience: None never stops early.
        steps_per_call: train steps for each compiled call; "auto" makes a call last about a second.
        nonfinite: "stop" raises at a step whose loss or gradients are not finite; "skip" leaves the step out.
        progress: the progress so far, as restored with the trainer; it is updated in place.
        check: called between compiled calls, by `validate` and by `diagnose`. To end the training, it raises
            Interrupted; the progress is then saved.
        diagnose: returns further metrics. Its argument is whether they are due; if not, they are None. They are due at
            the first evaluation after each `diagnose_every` epochs.
        diagnose_every: epochs between the diagnoses.

    Raises:
        Interrupted: by `check`.
        NotFinite: the next step is not finite.
        RunError: out of memory, a metric is not finite, or a checkpoint cannot be written.
    """
    progress = Progress() if progress is None else progress
    progress.total = steps_of(epochs, trainer)
    if evaluate_every is None:
        evaluate_every = progress.interval or interval_of(epochs)
    progress.interval = evaluate_every
    began = time.perf_counter() - progress.seconds
    _warn_of_unfinished_schedule(trainer, progress.total)
    pace, saved = _Pace(steps_per_call), progress.step or None
    for logger in loggers:
        logger.progress(progress)  # the first step is compiled, which takes a while
    try:
        for target in _evaluation_steps(trainer, progress, evaluate_every):
            if patience is not None and progress.stale >= patience:
                _warn_of_unfinished_schedule(trainer, progress.step)
                log.info("Stopped early: %s has not improved for %d evaluations.", monitor, patience)
                break
            while progress.step < target:
                check()
                if not _call(trainer, progress, pace, target):
                    if nonfinite == "stop":
                        raise NotFinite(f"step {progress.step} is not finite", saved, progress.step)
                    trainer.skip()
                    progress.step += 1
                    progress.skipped += 1
                progress.epoch = progress.step * trainer.batch_size / trainer.size
                progress.seconds = time.perf_counter() - began
                for logger in loggers:
                    logger.progress(progress)
            validation, further = validate(), {}
            if diagnose is not None and diagnose_every is not None:
                further = diagnose(_is_due(trainer, progress, diagnose_every))
            row = _row(trainer, progress, validation, saved) | further  # empties the sums: nothing may interrupt it
            if nonfinite == "skip":
                row["skipped_steps"] = progress.skipped
            progress.seconds = row["seconds"] = time.perf_counter() - began
            if row.get(monitor) is None:
                log.warning("%s cannot be computed for this model; going by validation/nll instead.", monitor)
                monitor = "validation/nll"
            progress.monitored = monitor
            _update_best(progress, row, monitor)
            progress.evaluated, progress.row = progress.step, row
            checkpoints.save(progress.step, dataclasses.asdict(progress))
            saved = progress.step
            for logger in loggers:
                logger.log(row)
    except Interrupted:
        if progress.step != saved:
            checkpoints.save(progress.step, dataclasses.asdict(progress))
        raise
    return progress


def interval_of(epochs: float) -> float:
    """The epochs between evaluations for a training of this length, unless the user sets them."""
    return epochs / min(max(epochs, LEAST), MOST)


def last_good(saved: int | None) -> str:
    """The end of a sentence that names the last good checkpoint."""
    return "no checkpoint was written" if saved is None else f"the last good checkpoint is of step {saved}"


def steps_of(epochs: float, trainer: Trainer) -> int:
    """The number of steps of `epochs` epochs, rounded up."""
    return math.ceil(epochs * trainer.size / trainer.batch_size - 1e-9)


class _Pace:
    """The number of steps of a compiled call: a given number, or the number that takes about a second."""

    def __init__(self, steps: int | Literal["auto"]):
        self.auto = steps == "auto"
        self.steps = 1 if steps == "auto" else steps

    def measure(self, progress: Progress, steps: int, examples: int, seconds: float) -> None:
        """Counts a call that has compiled nothing."""
        progress.training_seconds += seconds
        progress.training_examples += examples
        if self.auto:
            self.steps = max(1, min(10 * self.steps, round(steps / seconds)))


def _call(trainer: Trainer, progress: Progress, pace: _Pace, target: int) -> bool:
    """One compiled call, up to `target` at most; returns whether all its steps were finite."""
    start, programs = time.perf_counter(), trainer.programs
    finite = trainer.run(min(pace.steps, target - progress.step))
    steps = int(trainer.step.numpy()) - progress.step
    if finite and trainer.programs == programs:
        pace.measure(progress, steps, steps * trainer.batch_size, time.perf_counter() - start)
    progress.step += steps
    progress.bound = trainer.mean_bound()
    return finite


def _evaluation_steps(trainer: Trainer, progress: Progress, every: float) -> Iterator[int]:
    count = 1
    while (step := steps_of(count * every, trainer)) < progress.total:
        if step > progress.evaluated:
            yield step
        count += 1
    if progress.total > progress.evaluated:
        yield progress.total


def _is_due(trainer: Trainer, progress: Progress, every: float) -> bool:
    """Whether a multiple of `every` epochs has passed since the last evaluation."""
    steps = every * trainer.size / trainer.batch_size
    return int(progress.step / steps + 1e-9) > int(progress.evaluated / steps + 1e-9)


def _row(
    trainer: Trainer, progress: Progress, validation: dict[str, float], saved: int | None
) -> dict[str, float | None]:
    """A row of metrics.csv; a metric that cannot be computed is None."""
    averages = trainer.averages()
    if not averages:
        raise NotFinite(f"no step after step {progress.evaluated} is finite", saved, progress.evaluated)
    row: dict[str, float | None] = {"step": progress.step, "epoch": progress.epoch, "seconds": 0.0}
    for name in ("train/loss", "train/bound", "train/elbo", "train/nll", "train/kl"):
        row[name] = averages.pop(name, None)
    for name in ("validation/elbo", "validation/nll", "validation/kl", "validation/iw_bound"):
        row[name] = validation.get(name)
    row["beta"] = float(trainer.beta(progress.step))
    row |= {f"learning_rate/{group}": trainer.learning_rate(group) for group in trainer.variables}
    row |= averages
    for name, value in row.items():
        if value is not None and not math.isfinite(value):
            raise NotFinite(f"{name} is not finite at step {progress.step}", saved, progress.step)
    return row


def _update_best(progress: Progress, row: dict[str, float | None], monitor: str) -> None:
    """Updates `best`, `best_step` and `stale` after an evaluation."""
    value = row[monitor]
    assert value is not None
    sign = 1 if monitor.endswith(("elbo", "bound")) else -1
    if progress.best is None or sign * value > sign * progress.best:
        progress.best, progress.best_step, progress.stale = value, progress.step, 0
    else:
        progress.stale += 1


def _warn_of_unfinished_schedule(trainer: Trainer, total: int) -> None:
    last, limit = float(trainer.beta(total - 1)), float(trainer.beta(2**30))
    if not math.isclose(last, limit, rel_tol=1e-3, abs_tol=1e-6):
        log.warning(
            "The schedule of trainer.beta does not end within this run: beta is %.4g at the last step, %d, and "
            "goes on to %.4g.", last, total - 1, limit,
        )  # fmt: skip
