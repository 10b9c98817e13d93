"""Runs from Python: train, go on, load, replay."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vi import config as configs
from vi.config import Config
from vi.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from vi.job import Command
    from vi.model import LatentVariableModel
    from vi.nonfinite import Examination


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that was made: its directory, its config and its summary."""

    directory: Path
    config: Config
    summary: Config

    @property
    def metrics(self) -> pd.DataFrame:
        """metrics.csv, a row per evaluation."""
        import pandas as pd

        return pd.read_csv(self.directory / "metrics.csv")

    def load(self, checkpoint: Literal["best", "last"] = "best") -> LatentVariableModel:
        """The trained model."""
        return load(self.directory, checkpoint)


def train(overrides: Sequence[str] = (), directory: str | Path | None = None) -> Run:
    """Trains as `vi-train` with these overrides does, and returns the run.

    It clears Keras's session, and sets Keras's precision and the global seeds, as the config says.

    Args:
        overrides: as on the command line, for example `["data=mnist", "estimator.samples=5"]`, or
            `["resume=RUN_DIR"]`.
        directory: the run directory; by default `outputs/<name>/<date>_<time>`.

    Raises:
        ConfigError: a value, a name or a file is wrong; nothing has been written.
        RunError: the training could not go on.
        Interrupted: by Ctrl-C or SIGTERM; the run can be resumed.
    """
    import datetime

    if isinstance(overrides, str):
        raise ConfigError(f"{overrides}: overrides are a list of texts, such as [{overrides!r}].")
    composed, choices = configs.compose(overrides)
    resume = composed.resume
    if composed.sweep.resume is not None:
        raise ConfigError(
            f"sweep.resume={composed.sweep.resume}: goes on with a multirun, which only vi-train -m does."
        )
    if resume is None:
        config = configs.resolve(composed, choices)
        directory = directory or Path("outputs") / config["name"] / f"{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}"
    elif directory is None:
        directory = Path(str(resume))
        config = configs.resumed(directory, overrides, composed)
    else:
        raise ConfigError(f"resume={resume}: the run goes on in its own directory, not in {directory}.")
    from vi.job import Command

    command = Command(f"vi.train({list(overrides)})", list(overrides))
    summary = run(config, Path(directory), command, resume=resume is not None)
    return Run(Path(directory), config, summary)


def load(run_dir: str | Path, checkpoint: Literal["best", "last"] = "best") -> LatentVariableModel:
    """The trained model of a run, with the weights of its best or its last checkpoint; needs no data.

    It sets Keras's precision to the run's.

    Raises:
        ConfigError: the directory holds no run, or no such checkpoint.
    """
    from vi.checkpoint import Checkpoints

    config = configs.read(Path(run_dir))
    configs.set_precision(config)
    model = configs.build_model(config, tuple(config["model"]["event_shape"]))
    Checkpoints(Path(run_dir) / "checkpoints", {"model": model.variables}).restore(checkpoint)
    return model


def replay(folder: str | Path) -> Examination:
    """Computes the step again that stopped a run since it was not finite, with the weights before it.

    It sets Keras's precision and the global seeds as the run's config says.

    Args:
        folder: `nonfinite` in the directory of the run.

    Raises:
        ConfigError: the folder holds no such step, or the data have changed.
    """
    from vi import nonfinite
    from vi.job import make_trainer

    config = configs.read(Path(folder).absolute().parent)
    configs.set_precision(config)
    return nonfinite.replay(make_trainer(configs.build(config), config), Path(folder))


def run(config: Config, directory: Path, command: Command, resume: bool = False) -> Config:
    """One job: builds what the config describes, trains it, and writes everything below `directory`."""
    from vi.checkpoint import Checkpoints
    from vi.job import run_job, set_up_devices

    set_up_devices()
    configs.set_precision(config)
    parts = configs.build(config)
    if config["init_from"] and not Checkpoints(directory / "checkpoints", {}):
        initialize(parts.model, Path(str(config["init_from"])))
    return run_job(parts, config, directory, command, configs.save, resume)


def initialize(model: LatentVariableModel, run_dir: Path) -> None:
    """Gives a model the weights of the best checkpoint of a run.

    Raises:
        ConfigError: the directory holds no run, or one of a model of another shape.
    """
    from vi.checkpoint import Checkpoints

    configs.read(run_dir, "init_from")
    try:
        Checkpoints(run_dir / "checkpoints", {"model": model.variables}).restore("best")
    except ConfigError as error:
        raise ConfigError(f"init_from={run_dir}: {error}") from None
