"""The profile of a run: where its time goes, as a table, a file and a trace."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

import rich.console
import tensorflow as tf

from vi.diagnostics.profile import profile_step, trace
from vi.errors import ConfigError, RunError
from vi.files import write
from vi.loggers.base import Logger, Standing
from vi.loggers.profile import profile_table
from vi.training.trainer import Trainer

log = logging.getLogger(__name__)


class Clock(Logger):
    """The time of a training outside its compiled calls, by the times that the training tells its loggers.

    Attributes:
        steps: the number of steps so far.
        first: the seconds of the first call, which compiles.
        evaluations: the seconds of each evaluation.
        host: all other seconds outside the compiled calls.
    """

    def __init__(self) -> None:
        self.steps, self.first, self.host = 0, 0.0, 0.0
        self.evaluations: list[float] = []
        self._start: tuple[int, float, float] | None = None
        self._called = 0.0

    def progress(self, progress: Standing) -> None:
        """Reads the times after a compiled call."""
        if self._start is None:
            self._start = progress.step, progress.seconds, progress.training_seconds
        step, seconds, training_seconds = self._start
        if self.steps == 0:
            self.first = progress.seconds - seconds
        self.steps, self._called = progress.step - step, progress.seconds
        calls = self.first + progress.training_seconds - training_seconds
        self.host = max(0.0, progress.seconds - seconds - calls - sum(self.evaluations))

    def log(self, row: Mapping[str, float | None]) -> None:
        """Reads the time after an evaluation."""
        assert row["seconds"] is not None
        self.evaluations.append(row["seconds"] - self._called)

    @property
    def evaluation(self) -> float:
        """The seconds of all evaluations. The first one compiles, so the others stand for it if there are others."""
        first, *others = self.evaluations or [0.0]
        return statistics.median(others) * len(self.evaluations) if others else first

    @property
    def compiling(self) -> float:
        """The seconds of the first call, and how much longer the first evaluation took than the others."""
        return self.first + max(0.0, sum(self.evaluations) - self.evaluation)

    def between(self) -> dict[str, float]:
        """The milliseconds a step of evaluation and host; empty if no step was taken."""
        seconds = {"evaluation": self.evaluation, "host": self.host} if self.steps else {}
        return {term: 1e3 * each / self.steps for term, each in seconds.items()}


def profile(
    trainer: Trainer, clock: Clock, console: rich.console.Console, folder: Path, poll: Callable[[], None]
) -> None:
    """Prints where the time of a run went, and writes profile.csv and a trace into a folder.

    The trainer stays as it is. If the profile fails, it is given up with a warning.

    Args:
        trainer: the trainer of the run, after its training.
        clock: the clock of the training.
        console: the terminal.
        folder: the folder of the profile.
        poll: called from time to time; raises Interrupted to end the profile.
    """
    log.info("Profiling the train step, which takes about half a minute and changes no number of the run.")
    try:
        step, between = profile_step(trainer, poll), clock.between()
        trace(trainer, folder)
        milliseconds = {**step, **between}
        whole = sum(milliseconds.values())
        rows = [f"{term},{each:.6g},{100 * each / whole:.6g}\n" for term, each in milliseconds.items()]
        write(folder / "profile.csv", "term,milliseconds,percent\n" + "".join(rows))
    except (ConfigError, RunError, OSError, tf.errors.OpError) as error:
        log.warning("trainer.profile is given up: %s", error.message if isinstance(error, tf.errors.OpError) else error)
        return
    samples = trainer.estimator.draws.posterior
    size = f"{trainer.batch_size:,} data with {samples:,} sample{'s' if samples > 1 else ''} each"
    title = f"where the time of a step goes: {size}, {'with' if trainer.jit else 'without'} XLA"
    profile_table(console, title, step, between, clock.compiling, folder)
