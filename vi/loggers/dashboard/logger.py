"""The logger of a run's W&B run."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi.loggers.base import Logger, Standing
from vi.loggers.dashboard.earlier import logged_steps, rows_of
from vi.loggers.dashboard.feeder import Feeder, in_sentence

if TYPE_CHECKING:
    from vi.loggers.dashboard.wandb_run import Service, WandbRun

OFFLINE_SECONDS = 15
"""The time limit of `finish`."""
ONLINE_SECONDS = 60
"""The time limit of `finish` in online mode, which uploads."""
INTERRUPTED_SECONDS = 2
"""The time limit of `finish` after Ctrl-C."""
TAG_LENGTH = 64
"""W&B refuses a run with a longer tag."""

one_run_at_a_time = threading.Lock()

Task = Callable[["WandbRun"], None]


class WandbLogger(Logger):
    """One Weights & Biases run: its config, every metric against `step`, the best values, pictures and the summary.

    A thread feeds W&B. Only `finish` waits for the thread, for a limited time. The first failure is a warning; all rows
    are in metrics.csv. A run that cannot go online is recorded offline.

    If metrics.csv has rows, the run is resumed: rows that are missing in W&B's files of this id are logged first.
    Offline, W&B begins another file. The run is then the union of its files by `step`; the last file has priority.

    Args:
        directory: the run directory; W&B writes below its `wandb/`.
        config: the resolved config.
        id: the id of the W&B run; a resumed run keeps it.
        name: the name of the run.
        group: the name that the jobs of a multirun share.
        tags: the tags of the run, for filters.
        notes: the command line.
        mode: "offline", "online" or "disabled".
        settings: further arguments of `wandb.init`, such as `project`.
    """

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any],
        *,
        id: str,
        name: str,
        group: str | None,
        tags: Sequence[str],
        notes: str,
        mode: str = "offline",
        **settings: Any,
    ):
        self.directory, self.mode = directory, mode
        tags = [tag[:TAG_LENGTH] for tag in tags if tag]
        about = {"id": id, "name": name, "group": group, "tags": tags, "notes": notes}
        self._arguments = {"config": dict(config), **about, **settings}
        metrics = directory / "metrics.csv"
        self._before = metrics.read_text() if metrics.exists() else ""
        self._service: Service | None = None
        self._feeder: Feeder[Task] = Feeder(self._take)

    def progress(self, progress: Standing) -> None:
        """Begins the W&B run after the first step, because the import of W&B would slow the compilation."""
        if not math.isnan(progress.bound):
            self._feeder.start()

    def log(self, row: Mapping[str, float | None]) -> None:
        """Logs the numbers of a row against its step."""
        values = {name: value for name, value in row.items() if value is not None}
        self._feeder.put(lambda run: run.log(values))

    def picture(self, name: str, path: Path) -> None:
        """Logs the picture at the step of the last row."""
        self._feeder.put(lambda run: run.picture(name, path))

    def finish(self, summary: Mapping[str, Any], hurried: bool | None = None) -> None:
        """Writes the summary and ends the W&B run. After a time limit the W&B run is killed.

        The limit is short if `hurried`, by default if the run was interrupted.
        """
        content = dict(summary)
        hurried = content["status"] == "interrupted" if hurried is None else hurried
        patience = ONLINE_SECONDS if self.mode == "online" else OFFLINE_SECONDS
        self._feeder.close(lambda run: run.finish(content), INTERRUPTED_SECONDS if hurried else patience, self._kill)

    def _kill(self) -> None:
        if self._service:
            self._service.kill()

    def _take(self, feeder: Feeder[Task], tasks: Iterator[Task]) -> None:
        """The thread's work, from the start of the W&B run to its end."""
        with one_run_at_a_time:
            before = rows_of(self._before)
            logged = logged_steps(self.directory, self._arguments["id"]) if before else set()
            mode = self.mode
            if mode == "online":
                try:
                    return self._run(feeder, tasks, before, logged, mode=mode, resume="allow")
                except Exception as error:
                    if feeder.abandoned:
                        return
                    feeder.warn(
                        f"Weights & Biases cannot go online ({in_sentence(error)}); the run is recorded offline, as by "
                        f"logger.wandb.mode=offline, and `wandb sync {self.directory}/wandb/offline-run-*` uploads it."
                    )
                    mode = "offline"
            self._run(feeder, tasks, before, logged, mode=mode)

    def _run(
        self,
        feeder: Feeder[Task],
        tasks: Iterator[Task],
        before: list[dict[str, float]],
        logged: set[float],
        **settings: Any,
    ) -> None:
        """One W&B run: first the rows of `before` whose steps are not in `logged`, then the tasks."""
        from vi.loggers.dashboard.wandb_run import Service  # wandb takes a second to import

        self._service = Service()
        with self._service.begin(self.directory, **settings, **self._arguments) as run:
            for row in before:
                with feeder.guard():
                    run.note(row) if row["step"] in logged else run.log(row)
            for task in tasks:
                with feeder.guard():
                    task(run)
