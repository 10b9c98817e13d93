"""The console command `vi-train`: one run, or a multirun of several jobs."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from concurrent.futures import BrokenExecutor
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vi.commands.directories import Directories
from vi.commands.jobs import JobFailed, failed_jobs, train_composed
from vi.commands.start import SeveralErrors, run_command, unknown
from vi.commands.workers import Supervisor
from vi.errors import ConfigError, RunError
from vi.files import as_override, short
from vi.loggers.tables import next_command_of_sweep
from vi.loggers.terminal import Terminal
from vi.runs.directory import newest_jobs
from vi.settings.conf import conf_directory
from vi.settings.help import help_of
from vi.settings.overrides import composable
from vi.settings.sentences import sentence

ALL_FAILED = "No trials are completed yet."
"""Optuna's message if every trial of a study has failed."""


def main() -> NoReturn:
    """Runs `vi-train` and exits as in `run_command`."""
    run_command("train", _train)


def _train(given: list[str]) -> None:
    line = shlex.join(["vi-train", *given])
    overrides, options = _arguments(given)
    if overrides and not {"-h", "--help"}.isdisjoint(options):
        print(help_of(overrides), end="")
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its own errors instead of exiting with them
    logging.raiseExceptions = False  # a log on a full disk is not worth a traceback
    try:
        sys.argv[1:] = [*composable(overrides), *options]
        with Supervisor():
            _compose_and_run(line, overrides)
    except KeyboardInterrupt as interrupt:
        if Directories.sweep is not None:
            interrupt.add_note(
                f"vi-train -m {as_override('sweep.resume', short(Directories.sweep))} with the same overrides goes on"
            )
        raise
    except (ConfigError, BrokenPipeError):
        raise
    except Exception as error:
        _end_sweep()
        raise _explain(error) from error
    if Directories.sweep is not None and not newest_jobs(Directories.sweep):
        raise ConfigError(f"{short(Directories.sweep)}: the sweep has no job; does a glob match nothing?")
    _end_sweep()
    if sentences := failed_jobs():  # an Optuna study does not fail with its jobs
        raise SeveralErrors(sentences)


def _end_sweep() -> None:
    """Prints where the jobs of a sweep are, if there are any."""
    if Directories.sweep is not None and Directories.sweep.is_dir() and newest_jobs(Directories.sweep):
        next_command_of_sweep(Terminal(), Directories.sweep)


def _arguments(given: list[str]) -> tuple[list[str], list[str]]:
    """The overrides and the options of a command line. They may stand in any order, which Hydra does not allow."""

    def refuse(message: str) -> NoReturn:
        raise unknown("vi-train", message)

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    overrides = parser.parse_intermixed_args(given).overrides
    return overrides, [argument for argument in given if argument not in overrides]


def _compose_and_run(line: str, overrides: list[str]) -> None:
    """Has Hydra compose the config of each job and run it."""
    errors: list[Exception] = []

    @hydra.main(version_base="1.3", config_path=str(conf_directory()), config_name="train")
    def job(config: DictConfig) -> float | None:
        try:
            return train_composed(config, line, overrides)
        except Exception as error:
            if HydraConfig.get().mode == RunMode.RUN:
                errors.append(error)  # Hydra would log it
                return None
            raise

    job()
    if errors:
        raise errors[0]


def _explain(error: Exception) -> Exception:
    """The error to report for a command line."""
    of_jobs = isinstance(error, JobFailed) or str(error) == ALL_FAILED  # then each job has reported its error
    if of_jobs or isinstance(error, RunError | BrokenExecutor):
        sentences = failed_jobs()
        return SeveralErrors(sentences if sentences and of_jobs else [*sentences, sentence(error)])
    return ConfigError(sentence(error))  # an error of Hydra: the command line is wrong
