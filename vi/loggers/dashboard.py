"""Weights & Biases, fed beside the training: whatever becomes of it, the training goes on."""

from __future__ import annotations

import contextlib
import csv
import glob
import io
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vi.loggers.base import Logger

log = logging.getLogger(__name__)

QUEUE_SIZE = 10_000  # rows and pictures that wait for W&B; what comes then is left out
START_SECONDS = 20  # for the server to answer
OFFLINE_SECONDS = 15  # for `finish`
ONLINE_SECONDS = 60  # for `finish`, which uploads
INTERRUPTED_SECONDS = 2  # for `finish`, when somebody has pressed Ctrl-C
INSPECT_SECONDS = 60  # to read one record log
TAG_LENGTH = 64  # W&B refuses a run for a longer one
GOALS = {"elbo": max, "bound": max, "nll": min, "loss": min}

_one_run_at_a_time = threading.Lock()


class WandbLogger(Logger):
    """One Weights & Biases run: config, every metric against `step` and its best, pictures, summary.

    A thread feeds W&B, so that nothing waits for it but `finish`, and that for a limited time. The first failure is a
    warning, and what W&B misses is in metrics.csv. A run that cannot go online is recorded offline.

    Where metrics.csv has rows already, the run is resumed, and those that the files of this id lack are logged first.
    Offline, W&B begins another file: the run is the union of its files, by `step`, the last one winning.

    Args:
        directory: the run directory; W&B writes below its `wandb/`.
        config: the resolved config.
        id: of the W&B run, kept when it is resumed.
        name: of the run.
        group: shared by the jobs of a multirun.
        tags: what the run is found by.
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
        self.directory = directory
        self.mode = mode
        tags = [tag[:TAG_LENGTH] for tag in tags if tag]
        about = {"id": id, "name": name, "group": group, "tags": tags, "notes": notes}
        self._arguments = {"dir": directory, "config": dict(config), **about, **settings}
        metrics = directory / "metrics.csv"
        self._before = metrics.read_text() if metrics.exists() else ""
        self._tasks: queue.SimpleQueue[Callable[[_Run], None] | None] = queue.SimpleQueue()
        self._warnings = threading.Semaphore(1)
        self._service: subprocess.Popen | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=self._feed, name="wandb", daemon=True)
        self._thread.start()

    def log(self, row: Mapping[str, float | None]) -> None:
        """Logs what the row holds against its step."""
        values = {name: value for name, value in row.items() if value is not None}
        self._put(lambda run: run.log(values))

    def picture(self, name: str, path: Path) -> None:
        """Logs the picture at the step of the last row."""
        self._put(lambda run: run.picture(name, path))

    def finish(self, summary: Mapping[str, Any], hurried: bool | None = None) -> None:
        """Writes the summary and ends the W&B run; gives it up when that takes too long.

        It is soon given up if `hurried`, by default if the run was interrupted.
        """
        content = dict(summary)
        self._tasks.put(lambda run: run.finish(content))
        self._tasks.put(None)
        seconds = ONLINE_SECONDS if self.mode == "online" else OFFLINE_SECONDS
        if content["status"] == "interrupted" if hurried is None else hurried:
            seconds = INTERRUPTED_SECONDS
        try:
            self._thread.join(seconds)
        finally:
            if self._thread.is_alive():
                self._abandon(seconds)

    def _put(self, task: Callable[[_Run], None]) -> None:
        if self._tasks.qsize() < QUEUE_SIZE:
            self._tasks.put(task)
        else:
            self._warn(f"Weights & Biases lags {QUEUE_SIZE:,} rows behind; what it misses is in metrics.csv.")

    def _abandon(self, seconds: float) -> None:
        """Kills the service process: what waits for it then fails, and neither thread nor process exit hang on it."""
        self._abandoned = True
        self._warn(
            f"Weights & Biases has not finished after {seconds} s and is given up; what it misses is in metrics.csv."
        )
        if self._service:
            self._service.kill()
            self._thread.join(1)

    def _warn(self, sentence: str) -> None:
        if self._warnings.acquire(blocking=False):  # once
            log.warning("%s", sentence)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._warn(f"Weights & Biases failed ({_reason(error)}); what it misses is in metrics.csv.")

    def _feed(self) -> None:
        """The thread's work, from the start of the W&B run to its end."""
        with _one_run_at_a_time, self._guard():
            before = _rows(self._before)
            logged = _logged_steps(self.directory, self._arguments["id"]) if before else set()
            mode = self.mode
            if mode == "online":
                try:
                    return self._run(before, logged, mode=mode, resume="allow")
                except Exception as error:
                    if self._abandoned:
                        return
                    self._warn(
                        f"Weights & Biases cannot go online ({_reason(error)}); the run is recorded offline, as by "
                        f"logger.wandb.mode=offline, and `wandb sync {self.directory}/wandb/offline-run-*` uploads it."
                    )
                    mode = "offline"
            self._run(before, logged, mode=mode)

    def _run(self, before: list[dict[str, float]], logged: set[float], **settings: Any) -> None:
        with self._start(**settings) as started:
            run = _Run(started)
            for row in before:
                with self._guard():
                    run.note(row) if row["step"] in logged else run.log(row)
            for task in iter(self._tasks.get, None):
                with self._guard():
                    task(run)

    @contextlib.contextmanager
    def _start(self, *, mode: Any, **settings: Any) -> Iterator[Any]:
        """A started `wandb.Run`, with a service process that is its own and ends with it.

        One that the environment names is of somebody else, and is used but left as it is.
        """
        import wandb

        (self.directory / "wandb").mkdir(exist_ok=True)  # without it W&B writes elsewhere
        own = "WANDB_SERVICE" not in os.environ
        hooks = sys.exit, sys.excepthook
        try:
            setup = wandb.setup(wandb.Settings(mode=mode, silent=True) if own else None)  # silent: it asks for no key
        finally:
            sys.exit, sys.excepthook = hooks  # W&B's, one around the other, would print a traceback once for each job
        if own:
            with contextlib.suppress(AttributeError):  # W&B has no public way to its process
                self._service = setup._connection._proc._process
        try:
            yield wandb.init(
                mode=mode,
                reinit="create_new",
                settings=wandb.Settings(
                    silent=True, console="off", init_timeout=START_SECONDS, x_transaction_log_flush_interval=1
                ),
                **self._arguments,
                **settings,
            )
        finally:
            if own:
                with contextlib.suppress(Exception, SystemExit):  # what a dead process leads to
                    wandb.teardown()
                if self._service:
                    self._service.kill()
                    self._service.wait()


