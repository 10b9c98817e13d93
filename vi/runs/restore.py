"""Trained runs opened again: their config, their model, their parts at a checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vi.errors import ConfigError, RunError, reason
from vi.files import short
from vi.precision import set_precision
from vi.quiet import import_tensorflow
from vi.runs import build as builder
from vi.runs.directory import Summary, lock, newest_jobs, read_summary
from vi.runs.interruption import Interruption
from vi.settings import saved
from vi.settings.saved import Config

if TYPE_CHECKING:
    from vi.models.latent import LatentVariableModel

Checkpoint = Literal["best", "last", "initial"]


def load(
    run_dir: str | Path, checkpoint: Literal["best", "last"] = "best", trust: str | Sequence[str] = ()
) -> LatentVariableModel:
    """The trained model of a run, with the weights of the best or the last checkpoint; needs no data.

    It sets Keras's precision to the precision of the run.

    Args:
        run_dir: the directory of the run.
        checkpoint: the checkpoint to load.
        trust: the modules whose code may run for a run that somebody else has made.

    Raises:
        ConfigError: the directory holds no run, or no such checkpoint, or the run needs code that is not trusted.
    """
    import_tensorflow()
    from vi.training.checkpoints import Checkpoints

    config = saved.read(Path(run_dir), trust=trust)
    set_precision(config["trainer"]["precision"])
    if not config["model"].get("event_shape"):
        raise ConfigError(f"{run_dir}: its config.yaml holds no model.event_shape, so the model cannot be made.")
    model = builder.build_model(config, tuple(config["model"]["event_shape"]))
    Checkpoints(Path(run_dir) / "checkpoints", {"model": model.variables}).restore(checkpoint)
    return model


def opened(directory: Path, data_path: str | None = None, trust: str | Sequence[str] = ()) -> tuple[Config, Summary]:
    """The config and the summary of a run; needs no TensorFlow.

    Args:
        directory: the directory of the run.
        data_path: the current path of the data, if they have moved.
        trust: the modules whose code may run for a run that somebody else has made.

    Raises:
        ConfigError: the directory holds no run; its data have moved; `data_path` is given, but the data have no path;
            or the run needs code that is not trusted.
    """
    if directory.is_dir() and not (directory / "config.yaml").exists() and (jobs := newest_jobs(directory)):
        raise ConfigError(f"run={directory}: is the directory of a sweep; give one of its jobs, such as run={jobs[0]}.")
    config, summary = saved.read(directory, "run", trust), read_summary(directory)
    if data_path is not None:
        if "path" not in config["data"]:
            raise ConfigError(f"data.path={data_path}: the data of the run are read from no path.")
        config["data"]["path"] = data_path
    else:
        saved.require_data(config, f"run={directory}")
    return config, summary


@dataclasses.dataclass(frozen=True)
class Reopened:
    """A trained run that is open for an evaluation or a diagnosis.

    Attributes:
        parts: the objects of the config, with the weights of a checkpoint.
        step: the step of the checkpoint.
        config: the config of the run.
        summary: the summary of the run.
        jit: whether XLA compiles.
        poll: raises Interrupted once a signal has been received.
    """

    parts: builder.Parts
    step: int
    config: Config
    summary: Summary
    jit: bool
    poll: Callable[[], None]


@contextlib.contextmanager
def reopened(
    directory: Path, checkpoint: Checkpoint, data_path: str | None = None, trust: str | Sequence[str] = ()
) -> Iterator[Reopened]:
    """Opens a trained run, and holds its directory for this process. The arguments are as in `opened` and `restored`.

    It clears Keras's session, and sets Keras's precision and the global seeds from the run's config.

    Raises:
        ConfigError: there is no such run, data or checkpoint, or another process is at work in the directory.
        RunError: a file cannot be written.
    """
    config, summary = opened(directory, data_path, trust)
    from vi.training.devices import wants_xla

    with lock(directory), Interruption() as interruption:
        parts, step = restored(config, summary, directory, checkpoint)
        try:
            yield Reopened(parts, step, config, summary, wants_xla(parts.model, config), interruption.poll)
        except OSError as error:
            raise RunError(f"{error.filename or directory}: could not be written ({reason(error)}).") from None


def restored(config: Config, summary: Summary, directory: Path, checkpoint: Checkpoint) -> tuple[builder.Parts, int]:
    """The objects of a run's config with the weights of a checkpoint, and the step of the checkpoint.

    The checkpoint "initial" is the weights before training.

    Raises:
        ConfigError: the data are not the data of the run, or there is no such checkpoint.
    """
    from vi.training.checkpoints import Checkpoints
    from vi.training.devices import set_up_devices
    from vi.training.fit import Progress

    set_up_devices()
    set_precision(config["trainer"]["precision"])
    parts = builder.build(config)
    if summary.get("data_hash", parts.data.hash) != parts.data.hash:
        raise ConfigError(f"run={directory}: the data differ from the training data of the run; see data.path.")
    if checkpoint == "initial":
        if config["init_from"]:
            initialize(parts.model, Path(str(config["init_from"])))
        return parts, 0
    state = Checkpoints(directory / "checkpoints", {"model": parts.model.variables}).restore(checkpoint)
    return parts, Progress.of(state).step


def initialize(model: LatentVariableModel, run_dir: Path) -> None:
    """Gives a model the weights of the best checkpoint of a run.

    Raises:
        ConfigError: the directory holds no run, or its model has other shapes.
    """
    from vi.training.checkpoints import Checkpoints

    run_dir = short(run_dir)
    saved.read(run_dir, "init_from", trust=None)
    try:
        Checkpoints(run_dir / "checkpoints", {"model": model.variables}).restore("best")
    except ConfigError as error:
        raise ConfigError(f"init_from={run_dir}: {error}") from None
