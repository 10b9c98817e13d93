"""Trained runs opened again: their config, their model, their parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vi.errors import ConfigError
from vi.precision import set_precision
from vi.runs import build as builder
from vi.runs.directory import newest_jobs, read_summary
from vi.settings import saved
from vi.settings.saved import Config

if TYPE_CHECKING:
    from vi.models.latent import LatentVariableModel


def load(run_dir: str | Path, checkpoint: Literal["best", "last"] = "best") -> LatentVariableModel:
    """The trained model of a run, with the weights of its best or its last checkpoint; needs no data.

    It sets Keras's precision to the run's.

    Raises:
        ConfigError: the directory holds no run, or no such checkpoint.
    """
    from vi.training.checkpoints import Checkpoints

    config = saved.read(Path(run_dir))
    set_precision(config["trainer"]["precision"])
    model = builder.build_model(config, tuple(config["model"]["event_shape"]))
    Checkpoints(Path(run_dir) / "checkpoints", {"model": model.variables}).restore(checkpoint)
    return model


def opened(directory: Path, data_path: str | None = None) -> tuple[Config, Config]:
    """The config and the summary of a run, its data at `data_path` where they have moved; needs no TensorFlow.

    Raises:
        ConfigError: the directory holds no run, or the run's data are read from no path.
    """
    if directory.is_dir() and not (directory / "config.yaml").exists() and (jobs := newest_jobs(directory)):
        raise ConfigError(f"run={directory}: is the directory of a sweep; give one of its jobs, such as run={jobs[0]}.")
    config, summary = saved.read(directory, "run"), read_summary(directory)
    if data_path is not None:
        if "path" not in config["data"]:
            raise ConfigError(f"data.path={data_path}: the data of the run are read from no path.")
        config["data"]["path"] = data_path
    return config, summary


def restored(config: Config, summary: Config, directory: Path, checkpoint: Any) -> tuple[builder.Parts, int]:
    """What a run's config describes, with the weights of a checkpoint, and the step of that."""
    from vi.training.checkpoints import Checkpoints
    from vi.training.devices import set_up_devices

    set_up_devices()
    set_precision(config["trainer"]["precision"])
    parts = builder.build(config)
    if summary.get("data_hash", parts.data.hash) != parts.data.hash:
        raise ConfigError(f"run={directory}: the data are not those that the run was trained on; see data.path.")
    if checkpoint == "initial":
        if config["init_from"]:
            initialize(parts.model, Path(str(config["init_from"])))
        return parts, 0
    restored = Checkpoints(directory / "checkpoints", {"model": parts.model.variables}).restore(checkpoint)
    return parts, restored["step"]


def initialize(model: LatentVariableModel, run_dir: Path) -> None:
    """Gives a model the weights of the best checkpoint of a run.

    Raises:
        ConfigError: the directory holds no run, or one of a model of another shape.
    """
    from vi.training.checkpoints import Checkpoints

    saved.read(run_dir, "init_from")
    try:
        Checkpoints(run_dir / "checkpoints", {"model": model.variables}).restore("best")
    except ConfigError as error:
        raise ConfigError(f"init_from={run_dir}: {error}") from None
