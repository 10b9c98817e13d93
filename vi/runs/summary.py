"""summary.json: what is known of a run as it begins, and where it stands."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import math
import os
import platform
import secrets
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import tensorflow as tf

from vi.errors import ConfigError
from vi.files import write
from vi.runs.directory import read_summary
from vi.training.fit import Progress
from vi.training.trainer import Trainer

log = logging.getLogger(__name__)


PACKAGES = ("vi", "tensorflow", "tensorflow-probability", "keras", "numpy", "hydra-core", "wandb")


@dataclasses.dataclass(frozen=True)
class Command:
    """How a run was asked for.

    Attributes:
        line: the command line.
        overrides: what was typed, such as "seed=1".
        group: the sweep that it is a job of, if it is one.
    """

    line: str
    overrides: list[str]
    group: str | None = None


def standing(progress: Progress) -> dict[str, Any]:
    """What the summary says of a run wherever it stands."""
    return {
        "step": progress.step,
        "epoch": progress.epoch,
        "seconds": progress.seconds,
        "examples_per_second": progress.examples_per_second,
        "skipped_steps": progress.skipped,
    }


def read_earlier(directory: Path, data: Any) -> dict:
    """The summary of a run that is gone on with."""
    try:
        earlier = read_summary(directory)
    except ConfigError as error:
        log.warning("%s The run is gone on with without it.", error)
        return {}
    if earlier.get("data_hash", data.hash) != data.hash:
        raise ConfigError(f"resume={directory}: the data are not those that the run was trained on; see data.path.")
    now, then = _versions(), earlier.get("versions", {})
    changed = [f"{name} {then[name]} → {now[name]}" for name in now if then.get(name, now[name]) != now[name]]
    if changed:
        log.warning("Versions have changed since the run began (%s): results may differ.", ", ".join(changed))
    return earlier


def about(
    parts: Any, config: dict, trainer: Trainer, command: Command, earlier: dict, progress: Progress
) -> dict[str, Any]:
    """What is known of a run as it begins, or goes on."""
    gpus = tf.config.list_physical_devices("GPU")
    now = datetime.datetime.now().isoformat(timespec="seconds")
    resumed = (
        [*earlier.get("resumed", []), {"step": progress.step, "at": now, "command": command.line}] if earlier else []
    )
    return {
        "status": "running",
        "name": config["name"],
        "seed": config["seed"],
        "estimator": type(parts.estimator).__name__,
        "samples": parts.estimator.draws.posterior,
        "kind": "estimate" if parts.model.posterior.relaxed else parts.estimator.kind,
        "pseudo": config["pseudo"],
        "started": earlier.get("started", now),
        "resumed": resumed,
        "parameters": count_parameters(trainer),
        "jit": trainer.jit,
        "device": gpus[0].name if gpus else f"CPU ({platform.machine()}, {os.cpu_count()} cores)",
        "data_hash": parts.data.hash,
        "command": earlier.get("command", command.line),
        "overrides": earlier.get("overrides", command.overrides),
        "choices": config.get("choices"),
        "wandb_id": earlier.get("wandb_id", secrets.token_hex(4)),
        "git_commit": _git_commit(),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def _git_commit() -> str | None:
    """The commit of the directory that the run was started in, if it is in a git repository."""
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return git.stdout.strip() or None


def write_summary(summary: dict, directory: Path) -> None:
    """Writes summary.json, whole or not at all."""
    write(directory / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")


def count_parameters(trainer: Trainer) -> dict[str, int]:
    """The trainable parameters of each group."""
    return {group: count_variables(variables) for group, variables in trainer.variables.items()}


def count_variables(variables: Sequence[Any]) -> int:
    """The numbers that variables hold."""
    return sum(math.prod(v.shape) for v in variables)
