"""The interface of loggers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Standing(Protocol):
    """The part of `vi.training.fit.Progress` that loggers read."""

    @property
    def step(self) -> int:
        """The number of steps done."""

    @property
    def total(self) -> int:
        """The number of steps to do."""

    @property
    def epoch(self) -> float:
        """step · B / N."""

    @property
    def bound(self) -> float:
        """The mean of the estimator's bound since the last evaluation, in nats per datum."""

    @property
    def seconds(self) -> float:
        """The wall time, with compiling and evaluation."""

    @property
    def training_seconds(self) -> float:
        """The time of the compiled calls without the first one, which compiles."""

    @property
    def examples_per_second(self) -> float | None:
        """The speed of training; None before it is known."""


class Logger:
    """A receiver of the progress, the metrics, the pictures and the summary of a run.

    The methods do nothing. A subclass replaces `progress`, `log`, `picture` and `finish` as it needs.
    """

    def progress(self, progress: Standing) -> None:
        """Called at the beginning, and then after each compiled call, about once a second."""

    def log(self, row: Mapping[str, float | None]) -> None:
        """Called after each evaluation with a row of metrics.csv."""

    def picture(self, name: str, path: Path) -> None:
        """Called with the file of each picture."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Called once at the end with the content of summary.json, also if the run fails."""


class Loggers(Logger):
    """Several loggers as one."""

    def __init__(self, *loggers: Logger):
        self.loggers = list(loggers)

    def add(self, logger: Logger) -> None:
        """Adds a logger."""
        self.loggers.append(logger)

    def progress(self, progress: Standing) -> None:
        """Calls all loggers."""
        for logger in self.loggers:
            logger.progress(progress)

    def log(self, row: Mapping[str, float | None]) -> None:
        """Calls all loggers."""
        for logger in self.loggers:
            logger.log(row)

    def picture(self, name: str, path: Path) -> None:
        """Calls all loggers."""
        for logger in self.loggers:
            logger.picture(name, path)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Calls all loggers."""
        for logger in self.loggers:
            logger.finish(summary)
