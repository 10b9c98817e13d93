"""One job of `vi-train`: a single run, or one of the runs of a multirun."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
import traceback
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from vi.commands import BEGAN, workers
from vi.commands.directories import Directories
from vi.errors import ConfigError, RunError
from vi.files import as_override, short, write
from vi.loggers.tables import next_commands
from vi.loggers.terminal import Terminal
from vi.quiet import import_tensorflow
from vi.runs.directory import Summary, mark_failed, newest_jobs, read_summary
from vi.settings.compose import choices_of, resolve
from vi.settings.overrides import resumed
from vi.settings.sentences import first_line, sentence

log = logging.getLogger(__name__)

beginnings = itertools.chain([BEGAN], iter(time.perf_counter, None))
"""The time at which each job of this process begins. The first job begins with the process."""


class JobFailed(RunError):
    """A job of a multirun has failed; the other jobs continue."""


def train_composed(config: DictConfig, line: str, typed: list[str]) -> float | None:
    """Trains with the config that Hydra has composed, and returns the number that a sweeper maximizes.

    Args:
        config: without Hydra's own part, which is in HydraConfig.
        line: the command line.
        typed: the overrides of the command line.

    Raises:
        ConfigError, RunError: the config of the single run was wrong, or the run has failed. JobFailed: the config of a
        multirun's job was wrong, or the job has failed. Interrupted: by a signal, in a process that is no worker.
    """
    composed = HydraConfig.get()
    single, directory = composed.mode == RunMode.RUN, short(Path(composed.runtime.output_dir))
    if workers.in_worker():
        workers.listen()
        if workers.interruption.heard is not None:
            return None
    try:
        summary = _train(config, directory, line, typed)
    except KeyboardInterrupt as interrupt:
        if workers.in_worker():  # if raised, joblib would kill the other workers while they save
            return None
        if single and (directory / "config.yaml").exists():
            interrupt.add_note(f"vi-train {as_override('resume', directory)} goes on")
        raise
    except Exception as error:
        error = error if isinstance(error, ConfigError | RunError) else _with_traceback_in_file(error, directory)
        if single:
            raise error from error.__cause__
        raise _failed(error, directory) from error
    if single:
        next_commands(Terminal(), directory, summary)
    return _objective(summary["best"], config.trainer.monitor)


def _train(config: DictConfig, directory: Path, line: str, typed: list[str]) -> Summary:
    """The summary of the run that this job trains now or has trained before."""
    composed, began = HydraConfig.get(), next(beginnings)
    choices, group, resume, cores = choices_of(composed), None, config.resume is not None, 0
    if composed.mode == RunMode.RUN:
        if config.sweep.resume is not None:
            raise ConfigError(f"sweep.resume={config.sweep.resume}: resumes a multirun; add -m.")
        plain = resumed(directory, typed, config) if resume else resolve(config, choices)
    else:
        plain, typed, group = resolve(config, choices), _overrides(), Path(composed.sweep.dir).name
        cores = workers.threads(composed.launcher)
        if config.sweep.resume is not None and (directory / "config.yaml").exists():
            summary, resume = read_summary(directory), True
            if summary.get("status") == "finished":
                log.info("Job %d (%s) has finished before; it is not run again.", composed.job.num, " ".join(typed))
                return summary
    import_tensorflow(cores)
    from vi.runs.job import Job
    from vi.runs.summary import Command

    return Job(plain, Command(line, typed, group), directory if resume else None, began).execute(directory)


def _objective(best: dict[str, Any], monitor: str) -> float:
    """The monitored metric at the best step, signed so that higher is better.

    If it cannot be computed for the model, a validation metric takes its place.
    """
    names = (monitor, "validation/iw_bound", "validation/nll")
    name = next((name for name in names if isinstance(best.get(name), int | float)), None)
    if name is None:
        raise ConfigError("summary.json: holds no best numbers, so the job cannot be compared with others.")
    return best[name] if name.endswith(("elbo", "bound")) else -best[name]


def _overrides() -> list[str]:
    """The overrides of this job of a multirun, with interpolations as typed."""
    overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides.task)
    return [override.removeprefix("++") for override in overrides if not override.startswith("sweep.resume=")]


def _with_traceback_in_file(error: Exception, directory: Path) -> RunError:
    """An unforeseen error as a sentence that names the file with its traceback."""
    file = directory / "traceback.txt"
    with contextlib.suppress(OSError):
        write(file, "".join(traceback.format_exception(error)))
    failure = RunError(f"{type(error).__name__}: {first_line(error)} (the traceback is in {file})")
    failure.__cause__ = error
    return failure


def _failed(error: Exception, directory: Path) -> JobFailed:
    """The error of a multirun's job, with its number and overrides. It is logged and written to the job's folder."""
    overrides = _overrides()
    mark_failed(directory, sentence(error), overrides)
    failure = JobFailed(f"job {HydraConfig.get().job.num} ({','.join(overrides)}): {sentence(error)}")
    log.error("vi-train: %s", failure)
    return failure


def failed_jobs() -> list[str]:
    """A sentence for each job of the sweep that has failed."""
    sentences = []
    for folder in [] if Directories.sweep is None else newest_jobs(Directories.sweep):
        try:
            summary = read_summary(folder)
        except ConfigError as error:
            sentences.append(f"job {folder.name}: {error}")
            continue
        if summary.get("status") == "failed":
            sentences.append(
                f"job {folder.name} ({','.join(summary.get('overrides', []))}) failed: {summary.get('error')}"
            )
    return sentences
