"""A run as its files tell it, whether it finished, failed, or was killed on the way."""

from __future__ import annotations

import dataclasses
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from vi.errors import ConfigError
from vi.runs.directory import in_use, read_summary

STATES = ("finished", "running", "interrupted", "killed", "failed", "damaged")
NOT_RUNS = ("wandb", "checkpoints", "nonfinite")  # folders of a run that may hold a config.yaml of their own
SECTIONS = ("model", "estimator", "trainer")  # of every run's config
NO_METRICS = pd.DataFrame(columns=["step", "epoch", "seconds"], dtype=float)


@dataclasses.dataclass
class Run:
    """What the files of one run say.

    Args:
        directory: of the run.
        path: how it is called among the runs that are compared.
        state: one of `STATES`.
        sentence: why it has not finished, if it has not.
        config: of config.yaml, empty for a run that failed before it had one.
        summary: of summary.json.
        metrics: of metrics.csv, a row per evaluation.
    """

    directory: Path
    path: str
    state: str = "damaged"
    sentence: str = ""
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    summary: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: pd.DataFrame = dataclasses.field(default_factory=lambda: NO_METRICS)

    @property
    def seed(self) -> int | None:
        """The seed, where it is known."""
        seed = self.summary.get("seed", self.config.get("seed"))
        return seed if isinstance(seed, int) else None

    @property
    def epoch(self) -> float:
        """The epoch that was reached."""
        return np.fmax(number(self.summary.get("epoch")), self.metrics["epoch"].max())

    @property
    def pseudo(self) -> bool:
        """Whether its numbers are of a likelihood that is no density of the data."""
        return bool(self.summary.get("pseudo", self.config.get("pseudo")))

    @property
    def overrides(self) -> list[str] | None:
        """What was typed for it, where that is recorded."""
        overrides = self.summary.get("overrides")
        return [str(each) for each in overrides] if isinstance(overrides, list) else None


def find(directories: Sequence[Path]) -> list[Run]:
    """The runs in and below directories, each once, in the order of their paths.

    Raises:
        ConfigError: there is no such directory, or no run below it.
    """
    found: dict[Path, None] = {}
    for directory in directories:
        if not directory.is_dir():
            raise ConfigError(f"{directory}: there is no such directory.")
        below = sorted(_below(directory.resolve()), key=_natural)
        if not below:
            raise ConfigError(f"{directory}: holds no run, which is a directory with a config.yaml or a summary.json.")
        found |= dict.fromkeys(below)
    root = root_of(directories)
    return [read(run, run.name if run == root else str(run.relative_to(root))) for run in found]


def root_of(directories: Sequence[Path]) -> Path:
    """The directory that all of them are in."""
    return Path(os.path.commonpath([directory.resolve() for directory in directories]))


def read(directory: Path, path: str) -> Run:
    """Reads a run; what cannot be read makes it a damaged one."""
    run = Run(directory, path)
    readers = {"config": _read_config, "metrics": _read_metrics, "summary": read_summary}
    errors = []
    for name, reader in readers.items():
        try:
            setattr(run, name, reader(directory))
        except ConfigError as error:
            errors.append(error)
    try:
        if errors:
            raise errors[0]
        run.state, run.sentence = _state(run)
    except ConfigError as error:
        run.sentence = str(error).replace(f"{directory}{os.sep}", "")
    return run


def number(value: Any) -> float:
    """A number of a summary; NaN where there is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _below(directory: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(directory, onerror=_raise):
        folders[:] = [name for name in folders if name not in NOT_RUNS and not name.startswith(".")]
        if "config.yaml" in files or "summary.json" in files:
            yield Path(path)


def _raise(error: OSError) -> None:
    raise error


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts job 10 after job 9."""
    return [(int(part or 0), text) for text, part in re.findall(r"(\D*)(\d*)", str(path))]


def _state(run: Run) -> tuple[str, str]:
    state = run.summary.get("status", "running")
    if state == "running":
        if in_use(run.directory):
            return "running", "It is still training."
        return "killed", "Its process ended without a word."
    if state == "interrupted":
        return state, "It was stopped before its end."
    if state == "failed":
        return state, " ".join(str(run.summary.get("error", "It does not say why.")).split())
    if state != "finished":
        raise ConfigError(f"summary.json: status={state}: must be finished, running, interrupted or failed.")
    for name in ("final", "best"):
        numbers = run.summary.get(name)
        if not isinstance(numbers, dict) or not all(math.isfinite(number(value)) for value in numbers.values()):
            raise ConfigError(f"summary.json: says finished, and holds no {name} numbers.")
    if not run.config:
        raise ConfigError("config.yaml: is missing.")
    return "finished", ""


def _read_config(directory: Path) -> dict[str, Any]:
    file = directory / "config.yaml"
    try:
        config = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: cannot be read: {' '.join(str(error).split())}.") from None
    if not isinstance(config, dict) or not all(isinstance(config.get(key), dict) for key in SECTIONS):
        raise ConfigError(f"{file}: is not the config of a run.")
    return config


def _read_metrics(directory: Path) -> pd.DataFrame:
    """The whole lines of metrics.csv: one that is just being written, or never was to its end, is none."""
    file = directory / "metrics.csv"
    try:
        lines = file.read_text().splitlines(keepends=True)
        whole = "".join(line for line in lines if line.endswith("\n"))
        frame = pd.read_csv(io.StringIO(whole)).astype(float)
        if not {"step", "epoch", "seconds"} <= set(frame):
            raise ValueError("it has no columns step, epoch and seconds")
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return NO_METRICS
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {' '.join(str(error).split())}.") from None
    return frame.replace([np.inf, -np.inf], np.nan).drop_duplicates("step", keep="last")
