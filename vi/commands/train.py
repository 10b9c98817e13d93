"""The console command `vi-train`: one run, or a multirun of several jobs."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vi.commands.quiet import import_tensorflow
from vi.errors import ConfigError, Interrupted, RunError
from vi.files import short
from vi.loggers.tables import next_commands
from vi.loggers.terminal import Terminal
from vi.runs.directory import mark_failed, newest_jobs, read_summary
from vi.runs.interruption import SIGNALS, Interruption
from vi.settings.compose import choices_of, conf_directory, resolve
from vi.settings.overrides import composable, require_same, resumed
from vi.settings.sentences import first_line, sentence

log = logging.getLogger(__name__)
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
ALL_FAILED = "No trials are completed yet."  # as Optuna calls it
GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class JobFailed(RunError):
    """A job of a multirun has failed; the others go on."""


def main() -> None:
    """Runs `vi-train` with the arguments of the command line, and exits.

    Exit codes: 0 done; 1 the run or a job failed; 2 the command, a value or a file was wrong; 129, 130 and 143
    interrupted.
    """
    show_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") != "0"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its own errors instead of exiting with them
    logging.raiseExceptions = False  # a log on a full disk is not worth a traceback
    failures: list[Exception] = []
    command_line = shlex.join(["vi-train", *sys.argv[1:]])

    @hydra.main(version_base="1.3", config_path=str(conf_directory()), config_name="train")
    def command(config: DictConfig) -> Any:
        try:
            return _job(config, command_line, overrides)
        except Exception as error:
            if HydraConfig.get().mode == RunMode.RUN:
                failures.append(error)
                return None
            raise _failed_job(error) from error  # and the other jobs go on

    overrides: list[str] = []
    try:
        overrides, options = _arguments(sys.argv[1:])
        sys.argv[1:] = [*composable(overrides), *options]
        with Jobs():
            command()
        if failures:
            raise failures[0]
        if Sweep.directory is not None and not newest_jobs(Sweep.directory):
            raise ConfigError(f"{short(Sweep.directory)}: the sweep has no job; does a glob match nothing?")
        lines = _failed()  # an Optuna study ends well regardless
        code = 1 if lines else 0
    except KeyboardInterrupt as interrupt:
        lines, code = [_how_to_go_on(interrupt)], 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)
    except Exception as error:
        if show_traceback:
            raise
        lines, code = _answer(error)
    for line in lines:
        print(f"vi-train: {line}", file=sys.stderr)
    sys.exit(code)


def _arguments(given: list[str]) -> tuple[list[str], list[str]]:
    """The overrides and the options of a command line, which Hydra by itself does not take in any order."""

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message}; vi-train --help tells what there is.")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    overrides = parser.parse_intermixed_args(given).overrides
    return overrides, [argument for argument in given if argument not in overrides]


class Sweep(Callback):
    """Remembers where the jobs of a multirun are."""

    directory: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Called by Hydra before the first job."""
        with contextlib.suppress(Exception):  # a wrong sweep.resume is answered by the sweeper
            Sweep.directory = Path(config.hydra.sweep.dir)


class Jobs:
    """Passes Ctrl-C, SIGTERM and SIGHUP on to jobs in processes of their own, which then save and end."""

    def __enter__(self) -> Jobs:
        self._received: int | None = None
        heard = [n for n in SIGNALS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]  # as nohup has it
        self._handlers = {number: signal.signal(number, self._receive) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._received is not None:
            raise Interrupted(self._received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        workers = _joblib_workers()
        if self._received is not None or not workers:
            raise Interrupted(number)
        self._received = number
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGTERM)


def _joblib_workers() -> list[int]:
    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor = getattr(loky, "_executor", None)
    return list(getattr(executor, "_processes", None) or [])


_worker = Interruption()
"""What a worker of joblib, once it has begun its first job, has heard: then the jobs that are left are not begun."""


def _listen() -> None:
    """Makes this process, a worker of joblib, keep SIGTERM for ever, by which the first process passes on all signals.

    Idle, it would die of one and leave the others waiting for the jobs that it holds.
    """
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        _worker.__enter__()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def _job(config: DictConfig, line: str, typed: list[str]) -> Any:
    """One run, or one job of a multirun; returns the number that a sweeper maximizes."""
    composed = HydraConfig.get()
    directory = short(Path(composed.runtime.output_dir))
    if in_worker := multiprocessing.parent_process() is not None:
        _listen()
    if _worker.heard is not None:
        return None
    try:
        summary = _run(config, directory, line, typed)
    except KeyboardInterrupt as interrupt:
        if in_worker:  # raised, it would have joblib kill the other workers while they save
            return None
        if (directory / "config.yaml").exists():
            interrupt.add_note(f"vi-train resume={directory} goes on")
        raise
    except (ConfigError, RunError):
        raise
    except Exception as error:
        file = directory / "traceback.txt"
        with contextlib.suppress(OSError):
            file.write_text(traceback.format_exc())
        raise RunError(f"{type(error).__name__}: {first_line(error)} (the traceback is in {file})") from error
    if composed.mode == RunMode.RUN:
        next_commands(Terminal(), directory, summary)
    best, monitor = summary["best"], config.trainer.monitor
    name = next(name for name in (monitor, "validation/iw_bound", "validation/nll") if best.get(name) is not None)
    return best[name] if name.endswith(("elbo", "bound")) else -best[name]


def _run(config: DictConfig, directory: Path, line: str, typed: list[str]) -> dict[str, Any]:
    composed = HydraConfig.get()
    choices, group, resume = choices_of(composed), None, config.resume is not None
    if composed.mode == RunMode.RUN:
        if config.sweep.resume is not None:
            raise ConfigError(f"sweep.resume={config.sweep.resume}: goes on with a multirun; add -m.")
        plain = resumed(directory, typed, config) if resume else resolve(config, choices)
    else:
        plain, typed, group = resolve(config, choices), _typed(), Path(composed.sweep.dir).name
        if config.sweep.resume is not None and (directory / "config.yaml").exists():
            summary, resume = read_summary(directory), True
            if summary.get("status") == "finished":
                log.info("Job %d (%s) has finished before; it is left as it is.", composed.job.num, " ".join(typed))
                return summary
    import_tensorflow(_threads(composed))
    from vi.runs.api import run
    from vi.runs.summary import Command

    return run(plain, directory, Command(line, typed, group), resume)


def _typed() -> list[str]:
    """The overrides of this job of a multirun, interpolations as they are."""
    overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides.task)
    return [override for override in overrides if not override.startswith("sweep.resume=")]


