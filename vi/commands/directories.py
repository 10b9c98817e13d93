"""The directories of `vi-train`, for Hydra: of a run, of a sweep, and of each job of a sweep."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from vi.errors import ConfigError
from vi.files import MEGABYTE, read_text, require_part, require_real
from vi.runs.directory import claim, newest_jobs, read_summary
from vi.settings.overrides import require_same
from vi.settings.trust import require_plain_yaml

GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class Directories(Callback):
    """Claims a new directory before a run or a multirun begins, and remembers the directory of the multirun.

    Two runs that begin in the same second therefore write into different directories. A directory that the user has
    named, or that is resumed, keeps its name.
    """

    sweep: Path | None = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Called by Hydra before a single run."""
        _claim(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Called by Hydra before the first job."""
        with contextlib.suppress(ConfigError, OmegaConfBaseException):  # the sweeper reports a wrong sweep.resume
            if claimed := _claim(config, "sweep"):  # Hydra composes the config of each job from its overrides
                config.hydra.overrides.hydra.append(f"hydra.sweep.dir={claimed}")
            Directories.sweep = Path(config.hydra.sweep.dir)


def _claim(config: DictConfig, section: str) -> Path | None:
    """Claims the directory of a section of Hydra's config and writes its name there.

    Returns None if the user has named the directory, if the run is resumed, or if the directory cannot be made. Hydra
    then reports this.
    """
    settings: Any = OmegaConf.to_container(config.hydra[section], resolve=False)
    resume = config.resume if section == "run" else config.sweep.resume
    if resume is not None or not str(settings["dir"]).startswith("${vi."):
        return None
    try:
        claimed = claim(Path(config.hydra[section].dir))
    except OSError:
        return None
    with read_write(config.hydra):
        config.hydra[section].dir = str(claimed)
    return claimed


def _run_directory(resume: Any, new: str) -> str:
    """The directory of a run: a new one, or the old one if the run is resumed."""
    return new if resume is None else str(resume)


def _sweep_directory(resume: Any, run: Any, sweeper: str, new: str, *, _root_: DictConfig) -> str:
    """The directory of a multirun: a new one, or the old one if the multirun is resumed."""
    if run is not None:
        raise ConfigError(f"resume={run}: resumes a single run; with -m, use sweep.resume=SWEEP_DIR.")
    if resume is None:
        return new
    if sweeper != GRID:
        raise ConfigError(f"sweep.resume={resume}: resumes grids only; start an Optuna study anew.")
    if not Path(str(resume)).is_dir() or not newest_jobs(Path(str(resume))):
        raise ConfigError(f"sweep.resume={resume}: must be the directory of a multirun, and holds no job.")
    if OmegaConf.is_missing(_root_.hydra.job, "num"):  # before the first job
        for path in Path(str(resume)).iterdir():
            require_part(path)
        typed: Any = OmegaConf.to_container(_root_.hydra.overrides.task)
        _require_same_sweep(Path(str(resume)), typed)
    return str(resume)


def _require_same_sweep(directory: Path, typed: Sequence[str]) -> None:
    """Raises ConfigError unless the sweep was begun with these overrides; the logger and data.path may differ."""

    def settings(overrides: Sequence[str]) -> list[str]:
        plain = [override.removeprefix("++") for override in overrides]
        return [o for o in plain if not o.lstrip("+").startswith(("sweep.resume=", "logger", "data.path="))]

    try:
        text = read_text(directory / "multirun.yaml", MEGABYTE)
        require_plain_yaml(text)
        begun = [str(each) for each in yaml.safe_load(text)["hydra"]["overrides"]["task"]]
    except (OSError, ValueError, LookupError, TypeError, RecursionError, yaml.YAMLError):
        return  # Hydra's file is missing or damaged
    if settings(begun) != settings(typed):
        again = [o.removeprefix("++") for o in begun if not o.startswith("sweep.resume=")]
        raise ConfigError(
            f"sweep.resume={directory}: give the same overrides again, in the same order: {shlex.join(again)}."
        )


def _job_directory(resume: Any, sweep: str, number: int, *, _root_: DictConfig) -> str:
    """The folder of a job within its sweep: a new folder, its earlier folder, or a retry if the earlier job failed."""
    name, again = str(number), 0
    while resume is not None and (folder := Path(sweep) / name).is_dir():
        require_real(folder)
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
