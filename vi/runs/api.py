"""Runs from Python: train, resume, evaluate, diagnose, replay."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vi.errors import ConfigError
from vi.files import write
from vi.precision import set_precision
from vi.quiet import import_tensorflow
from vi.runs import build as builder
from vi.runs.directory import Summary, claim
from vi.runs.restore import Checkpoint, load, reopened
from vi.settings import compose, saved, validate
from vi.settings import overrides as typed
from vi.settings.saved import Config

if TYPE_CHECKING:
    import pandas as pd

    from vi.models.latent import LatentVariableModel
    from vi.training.nonfinite import Examination

Split = Literal["test", "validation", "train"]


@dataclasses.dataclass(frozen=True)
class Run:
    """A completed run: its directory, its config and its summary. A notebook shows its numbers and its pictures."""

    directory: Path
    config: Config = dataclasses.field(repr=False)
    summary: Summary = dataclasses.field(repr=False)

    @property
    def metrics(self) -> pd.DataFrame:
        """metrics.csv, with a row for each evaluation."""
        import pandas as pd

        return pd.read_csv(self.directory / "metrics.csv")

    def load(self, checkpoint: Literal["best", "last"] = "best") -> LatentVariableModel:
        """The trained model."""
        return load(self.directory, checkpoint)

    def evaluate(
        self,
        checkpoint: Literal["best", "last"] = "best",
        split: Split = "test",
        samples: int = 5000,
        size: int | None = None,
    ) -> dict[str, Any]:
        """Evaluates the trained model as `vi-evaluate` does; returns the content of evaluation.json."""
        return evaluate(self.directory, checkpoint, split, samples, size)

    def _repr_html_(self) -> str:
        """The closing table and the pictures of the run, for a notebook."""
        from vi.loggers.tables import closing_html
        from vi.runs.outputs import figures

        return closing_html(self.summary, self.directory) + figures(self.directory)

    def diagnose(self, *arguments: Any, **options: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Diagnoses estimators on the trained model: `vi.runs.api.diagnose` with these arguments."""
        return diagnose(self.directory, *arguments, **options)


def train(overrides: Sequence[str] = (), directory: str | Path | None = None) -> Run:
    """Trains as `vi-train` with these overrides does, and returns the run.

    It clears Keras's session, and sets Keras's precision and the global seeds from the config.

    Args:
        overrides: as on the command line, for example `["data=mnist", "estimator.samples=5"]`, or
            `["resume=RUN_DIR"]`.
        directory: the run directory; by default a new directory `outputs/<name>/<date>_<time>`, with a suffix such as
            _2 if another run has this name.

    Raises:
        ConfigError: a value, a name or a file is wrong; nothing has been written.
        RunError: the training cannot continue.
        Interrupted: by Ctrl-C or SIGTERM; the run can be resumed.
    """
    if isinstance(overrides, str):
        raise ConfigError(f"{overrides}: overrides are a list of texts, such as [{overrides!r}].")
    began = time.perf_counter()
    composed, choices = compose.compose(overrides)
    resume = None if composed.resume is None else Path(str(composed.resume))
    if composed.sweep.resume is not None:
        raise ConfigError(f"sweep.resume={composed.sweep.resume}: resumes a multirun, which only vi-train -m can do.")
    if resume is None:
        config = compose.resolve(composed, choices)
    elif directory is None:
        config = typed.resumed(resume, overrides, composed)
    else:
        raise ConfigError(f"resume={resume}: a resumed run stays in its directory, not in {directory}.")
    import_tensorflow()
    from vi.runs.job import Job
    from vi.runs.summary import Command

    job = Job(config, Command(f"vi.train({list(overrides)})", list(overrides)), resume, began)
    chosen = resume or (_new_directory(config["name"]) if directory is None else Path(directory))
    return Run(chosen, config, job.execute(chosen))


def _new_directory(name: str) -> Path:
    """A new directory for a run of this name, in `outputs`."""
    directory = Path("outputs") / name / f"{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}"
    try:
        return claim(directory)
    except OSError:
        return directory  # the job then reports why it cannot be made


def evaluate(
    run_dir: str | Path,
    checkpoint: Literal["best", "last"] = "best",
    split: Split = "test",
    samples: int = 5000,
    size: int | None = None,
    *,
    data_path: str | None = None,
    trust: str | Sequence[str] = (),
    progress: Callable[[str, float], None] = lambda stage, done: None,
) -> dict[str, Any]:
    """Evaluates a run as `vi-evaluate` does: writes evaluation.json and pictures, and adds both to its W&B run.

    It clears Keras's session, and sets Keras's precision and the global seeds from the run's config.

    Args:
        run_dir: the directory of a run that has ended or was interrupted.
        checkpoint: the checkpoint to evaluate.
        split: the data to evaluate on.
        samples: S, importance samples for each datum.
        size: the number of data, from the first on, that get S samples; None for all.
        data_path: the current path of the data, if they have moved.
        trust: the modules whose code may run for a run that somebody else has made.
        progress: called with a stage and the fraction of it that is done.

    Returns:
        The content of evaluation.json (`vi.evaluation.evaluate_model`), with the checkpoint and its step.

    Raises:
        ConfigError: the directory holds no run, or no such checkpoint or split, or a value is wrong.
        RunError: a number is not finite, or a file cannot be written.
        Interrupted: by Ctrl-C or SIGTERM.
    """
    directory, asked = Path(run_dir), {"checkpoint": checkpoint, "split": split, "samples": samples, "size": size}
    validate.check_request("evaluate", {"run": str(run_dir), **asked, "trust": trust, "data": {"path": data_path}})
    with reopened(directory, checkpoint, data_path, trust) as run:
        from vi.evaluation.scores import evaluate_model
        from vi.runs.outputs import record, write_evaluation

        model, data, jit = run.parts.model, run.parts.data, run.jit
        numbers = evaluate_model(model, data, split, samples, size, jit=jit, poll=run.poll, progress=progress)
        evaluation = {"checkpoint": checkpoint, "step": run.step, **numbers}
        pictures = write_evaluation(evaluation, run.parts.model, run.parts.data, directory, run.poll)
        record(evaluation, pictures, run.config, run.summary, directory)
    return evaluation


