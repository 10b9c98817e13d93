"""Runs from Python: train, go on, load, evaluate, replay."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vi import config as configs
from vi import schema
from vi.config import Config
from vi.directory import lock, newest_jobs, read_summary
from vi.errors import ConfigError, RunError

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

    def evaluate(
        self,
        checkpoint: Literal["best", "last"] = "best",
        split: Literal["test", "validation", "train"] = "test",
        samples: int = 5000,
        size: int | None = None,
    ) -> dict[str, Any]:
        """Its evaluation, as `vi-evaluate` makes it and evaluation.json has it."""
        return evaluate(self.directory, checkpoint, split, samples, size)


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


def evaluate(
    run_dir: str | Path,
    checkpoint: Literal["best", "last"] = "best",
    split: Literal["test", "validation", "train"] = "test",
    samples: int = 5000,
    size: int | None = None,
    *,
    data_path: str | None = None,
    progress: Callable[[str, float], None] = lambda stage, done: None,
) -> dict[str, Any]:
    """Evaluates a run as `vi-evaluate` does: writes evaluation.json and pictures, and adds both to its W&B run.

    It clears Keras's session, and sets Keras's precision and the global seeds, as the run's config says.

    Args:
        run_dir: the directory of the run, which has ended or was interrupted.
        checkpoint: whose weights.
        split: of the run's data.
        samples: S, importance samples for each datum.
        size: only the first so many data for what needs S samples, all if None.
        data_path: where the data are now, if they have moved.
        progress: told the stage and what fraction of it is done.

    Returns:
        What evaluation.json says (`vi.evaluation.evaluate_model`), with the checkpoint and its step.

    Raises:
        ConfigError: the directory holds no run, or no such checkpoint or split, or a value is wrong.
        RunError: a number is not finite, or the files could not be written.
        Interrupted: by Ctrl-C or SIGTERM.
    """
    directory, data = Path(run_dir), {"path": data_path}
    asked = {"run": str(run_dir), "checkpoint": checkpoint, "split": split, "samples": samples, "size": size}
    schema.check_evaluation({**asked, "data": data})
    if directory.is_dir() and not (directory / "config.yaml").exists() and (jobs := newest_jobs(directory)):
        raise ConfigError(f"run={run_dir}: is the directory of a sweep; give one of its jobs, such as run={jobs[0]}.")
    config, summary = configs.read(directory, "run"), read_summary(directory)
    if data_path is not None:
        if "path" not in config["data"]:
            raise ConfigError(f"data.path={data_path}: the data of the run are read from no path.")
        config["data"] |= data
    from vi.checkpoint import Checkpoints, reason
    from vi.evaluation import evaluate_model, leave
    from vi.interruption import Interruption
    from vi.job import record, set_up_devices, wants_xla

    set_up_devices()
    configs.set_precision(config)
    with lock(directory), Interruption() as interruption:
        parts = configs.build(config)
        if summary.get("data_hash", parts.data.hash) != parts.data.hash:
            raise ConfigError(f"run={run_dir}: the data are not those that the run was trained on; see data.path.")
        restored = Checkpoints(directory / "checkpoints", {"model": parts.model.variables}).restore(checkpoint)
        jit, check = wants_xla(parts.model, config), interruption.check
        numbers = evaluate_model(parts, split, samples, size, jit=jit, check=check, progress=progress)
        evaluation = {"checkpoint": checkpoint, "step": restored["step"], **numbers}
        try:
            pictures = leave(evaluation, parts, directory, check)
        except OSError as error:
            raise RunError(f"{error.filename or directory}: could not be written ({reason(error)}).") from None
        record(evaluation, pictures, config, summary, directory)
    return evaluation


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
