"""The console commands: `vi-train`."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import rich.console
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vi.config import conf_directory, resolve, run, sentence
from vi.errors import ConfigError, RunError
from vi.loggers import next_commands

log = logging.getLogger(__name__)


def train() -> None:
    """Runs `vi-train` with the arguments of the command line, and exits.

    Exit codes: 0 done; 1 the run failed; 2 the command, a value or a file was wrong; 130 interrupted.
    """
    show_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") != "0"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its own errors instead of exiting with them
    failures: list[Exception] = []

    @hydra.main(version_base="1.3", config_path=str(conf_directory()), config_name="train")
    def command(config: DictConfig) -> Any:
        try:
            return _job(config)
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:  # then a failed job is raised, and the others go on
                job = HydraConfig.get().job
                failure = RunError(f"job {job.num} ({job.override_dirname}): {sentence(error)}")
                log.error("vi-train: %s", failure)
                raise failure from error
            failures.append(error)

    try:
        command()
        if failures:
            raise failures[0]
    except KeyboardInterrupt:
        print("vi-train: interrupted; what was written so far is kept.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if show_traceback:
            raise
        print(f"vi-train: {sentence(error)}", file=sys.stderr)
        sys.exit(1 if isinstance(error, RunError) else 2)


def _job(config: DictConfig) -> Any:
    """One run, or one job of a multirun; returns the number that a sweeper maximizes."""
    plain = resolve(config)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet_import():
        import tensorflow as tf

        tf.config.list_physical_devices()
    directory = Path(HydraConfig.get().runtime.output_dir)
    try:
        summary = run(plain, directory)
    except (ConfigError, RunError):
        raise
    except Exception as error:
        (directory / "traceback.txt").write_text(traceback.format_exc())
        first_line = (str(error).splitlines() or [""])[0]
        raise RunError(
            f"{type(error).__name__}: {first_line} (the traceback is in {directory / 'traceback.txt'})"
        ) from error
    if HydraConfig.get().mode == RunMode.RUN:
        next_commands(rich.console.Console(), directory)
    return summary["best"].get("validation/iw_bound")


@contextlib.contextmanager
def _quiet_import() -> Iterator[None]:
    """Keeps what TensorFlow's libraries print while they load from the terminal, unless loading fails."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        except BaseException:
            buffer.seek(0)
            os.write(saved, buffer.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
