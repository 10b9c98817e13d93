"""A run of Weights & Biases: its service process, and the logging of rows, pictures and summary."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import wandb
from wandb.sdk.lib.settings_file import SettingsFiles

START_SECONDS = 20
"""The time limit for the server's first answer."""
GOALS: dict[str, Callable[[float, float], float]] = {"elbo": max, "bound": max, "nll": min, "loss": min}
"""The function that gives the best value of a metric, by the end of the metric's name."""


class Service:
    """The process of W&B that belongs to one run: started with the run and ended with it.

    A service that WANDB_SERVICE names belongs to someone else: it is used but not stopped.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None

    def kill(self) -> None:
        """Kills the process, so that a thread that waits for it gets an error."""
        if self._process:
            self._process.kill()

    @contextlib.contextmanager
    def begin(self, directory: Path, *, mode: Any, **arguments: Any) -> Iterator[WandbRun]:
        """Begins a W&B run below `directory`/wandb with these arguments of `wandb.init`."""
        (directory / "wandb").mkdir(exist_ok=True)  # without it W&B writes elsewhere
        own = "WANDB_SERVICE" not in os.environ
        self._start(wandb.Settings(mode=mode, silent=True) if own else None)  # silent: it asks for no key
        # Git would run what a stranger's .git in the current directory names; summary.json has the commit.
        quiet = {"silent": True, "console": "off", "disable_git": True, "disable_code": True}
        settings = wandb.Settings(**quiet, init_timeout=START_SECONDS, x_transaction_log_flush_interval=1)
        try:
            yield WandbRun(wandb.init(dir=directory, mode=mode, reinit="create_new", settings=settings, **arguments))
        finally:
            if own:
                with contextlib.suppress(Exception, SystemExit):  # raised when the process is dead
                    wandb.teardown()
                if self._process:
                    self._process.kill()
                    self._process.wait()

    def _start(self, settings: wandb.Settings | None) -> None:
        hooks, read = (sys.exit, sys.excepthook), wandb.Settings.read_system_settings
        try:
            wandb.Settings.read_system_settings = _of_the_user
            setup = wandb.setup(settings)
        finally:
            wandb.Settings.read_system_settings = read
            sys.exit, sys.excepthook = hooks  # W&B wraps them once for each job, and each would print a traceback
        if settings is not None:
            with contextlib.suppress(AttributeError):  # W&B has no public way to its process
                self._process = setup._connection._proc._process


class WandbRun:
    """A `wandb.Run`, with its last step and the best value of each metric."""

    def __init__(self, run: wandb.Run):
        self.run = run
        self.step: float | None = None
        self.best: dict[str, dict[str, float]] = {}
        self.defined: set[str] = set()
        run.define_metric("*", step_metric="step")

    def note(self, row: Mapping[str, float]) -> None:
        """Updates the best values by a row without logging it, because W&B computes the best of one file only."""
        self.step = row["step"]
        for name, value in row.items():
            if goal := _goal(name):
                best = self.best.setdefault(name, {goal.__name__: value})
                best[goal.__name__] = goal(best[goal.__name__], value)

    def log(self, row: Mapping[str, float]) -> None:
        """Logs a row against its step."""
        for name in row.keys() - self.defined:
            if goal := _goal(name):  # by its full name: W&B heeds only the first pattern that fits
                self.run.define_metric(name, step_metric="step", summary=goal.__name__)
        self.defined |= row.keys()
        self.note(row)
        self.run.log(dict(row))

    def picture(self, name: str, path: Path) -> None:
        """Logs a picture at the step of the last row."""
        at = {} if self.step is None else {"step": self.step}
        self.run.log({**at, f"figures/{name}": wandb.Image(str(path))})

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Writes the summary with the best values, and ends the run."""
        self.run.summary.update({**self.best, **summary})
        self.run.finish(exit_code=0 if summary["status"] == "finished" else 1)


def _of_the_user(settings: wandb.Settings) -> SettingsFiles:
    """The settings file of the user alone: `wandb/settings` in the current directory may be somebody else's.

    Such a file could name another host, which would then get the user's key.
    """
    return SettingsFiles(global_settings=Path(str(settings.settings_system)), local_settings=Path(os.devnull))


def _goal(name: str) -> Callable[[float, float], float] | None:
    return next((goal for end, goal in GOALS.items() if name.endswith(end)), None)
