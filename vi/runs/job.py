"""One run, from its config to its files: opened, trained, drawn, evaluated and summarized."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vi.data.dataset import Dataset
from vi.data.scales import remarks
from vi.errors import ConfigError, reason
from vi.evaluation.scores import evaluate_model, flat
from vi.evaluation.splits import open_split
from vi.files import as_override, require_real, write
from vi.loggers.base import Logger, Loggers
from vi.loggers.metrics_file import MetricsFile
from vi.loggers.notebook import NotebookLogger
from vi.loggers.tables import closing_table, evaluation_table
from vi.loggers.terminal import Terminal, TerminalLogger, evaluation_bar
from vi.pictures.gallery import draw_diagrams, draw_pictures
from vi.precision import set_precision
from vi.runs.build import build
from vi.runs.directory import Summary, lock, write_summary
from vi.runs.failure import close
from vi.runs.interruption import Interruption
from vi.runs.outputs import dashboard, describe, write_evaluation
from vi.runs.profile import Clock, profile
from vi.runs.restore import initialize
from vi.runs.startup import Startup
from vi.runs.summary import Command, about, read_earlier, standing
from vi.runs.training import make_trainer, train
from vi.settings.saved import Config, save
from vi.training.checkpoints import Checkpoints
from vi.training.devices import set_up_devices
from vi.training.fit import Progress, steps_of

log = logging.getLogger(__name__)


class Job:
    """One run before its training. The constructor refuses a wrong config before anything is written.

    It clears Keras's session, and sets Keras's precision and the global seeds.

    Args:
        config: resolved and checked. The keys that follow from the data are filled in.
        command: the command that requested the run.
        resume: the directory of the run to resume; None for a new run.
        began: the time at which the process or the job began, by `time.perf_counter`; now if None.

    Raises:
        ConfigError: the config does not fit its data, or its parts do not fit one another.
    """

    def __init__(self, config: Config, command: Command, resume: Path | None = None, began: float | None = None):
        self._imported = time.perf_counter()
        self._began = self._imported if began is None else began
        set_up_devices()
        set_precision(config["trainer"]["precision"])
        self.config, self.command, self.resume = config, command, resume
        self.parts = build(config)
        if config["init_from"] and not (resume and Checkpoints(resume / "checkpoints", {})):
            initialize(self.parts.model, Path(str(config["init_from"])))
        self.trainer = make_trainer(self.parts, config)
        if self.parts.model.likelihood.support == "real":
            _remark_on(self.parts.data)
        if config["trainer"]["evaluate"]:
            open_split(self.parts.data, self.parts.model.likelihood, "test", "trainer.evaluate=true")

    def execute(self, directory: Path) -> Summary:
        """Trains, and writes all files of a run into `directory`; returns the content of summary.json.

        Raises:
            ConfigError: another process is at work in the directory, or it holds another run.
            RunError: the training cannot continue.
            Interrupted: by Ctrl-C or SIGTERM; the run can be resumed.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{directory}: no run can be written there ({reason(error)}).") from None
        require_real(directory)
        with lock(directory), Interruption() as interruption:
            checkpoints, progress, summary = self._open(directory)
            metrics, console = MetricsFile(directory / "metrics.csv"), Terminal()
            terminal = NotebookLogger() if console.is_jupyter else TerminalLogger(console)
            startup = Startup(self._began, self._imported, lambda seconds: _add_startup(seconds, summary, directory))
            clock = Clock()
            loggers, evaluation = Loggers(metrics, terminal, startup, clock), {}
            try:
                self._describe(summary, directory)
                metrics.truncate(progress.row)
                if self.config["logger"]["wandb"]:
                    loggers.add(dashboard(self.config, summary, self.command, directory))
                summary |= train(
                    self.parts, self.trainer, self.config["trainer"], checkpoints, progress, loggers, interruption.poll
                )
                if self.config["trainer"]["profile"]:
                    terminal.stop()
                    profile(self.trainer, clock, console, directory / "profile", interruption.poll)
                self._draw(directory, loggers, interruption.poll)
                if self.config["trainer"]["evaluate"]:
                    terminal.stop()  # one bar at a time
                    evaluation = self._evaluate(summary["best"]["step"], directory, loggers, interruption.poll)
                summary |= {"status": "finished", **standing(progress)}
                write_summary(summary, directory)
            except BaseException as error:
                raise close(error, summary, self.trainer, progress, directory) from error.__cause__
            finally:
                loggers.finish(summary | flat(evaluation))
        if not console.is_jupyter:  # a notebook shows the run that `vi.train` returns
            closing_table(console, summary, directory)
        if evaluation:
            evaluation_table(console, evaluation, directory)
        return summary

    def _open(self, directory: Path) -> tuple[Checkpoints, Progress, Summary]:
        """The checkpoints of the directory, the progress of the training, and the summary at the beginning."""
        checkpoints = Checkpoints(directory / "checkpoints", self.trainer.state)
        if not self.resume and ((directory / "config.yaml").exists() or checkpoints):
            raise ConfigError(
                f"{directory}: already holds a run; choose another directory, or {as_override('resume', directory)}."
            )
        earlier = read_earlier(directory, self.parts.data.hash) if self.resume else {}
        progress = self._restore(checkpoints) if self.resume and checkpoints else Progress()
        return checkpoints, progress, about(self.parts, self.config, self.trainer, self.command, earlier, progress)

    def _restore(self, checkpoints: Checkpoints) -> Progress:
        """Restores the last checkpoint; returns its progress."""
        progress, epochs = Progress.of(checkpoints.restore("last")), self.config["trainer"]["epochs"]
        if (steps := steps_of(epochs, self.trainer)) < progress.step:
            raise ConfigError(f"trainer.epochs={epochs}: the run has done {progress.epoch:g} already.")
        checkpoints.forget_after(progress.step)
        if steps == progress.step:
            done = "Nothing is left to train: the run has done its %g epochs. More trainer.epochs train it for longer."
            log.info(done, epochs)
        else:
            if progress.step and not any(self.trainer.learning_rate(group) for group in self.trainer.variables):
                log.warning(
                    "The schedule of the learning rates has ended at 0, so that further epochs change no weights."
                )
            log.info("Going on from step %d (epoch %.1f).", progress.step, progress.epoch)
        return progress

    def _describe(self, summary: Summary, directory: Path) -> None:
        """Writes the files that do not need the training: config.yaml, summary.json and model.txt."""
        save(self.config, directory / "config.yaml")
        write_summary(summary, directory)
        write(directory / "model.txt", describe(self.parts.model, self.trainer))

    def _draw(self, directory: Path, loggers: Logger, poll: Callable[[], None]) -> None:
        """Draws the trained model on the validation data."""
        model, data, folder = self.parts.model, self.parts.data, directory / "figures"
        pictures = draw_pictures(model, data, data.validation, directory / "metrics.csv", folder, poll)
        for name, path in itertools.chain(pictures, draw_diagrams(model, folder, poll)):
            loggers.picture(name, path)

    def _evaluate(self, best_step: int, directory: Path, loggers: Logger, poll: Callable[[], None]) -> dict[str, Any]:
        """Evaluates the trained model on the test data, as `vi-evaluate` does."""
        model, data, samples = self.parts.model, self.parts.data, self.config["trainer"]["evaluation_samples"]
        with evaluation_bar(Terminal()) as bar:
            numbers = evaluate_model(model, data, "test", samples, jit=self.trainer.jit, poll=poll, progress=bar)
        evaluation = {"checkpoint": "best", "step": best_step, **numbers}
        for name, path in write_evaluation(evaluation, model, data, directory, poll).items():
            loggers.picture(f"evaluation/{name}", path)
        return evaluation


def _add_startup(seconds: dict[str, float], summary: Summary, directory: Path) -> None:
    """Records the time until the first step in summary.json."""
    summary["startup"] = seconds
    write_summary(summary, directory)


def _remark_on(data: Dataset) -> None:
    """Logs what makes data unfit for a likelihood of real data."""
    if data.binary:
        log.warning(
            "The data are bits (data.binarization=%s), but the likelihood is of real data; use likelihood=bernoulli, "
            "or data.binarization=none for the values themselves.",
            data.binarization,
        )
    if not data.standardize:
        for remark in remarks(data.train.x, data.scale, data.columns):
            log.warning(remark)
