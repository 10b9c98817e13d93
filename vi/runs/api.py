"""Runs from Python: train, go on, evaluate, diagnose, replay."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vi.errors import ConfigError, RunError
from vi.files import write
from vi.precision import set_precision
from vi.runs import build as builder
from vi.runs.directory import lock
from vi.settings import compose, saved, schema
from vi.settings import overrides as typed
from vi.settings.saved import Config

if TYPE_CHECKING:
    import pandas as pd

    from vi.models.latent import LatentVariableModel
    from vi.runs.summary import Command
    from vi.training.nonfinite import Examination
from vi.runs.restore import initialize, load, opened, restored


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that was made: its directory, its config and its summary."""

    directory: Path
    config: Config = dataclasses.field(repr=False)
    summary: Config = dataclasses.field(repr=False)

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

    def diagnose(self, *arguments: Any, **options: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The signal, noise and cost of estimators' gradients on its model: `vi.runs.diagnose` of this run."""
        return diagnose(self.directory, *arguments, **options)


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
    composed, choices = compose.compose(overrides)
    resume = composed.resume
    if composed.sweep.resume is not None:
        raise ConfigError(
            f"sweep.resume={composed.sweep.resume}: goes on with a multirun, which only vi-train -m does."
        )
    if resume is None:
        config = compose.resolve(composed, choices)
        directory = directory or Path("outputs") / config["name"] / f"{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}"
    elif directory is None:
        directory = Path(str(resume))
        config = typed.resumed(directory, overrides, composed)
    else:
        raise ConfigError(f"resume={resume}: the run goes on in its own directory, not in {directory}.")
    from vi.runs.summary import Command

    command = Command(f"vi.train({list(overrides)})", list(overrides))
    summary = run(config, Path(directory), command, resume=resume is not None)
    return Run(Path(directory), config, summary)


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
    directory, asked = Path(run_dir), {"checkpoint": checkpoint, "split": split, "samples": samples, "size": size}
    schema.check_request("evaluate", {"run": str(run_dir), **asked, "data": {"path": data_path}})
    config, summary = opened(directory, data_path)
    from vi.errors import reason
    from vi.evaluation.report import evaluate_model
    from vi.runs.interruption import Interruption
    from vi.runs.outputs import leave, record
    from vi.training.devices import wants_xla

    with lock(directory), Interruption() as interruption:
        parts, step = restored(config, summary, directory, checkpoint)
        jit, check = wants_xla(parts.model, config), interruption.check
        numbers = evaluate_model(parts, split, samples, size, jit=jit, check=check, progress=progress)
        evaluation = {"checkpoint": checkpoint, "step": step, **numbers}
        try:
            pictures = leave(evaluation, parts, directory, check)
        except OSError as error:
            raise RunError(f"{error.filename or directory}: could not be written ({reason(error)}).") from None
        record(evaluation, pictures, config, summary, directory)
    return evaluation


def diagnose(
    run_dir: str | Path,
    estimators: Sequence[str] = ("analytic_kl", "iwae", "stl", "dreg"),
    samples: Sequence[int] = (1, 5, 25, 100),
    repeats: int = 200,
    batch_size: int = 20,
    checkpoint: Literal["best", "last", "initial"] = "best",
    split: Literal["test", "validation", "train"] = "validation",
    *,
    data_path: str | None = None,
    progress: Callable[[str, float], None] = lambda stage, done: None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Diagnoses estimators on a run's model as `vi-diagnose` does: writes tables and pictures into diagnostics/.

    It clears Keras's session, and sets Keras's precision and the global seeds, as the run's config says. The noise
    depends on `data.seed` alone, and β is that of the checkpoint's step. Networks of an estimator's own have their
    initial weights.

    Args:
        run_dir: the directory of the run, which has ended or was interrupted.
        estimators: choices of the group, or dotted paths of classes of one's own that take `samples`.
        samples: S, each with every estimator; what an estimator refuses, or memory does not hold, is a warning, and
            left out.
        repeats: gradients with noise of their own.
        batch_size: the first so many data of the split, the same in all gradients.
        checkpoint: whose weights; "initial" is as the run began.
        split: of the run's data.
        data_path: where the data are now, if they have moved.
        progress: told the stage and what fraction of it is done.

    Returns:
        What gradients.csv (`vi.diagnostics.diagnose`) and slopes.csv (`vi.diagnostics.fit_slopes`) say.

    Raises:
        ConfigError: the directory holds no run, or no such checkpoint or split, or a value is wrong.
        RunError: out of memory for every estimator, or the files could not be written.
        Interrupted: by Ctrl-C or SIGTERM.
    """
    directory, of = Path(run_dir), {"checkpoint": checkpoint, "split": split, "batch_size": batch_size}
    asked = {"run": str(run_dir), **of, "repeats": repeats, "data": {"path": data_path}}
    schema.check_request("diagnose", {**asked, "estimators": list(estimators), "samples": list(samples)})
    settings, (config, summary) = compose.estimators_of(estimators), opened(directory, data_path)
    from vi import diagnostics
    from vi import pictures as figures
    from vi.errors import reason
    from vi.estimators import Estimator
    from vi.evaluation.evaluator import Evaluator
    from vi.evaluation.report import open_split
    from vi.runs.interruption import Interruption
    from vi.training.devices import wants_xla

    def maker(name: str) -> Callable[[int], Estimator]:
        return lambda s: builder.instantiate("estimators", {**settings[name], "samples": s}, Estimator)

    with lock(directory), Interruption() as interruption:
        parts, step = restored(config, summary, directory, checkpoint)
        data, jit = open_split(parts, split), wants_xla(parts.model, config)
        if batch_size > len(data):
            raise ConfigError(f"batch_size={batch_size}: exceeds the {len(data)} {split} data.")
        gradients = diagnostics.diagnose(
            parts.model,
            Evaluator(parts.model, parts.data).view(data, range(batch_size)),
            {name: maker(name) for name in estimators},
            samples,
            repeats,
            seed=parts.data.seed,
            step=step,
            kl_weight=float(parts.beta(step) if callable(parts.beta) else parts.beta),
            jit=jit,
            check=interruption.check,
            progress=progress,
        ).assign(**of, step=step)
        slopes = diagnostics.fit_slopes(gradients)
        try:
            (folder := directory / "diagnostics").mkdir(exist_ok=True)
            write(folder / "gradients.csv", gradients.to_csv(index=False))
            write(folder / "slopes.csv", slopes.to_csv(index=False))
            for quantity in ("snr", "variance"):
                figures.power_laws(folder / f"{quantity}.png", gradients, slopes, quantity)
        except OSError as error:
            raise RunError(f"{error.filename or directory}: could not be written ({reason(error)}).") from None
    return gradients, slopes


def replay(folder: str | Path) -> Examination:
    """Computes the step again that stopped a run since it was not finite, with the weights before it.

    It sets Keras's precision and the global seeds as the run's config says.

    Args:
        folder: `nonfinite` in the directory of the run.

    Raises:
        ConfigError: the folder holds no such step, or the data have changed.
    """
    from vi.runs.job import make_trainer
    from vi.training import nonfinite

    config = saved.read(Path(folder).absolute().parent)
    set_precision(config["trainer"]["precision"])
    return nonfinite.replay(make_trainer(builder.build(config), config), Path(folder))


def run(config: Config, directory: Path, command: Command, resume: bool = False) -> Config:
    """One job: builds what the config describes, trains it, and writes everything below `directory`."""
    from vi.runs.job import run_job
    from vi.training.checkpoints import Checkpoints
    from vi.training.devices import set_up_devices

    set_up_devices()
    set_precision(config["trainer"]["precision"])
    parts = builder.build(config)
    if config["init_from"] and not Checkpoints(directory / "checkpoints", {}):
        initialize(parts.model, Path(str(config["init_from"])))
    return run_job(parts, config, directory, command, saved.save, resume)
