"""The content of a run's summary.json: its command, its data and machine, and its progress."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import os
import platform
import secrets
import subprocess
from importlib import metadata
from pathlib import Path

import tensorflow as tf

from vi.errors import ConfigError
from vi.models.people import count_variables
from vi.products import remark
from vi.runs.build import Parts
from vi.runs.directory import Summary, read_summary
from vi.settings.saved import Config
from vi.training.fit import Progress
from vi.training.trainer import Trainer

log = logging.getLogger(__name__)


PACKAGES = ("vi", "tensorflow", "tensorflow-probability", "keras", "numpy", "hydra-core", "wandb")


@dataclasses.dataclass(frozen=True)
class Command:
    """The command that requested a run.

    Attributes:
        line: the command line.
        overrides: as they were typed, such as "seed=1".
        group: the name of the sweep, for a job of a multirun.
    """

    line: str
    overrides: list[str]
    group: str | None = None


def standing(progress: Progress) -> Summary:
    """The entries of a summary that record the progress of a run."""
    return {
        "step": progress.step,
        "epoch": progress.epoch,
        "seconds": progress.seconds,
        "examples_per_second": progress.examples_per_second,
        "skipped_steps": progress.skipped,
    }


def read_earlier(directory: Path, data_hash: str) -> Summary:
    """The summary of a run that is resumed; empty, with a warning, if it cannot be read.

    Raises:
        ConfigError: the run was trained on other data.
    """
    try:
        earlier = read_summary(directory)
    except ConfigError as error:
        log.warning("%s The run is resumed without it.", error)
        return {}
    if earlier.get("data_hash", data_hash) != data_hash:
        raise ConfigError(f"resume={directory}: the data differ from the training data of the run; see data.path.")
    now, then = _versions(), earlier.get("versions", {})
    changed = [f"{name} {then[name]} → {now[name]}" for name in now if then.get(name, now[name]) != now[name]]
    if changed:
        log.warning("Versions have changed since the run began (%s): results may differ.", ", ".join(changed))
    return earlier


def about(
    parts: Parts, config: Config, trainer: Trainer, command: Command, earlier: Summary, progress: Progress
) -> Summary:
    """The summary of a run when it begins or is resumed; `earlier` is the summary before, empty for a new run."""
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
        "matmul": trainer.matmul,
        "matmul_remark": remark(trainer.matmul),
        "device": gpus[0].name if gpus else f"CPU ({platform.machine()}, {os.cpu_count()} cores)",
        "test_data": parts.data.has_test,
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
    """The git commit of the current directory; None outside a git repository."""
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return git.stdout.strip() or None


def count_parameters(trainer: Trainer) -> dict[str, int]:
    """The trainable parameters of each group."""
    return {group: count_variables(variables) for group, variables in trainer.variables.items()}