def _threads(composed: Any) -> int:
    """The threads of a job: all cores, shared among the jobs that joblib runs at a time; 0 leaves it to TensorFlow."""
    if composed.mode == RunMode.RUN or composed.launcher._target_ != JOBLIB:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = composed.launcher.n_jobs
    return max(1, cores // (jobs if jobs > 0 else max(1, cores + 1 + jobs)))


def _failed_job(error: Exception) -> JobFailed:
    """The error of a job of a multirun, with its number and overrides; it is logged, and kept in its folder."""
    job, directory = HydraConfig.get().job, short(Path(HydraConfig.get().runtime.output_dir))
    mark_failed(directory, sentence(error), _typed())
    failure = JobFailed(f"job {job.num} ({','.join(_typed())}): {sentence(error)}")
    log.error("vi-train: %s", failure)
    return failure


def _failed() -> list[str]:
    """A line for each job of the sweep that has failed."""
    lines = []
    for folder in [] if Sweep.directory is None else newest_jobs(Sweep.directory):
        try:
            summary = read_summary(folder)
        except ConfigError as error:
            lines.append(f"job {folder.name}: {error}")
            continue
        if summary.get("status") == "failed":
            lines.append(f"job {folder.name} ({','.join(summary.get('overrides', []))}) failed: {summary['error']}")
    return lines


def _answer(error: Exception) -> tuple[list[str], int]:
    """The lines that answer an error, and the exit code."""
    of_jobs = isinstance(error, JobFailed) or str(error) == ALL_FAILED  # then each job says what it was
    if of_jobs or isinstance(error, RunError | BrokenExecutor):
        failed = _failed()
        return failed if failed and of_jobs else [*failed, sentence(error)], 1
    return [sentence(error)], 2


def _how_to_go_on(interrupt: KeyboardInterrupt) -> str:
    if Sweep.directory is not None:
        return f"interrupted; vi-train -m sweep.resume={short(Sweep.directory)} with the same overrides goes on."
    return f"interrupted; {'; '.join(getattr(interrupt, '__notes__', ['nothing had begun']))}."


def _run_directory(resume: Any, new: str) -> str:
    """Where a run writes: its own directory if it is gone on with."""
    return new if resume is None else str(resume)


def _sweep_directory(resume: Any, run: Any, sweeper: str, new: str, *, _root_: DictConfig) -> str:
    """Where a multirun writes: where it wrote before if it is gone on with."""
    if run is not None:
        raise ConfigError(f"resume={run}: goes on with a single run; with -m, use sweep.resume=SWEEP_DIR.")
    if resume is None:
        return new
    if sweeper != GRID:
        raise ConfigError(f"sweep.resume={resume}: goes on with grids only; an Optuna study starts anew.")
    if not Path(str(resume)).is_dir() or not newest_jobs(Path(str(resume))):
        raise ConfigError(f"sweep.resume={resume}: must be the directory of a multirun, and holds no job.")
    if OmegaConf.is_missing(_root_.hydra.job, "num"):  # before the first job
        _require_same_sweep(Path(str(resume)), _root_.hydra.overrides.task)
    return str(resume)


def _require_same_sweep(directory: Path, typed: Sequence[str]) -> None:
    """Raises ConfigError unless a sweep was begun with these overrides, but for where its jobs log and read."""

    def settings(overrides: Sequence[str]) -> list[str]:
        return [o for o in overrides if not o.lstrip("+").startswith(("sweep.resume=", "logger", "data.path="))]

    with contextlib.suppress(OSError, AttributeError, OmegaConfBaseException):  # what Hydra wrote is not needed
        begun = settings(OmegaConf.load(directory / "multirun.yaml").hydra.overrides.task)
        if begun != settings(typed):
            raise ConfigError(
                f"sweep.resume={directory}: give the same overrides again, in the same order: {shlex.join(begun)}."
            )


def _job_directory(resume: Any, sweep: str, number: int, *, _root_: DictConfig) -> str:
    """The folder of a job: a new one, or the one that it had, or beside that if it failed."""
    name, again = str(number), 0
    while resume is not None and (folder := Path(sweep) / name).is_dir():
        if (folder / "config.yaml").exists():
            try:
                require_same(folder, _root_)
            except ConfigError as error:
                raise ConfigError(f"sweep.resume={resume}: give the same overrides again; {error}") from None
        if read_summary(folder).get("status") != "failed":
            break
        again += 1
        name = f"{number}_retry_{again}"
    return name


OmegaConf.register_new_resolver("vi.run_directory", _run_directory, replace=True)
OmegaConf.register_new_resolver("vi.sweep_directory", _sweep_directory, replace=True)
OmegaConf.register_new_resolver("vi.job_directory", _job_directory, replace=True)