class _Run:
    """A `wandb.Run`, its last step and its best numbers."""

    def __init__(self, run: Any):
        self.run = run
        self.step: float | None = None
        self.best: dict[str, dict[str, float]] = {}
        self.defined: set[str] = set()
        run.define_metric("*", step_metric="step")

    def note(self, row: Mapping[str, float]) -> None:
        """Takes a row into the best, which W&B computes for one file only."""
        self.step = row["step"]
        for name, value in row.items():
            if goal := _goal(name):
                best = self.best.setdefault(name, {goal.__name__: value})
                best[goal.__name__] = goal(best[goal.__name__], value)

    def log(self, row: Mapping[str, float]) -> None:
        for name in row.keys() - self.defined:
            if goal := _goal(name):  # by its full name: W&B heeds only the first pattern that fits
                self.run.define_metric(name, step_metric="step", summary=goal.__name__)
        self.defined |= row.keys()
        self.note(row)
        self.run.log(row)

    def picture(self, name: str, path: Path) -> None:
        import wandb

        at = {} if self.step is None else {"step": self.step}
        self.run.log({**at, f"figures/{name}": wandb.Image(str(path))})

    def finish(self, summary: Mapping[str, Any]) -> None:
        self.run.summary.update({**self.best, **summary})
        self.run.finish(exit_code=0 if summary["status"] == "finished" else 1)


def _goal(name: str) -> Callable | None:
    return next((goal for end, goal in GOALS.items() if name.endswith(end)), None)


def _rows(text: str) -> list[dict[str, float]]:
    """The rows of a metrics.csv, without what is empty."""
    rows = csv.DictReader(io.StringIO(text))
    return [{name: _number(cell) for name, cell in row.items() if cell} for row in rows]


def _number(cell: str) -> float:
    try:
        return int(cell)
    except ValueError:
        return float(cell)


def _logged_steps(directory: Path, id: str) -> set[float]:
    """The steps whose rows are in the record logs of a run, which W&B's tool reads up to where a kill has torn them.

    None where one cannot be read: a row that is logged twice does no harm.
    """
    steps = set()
    for file in directory.glob(f"wandb/*run-*-{glob.escape(id)}/*.wandb"):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
        try:
            text = subprocess.run(
                command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=INSPECT_SECONDS
            ).stdout
            items = [json.loads(line).get("history", {}).get("item", {}) for line in text.splitlines()]
        except (OSError, subprocess.SubprocessError, ValueError):
            return set()
        steps |= {item["step"] for item in items if "step" in item and not any("figures/" in name for name in item)}
    return steps


def _reason(error: Exception) -> str:
    """What an error says, to stand within a sentence."""
    text = " ".join(str(error).split()).rstrip(".").replace(". ", "; ")
    return text or type(error).__name__
