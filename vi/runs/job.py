"""One run from its parts to its files: trains, evaluates, draws, and sums up."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vi.diagnostics.report import watch_gradients
from vi.errors import ConfigError, RunError, reason
from vi.evaluation.evaluator import Evaluator
from vi.evaluation.probes import are_classes, knn_accuracy
from vi.evaluation.report import evaluate_model, flat, open_split
from vi.loggers.base import Logger
from vi.loggers.metrics_file import MetricsFile
from vi.loggers.tables import closing_table, evaluation_table
from vi.loggers.terminal import Console, Terminal, evaluation_bar
from vi.pictures.draw import draw, draw_diagrams
from vi.runs.directory import lock
from vi.runs.interruption import Interruption
from vi.runs.outputs import dashboard, describe, leave
from vi.runs.summary import Command, about, read_earlier, standing, write_summary
from vi.training.checkpoints import Checkpoints
from vi.training.devices import wants_xla
from vi.training.fit import ADVICE, NotFinite, Progress, fit, last_good, steps_of
from vi.training.nonfinite import examine, keep
from vi.training.trainer import Trainer

log = logging.getLogger(__name__)


DIAGNOSED = 20
"""The first so many validation data are what trainer.diagnose_every measures gradients on."""


def run_job(
    parts: Any,
    config: dict,
    directory: Path,
    command: Command,
    save_config: Callable[[dict, Path], None],
    resume: bool = False,
) -> dict:
    """Trains `parts` and writes everything that a run leaves below `directory`; returns the summary.

    Args:
        parts: `vi.config.Parts`.
        config: the resolved config, already checked.
        directory: of the run.
        command: how the run was asked for.
        save_config: writes config.yaml.
        resume: whether to go on from the last checkpoint of the run that the directory holds; otherwise it must
            hold none.

    Raises:
        ConfigError: another process is at work in the directory, or what it holds does not fit.
        RunError: the training could not go on.
        Interrupted: by Ctrl-C or SIGTERM; the run can be resumed.
    """
    trainer, settings = make_trainer(parts, config), config["trainer"]
    if settings["evaluate"]:
        open_split(parts, "test", "trainer.evaluate=true")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory}: no run can be written there ({reason(error)}).") from None
    with lock(directory), Interruption() as interruption:
        checkpoints, progress = Checkpoints(directory / "checkpoints", trainer.state), Progress()
        if not resume and ((directory / "config.yaml").exists() or checkpoints):
            raise ConfigError(f"{directory}: already holds a run; choose another directory, or resume={directory}.")
        earlier = read_earlier(directory, parts.data) if resume else {}
        if resume and checkpoints:
            progress = Progress(**checkpoints.restore("last"))
            if steps_of(config["trainer"]["epochs"], trainer) < progress.step:
                raise ConfigError(
                    f"trainer.epochs={config['trainer']['epochs']}: the run has done {progress.epoch:g} already."
                )
            checkpoints.forget_after(progress.step)
            log.info("Going on from step %d (epoch %.1f).", progress.step, progress.epoch)
        console, metrics = Terminal(), MetricsFile(directory / "metrics.csv")
        terminal, evaluation = Console(console), {}
        loggers: list[Logger] = [metrics, terminal]
        summary = about(parts, config, trainer, command, earlier, progress)
        try:
            save_config(config, directory / "config.yaml")
            write_summary(summary, directory)
            (directory / "model.txt").write_text(describe(parts.model, trainer))
            metrics.truncate(progress.row)
            if config["logger"]["wandb"]:
                loggers.append(dashboard(config, summary, command, directory))
            summary |= _train(parts, trainer, settings, checkpoints, progress, loggers, interruption)
            folder, check = directory / "figures", interruption.check
            pictures = draw(parts, parts.data.validation, metrics.path, folder, check)
            for name, path in itertools.chain(pictures, draw_diagrams(parts.model, folder, check)):
                for logger in loggers:
                    logger.picture(name, path)
            if settings["evaluate"]:
                terminal.finish(summary)  # one bar at a time
                with evaluation_bar(console) as bar:
                    check, samples = interruption.check, settings["evaluation_samples"]
                    numbers = evaluate_model(parts, "test", samples, jit=trainer.jit, check=check, progress=bar)
                evaluation = {"checkpoint": "best", "step": summary["best"]["step"], **numbers}
                for name, path in leave(evaluation, parts, directory, check).items():
                    for logger in loggers:
                        logger.picture(f"evaluation/{name}", path)
            summary |= {"status": "finished", **standing(progress)}
            write_summary(summary, directory)
        except BaseException as error:
            summary |= standing(progress)
            if isinstance(error, KeyboardInterrupt):
                summary["status"] = "interrupted"
            else:
                error = _explain(error, trainer, progress, directory)
                summary |= {"status": "failed", "error": " ".join(str(error).split())}
            try:
                write_summary(summary, directory)
            except OSError as full:
                log.warning("%s could not be written (%s).", directory / "summary.json", reason(full))
            raise error from error.__cause__
        finally:
            for logger in loggers:
                logger.finish(summary | flat(evaluation))
    closing_table(console, summary, directory)
    if evaluation:
        evaluation_table(console, evaluation, directory)
    return summary


def make_trainer(parts: Any, config: dict) -> Trainer:
    """The trainer that a config describes."""
    settings, jit = config["trainer"], wants_xla(parts.model, config)
    log.info("%s XLA (trainer.jit=%s).", "Compiling with" if jit else "Compiling without", settings["jit"])
    return Trainer(
        parts.model,
        parts.estimator,
        parts.data,
        parts.optimizers,
        batch_size=settings["batch_size"],
        seed=config["seed"],
        beta=parts.beta,
        noise=settings["noise"],
        update_every=settings["update_every"],
        jit=jit,
    )


def _train(
    parts: Any,
    trainer: Trainer,
    settings: dict,
    checkpoints: Checkpoints,
    progress: Progress,
    loggers: list[Logger],
    interruption: Interruption,
) -> dict:
    """Trains to the end and evaluates; returns what the summary says of it. The best weights are left in the model."""
    data, samples = parts.data, settings["validation_samples"]
    evaluator = Evaluator(parts.model, data, jit=trainer.jit, check=interruption.check)

    def validate(size: int | None) -> dict[str, float]:
        elbo = evaluator.estimate(data.validation, samples=1)
        metrics = {"validation/nll": -float(elbo.log_likelihood.mean())}
        if elbo.kl is not None:
            iw_bound = evaluator.estimate(data.validation, samples, size).iw_bound
            assert iw_bound is not None
            metrics["validation/kl"] = float(elbo.kl.mean())
            metrics["validation/elbo"] = -metrics["validation/nll"] - metrics["validation/kl"]
            metrics["validation/iw_bound"] = float(iw_bound.mean())
        return metrics

    diagnose = None
    if settings["diagnose_every"] is not None:
        batch = evaluator.view(data.validation, range(min(DIAGNOSED, len(data.validation))))
        diagnose = watch_gradients(trainer, batch, data.seed, interruption.check)
    fit(
        trainer,
        lambda: validate(settings["validation_size"]),
        checkpoints,
        loggers,
        epochs=settings["epochs"],
        evaluate_every=settings["evaluate_every"],
        monitor=settings["monitor"],
        patience=settings["patience"],
        steps_per_call=settings["steps_per_call"],
        nonfinite=settings["nonfinite"],
        progress=progress,
        check=interruption.check,
        diagnose=diagnose,
        diagnose_every=settings["diagnose_every"],
    )
    final = validate(size=None)
    best, best_step = final, progress.step
    if progress.best_step != progress.step:
        best_step = checkpoints.restore("best")["step"]
        best = validate(size=None)
    for name, value in (*final.items(), *best.items()):
        if not math.isfinite(value):
            raise RunError(f"{name} on all validation data is not finite after {progress.step} steps.")
    accuracy = None
    if are_classes(data.train.y) and are_classes(data.validation.y):
        train_means, means = evaluator.means(data.train), evaluator.means(data.validation)
        accuracy = knn_accuracy(train_means, data.train.y, means, data.validation.y)
    return {"final": final, "best": {"step": best_step, **best}, "knn_accuracy": accuracy}


def _explain(error: BaseException, trainer: Trainer, progress: Progress, directory: Path) -> BaseException:
    """The error of a run as a sentence that says where it stands; keeps a step that is not finite."""
    if isinstance(error, NotFinite):
        folder, text, kept = directory / "nonfinite", error.what, ""
        try:
            if (examination := examine(trainer)).causes:
                text = str(examination) if error.what.startswith("step ") else f"{error.what}: {examination}"
                keep(examination, trainer, folder)
                kept = f" {folder} keeps the step, and vi.replay('{folder}') computes it again."
        except Exception as unable:  # of whatever kind, it must not hide what has happened
            kept = f" The step could not be kept ({type(unable).__name__}: {reason(unable)})."
        return RunError(f"{text}; {last_good(error.saved)}.{kept} {ADVICE}")
    if isinstance(error, OSError):
        return RunError(
            f"{error.filename or directory}: could not be written ({reason(error)}); the run stands at step "
            f"{progress.step}, and {last_good(progress.evaluated or None)}."
        )
    return error