def diagnose(
    run_dir: str | Path,
    estimators: Sequence[str] = ("analytic_kl", "iwae", "stl", "dreg"),
    samples: Sequence[int] = (1, 5, 25, 100),
    repeats: int = 200,
    batch_size: int = 20,
    checkpoint: Checkpoint = "best",
    split: Split = "validation",
    *,
    data_path: str | None = None,
    trust: str | Sequence[str] = (),
    progress: Callable[[str, float], None] = lambda stage, done: None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Diagnoses estimators on a run's model as `vi-diagnose` does: writes tables and pictures into diagnostics/.

    It clears Keras's session, and sets Keras's precision and the global seeds from the run's config. The noise depends
    on `data.seed` alone, and β has its value at the checkpoint's step. An estimator's own networks have their initial
    weights.

    Args:
        run_dir: the directory of a run that has ended or was interrupted.
        estimators: choices of the group `estimator`, or dotted paths of your own classes. A class must take `samples`.
        samples: the numbers S of samples for every estimator. An S that the estimator refuses, or that does not fit
            into memory, is left out with a warning.
        repeats: the number of gradients, each with fresh noise.
        batch_size: the number of data of the split, from the first on. All gradients use the same data.
        checkpoint: the checkpoint to use; "initial" is the run's weights before training.
        split: the data to use.
        data_path: the current path of the data, if they have moved.
        trust: the modules whose code may run for a run that somebody else has made.
        progress: called with a stage and the fraction of it that is done.

    Returns:
        The tables of gradients.csv (`vi.diagnostics.diagnose`) and slopes.csv (`vi.diagnostics.fit_slopes`).

    Raises:
        ConfigError: the directory holds no run, or no such checkpoint or split, or a value is wrong.
        RunError: no estimator fits into memory, or the files could not be written.
        Interrupted: by Ctrl-C or SIGTERM.
    """
    directory, on = Path(run_dir), {"checkpoint": checkpoint, "split": split, "batch_size": batch_size}
    asked = {"run": str(run_dir), **on, "repeats": repeats, "trust": trust, "data": {"path": data_path}}
    validate.check_request("diagnose", {**asked, "estimators": list(estimators), "samples": list(samples)})
    settings = compose.estimators_of(estimators)
    with reopened(directory, checkpoint, data_path, trust) as run:
        from vi import diagnostics
        from vi.estimators import Estimator
        from vi.evaluation.evaluator import Evaluator
        from vi.evaluation.splits import open_split

        def maker(name: str) -> Callable[[int], Estimator]:
            return lambda s: builder.instantiate("estimators", {**settings[name], "samples": s}, Estimator)

        parts = run.parts
        data = open_split(parts.data, parts.model.likelihood, split)
        if batch_size > len(data):
            raise ConfigError(f"batch_size={batch_size}: exceeds the {len(data)} {split} data.")
        gradients = diagnostics.diagnose(
            parts.model,
            Evaluator(parts.model, parts.data).view(data, range(batch_size)),
            {name: maker(name) for name in estimators},
            samples,
            repeats,
            seed=parts.data.seed,
            step=run.step,
            kl_weight=float(parts.beta(run.step) if callable(parts.beta) else parts.beta),
            jit=run.jit,
            poll=run.poll,
            progress=progress,
        ).assign(**on, step=run.step)
        slopes = diagnostics.fit_slopes(gradients)
        _write_diagnosis(directory / "diagnostics", gradients, slopes)
    return gradients, slopes


def _write_diagnosis(folder: Path, gradients: pd.DataFrame, slopes: pd.DataFrame) -> None:
    from vi import pictures

    folder.mkdir(exist_ok=True)
    write(folder / "gradients.csv", gradients.to_csv(index=False))
    write(folder / "slopes.csv", slopes.to_csv(index=False))
    for quantity in ("snr", "variance"):
        pictures.power_laws(folder / f"{quantity}.png", gradients, slopes, quantity)


def replay(folder: str | Path, trust: str | Sequence[str] = ()) -> Examination:
    """Recomputes the step that was not finite and stopped its run, from the weights before the step.

    It clears Keras's session, and sets Keras's precision and the global seeds from the run's config.

    Args:
        folder: `nonfinite` in the directory of the run.
        trust: the modules whose code may run for a run that somebody else has made.

    Raises:
        ConfigError: the folder holds no such step, the data have changed, or the run needs code that is not trusted.
    """
    from vi.runs.training import make_trainer
    from vi.training import nonfinite

    config = saved.read(Path(folder).absolute().parent, trust=trust)
    set_precision(config["trainer"]["precision"])
    return nonfinite.replay(make_trainer(builder.build(config), config), Path(folder))
