"""Reads the files of runs, including runs that failed or were killed."""

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

from vi.compare.columns import CURVES
from vi.errors import ConfigError
from vi.files import MEGABYTE, damage, read_text, require_real
from vi.runs.directory import in_use, read_summary
from vi.settings.trust import require_plain_yaml

STATES = ("finished", "running", "interrupted", "killed", "failed", "damaged")
NOT_RUNS = ("wandb", "checkpoints", "nonfinite")  # folders of a run that may hold a config.yaml of their own
SECTIONS = ("model", "estimator", "trainer")  # sections of every run's config
METRICS = ("step", "epoch", "seconds", *CURVES)
MOST_COLUMNS = 10_000
LARGEST = 1e30  # numbers beyond it are no bounds, and overflow in a picture
NO_METRICS = pd.DataFrame(columns=["step", "epoch", "seconds"], dtype=float)


@dataclasses.dataclass
class RecordedRun:
    """The content of the files of one run.

    Args:
        directory: the directory of the run.
        path: the name of the run in the comparison: its path relative to the directory that holds all compared runs.
        state: one of `STATES`.
        sentence: the reason why the run has not finished; empty for a finished run.
        config: the content of config.yaml; empty if the run failed before it wrote the file.
        summary: the content of summary.json.
        metrics: the content of metrics.csv, a row for each evaluation.
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
        """The seed, or None if no file records it."""
        seed = self.summary.get("seed", self.config.get("seed"))
        return seed if isinstance(seed, int) and abs(seed) < 2**63 else None

    @property
    def epoch(self) -> float:
        """The epoch that the run reached."""
        return np.fmax(number(self.summary.get("epoch")), self.metrics["epoch"].max())

    @property
    def pseudo(self) -> bool:
        """Whether the run's likelihood is no density of the data."""
        return bool(self.summary.get("pseudo", self.config.get("pseudo")))

    @property
    def overrides(self) -> list[str] | None:
        """The overrides of the run's command, or None if no file records them."""
        overrides = self.summary.get("overrides")
        return [str(each) for each in overrides] if isinstance(overrides, list) else None


def find(directories: Sequence[Path]) -> list[RecordedRun]:
    """The runs in and below directories, each once, in the order of their paths.

    Raises:
        ConfigError: a directory does not exist, or holds no run.
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
    """The deepest directory that contains all of the directories."""
    return Path(os.path.commonpath([directory.resolve() for directory in directories]))


def read(directory: Path, path: str) -> RecordedRun:
    """Reads the files of a run. The run is damaged if a file cannot be read."""
    run, errors = RecordedRun(directory, path), []
    readers = {"config": _read_config, "metrics": _read_metrics, "summary": read_summary}
    try:
        require_real(directory)
        for name, reader in readers.items():
            try:
                setattr(run, name, reader(directory))
            except ConfigError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        run.state, run.sentence = _state(run)
    except ConfigError as error:
        run.sentence = str(error).replace(f"{directory}{os.sep}", "")
    return run


def number(value: Any) -> float:
    """The value as a number; NaN if it is not one, or too large for a picture."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and abs(value) < LARGEST else math.nan


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


def _state(run: RecordedRun) -> tuple[str, str]:
    state = run.summary.get("status", "running")
    if state == "running":
        if in_use(run.directory):
            return "running", "It is still training."
        return "killed", "Its process ended without recording why."
    if state == "interrupted":
        return state, "It was stopped before its end."
    if state == "failed":
        return state, " ".join(str(run.summary.get("error", "It records no reason.")).split())
    if state != "finished":
        raise ConfigError(f"summary.json: status={state}: must be finished, running, interrupted or failed.")
    for name in ("final", "best"):
        numbers = run.summary.get(name)
        if not isinstance(numbers, dict) or not all(math.isfinite(number(value)) for value in numbers.values()):
            raise ConfigError(f"summary.json: says finished, but holds no {name} numbers.")
    if not run.config:
        raise ConfigError("config.yaml: is missing.")
    return "finished", ""


def _read_config(directory: Path) -> dict[str, Any]:
    file = directory / "config.yaml"
    try:
        text = read_text(file, MEGABYTE)
        require_plain_yaml(text)
        config = yaml.safe_load(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: is damaged: {damage(error)}.") from None
    if not isinstance(config, dict) or not all(isinstance(config.get(key), dict) for key in SECTIONS):
        raise ConfigError(f"{file}: is not the config of a run.")
    return config


def _read_metrics(directory: Path) -> pd.DataFrame:
    """The compared numbers of metrics.csv. A line without an end is still being written, and is ignored.

    Numbers that are not finite, or too large for the single precision of a picture, are left out.
    """
    file = directory / "metrics.csv"
    try:
        text = read_text(file, 64 * MEGABYTE)
        whole = text[: text.rfind("\n") + 1]
        if whole.partition("\n")[0].count(",") >= MOST_COLUMNS:
            raise ValueError(f"it has more than {MOST_COLUMNS:,} columns")
        frame = pd.read_csv(io.StringIO(whole), usecols=lambda name: name in METRICS).astype(float)
        if not set(NO_METRICS) <= set(frame):
            raise ValueError("it has no columns step, epoch and seconds")
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return NO_METRICS
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise ConfigError(f"{file}: is damaged: {damage(error)}.") from None
    return frame.where(frame.abs() < LARGEST).drop_duplicates("step", keep="last")
