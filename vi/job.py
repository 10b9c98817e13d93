"""One run from its parts to its files: trains, evaluates, draws, and sums up."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import json
import logging
import math
import os
import platform
import secrets
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import tensorflow as tf

from vi.checkpoint import Checkpoints, reason
from vi.dashboard import WandbLogger
from vi.diagnostics import watch_gradients
from vi.directory import lock, read_summary, write
from vi.errors import ConfigError, RunError
from vi.evaluate import Evaluator
from vi.evaluation import evaluate_model, flat, leave, open_split
from vi.interruption import Interruption
from vi.loggers import Console, Logger, MetricsFile, Terminal, closing_table, evaluation_bar, evaluation_table
from vi.loop import ADVICE, NotFinite, Progress, fit, last_good, steps_of
from vi.nonfinite import examine, keep
from vi.pictures import draw, draw_diagrams
from vi.probes import are_classes, knn_accuracy
from vi.trainer import Trainer

log = logging.getLogger(__name__)
DIAGNOSED = 20
"""The first so many validation data are what trainer.diagnose_every measures gradients on."""
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
        earlier = _earlier(directory, parts.data) if resume else {}
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
        summary = _about(parts, config, trainer, command, earlier, progress)
        try:
            save_config(config, directory / "config.yaml")
            _write_summary(summary, directory)
            (directory / "model.txt").write_text(describe(parts.model, trainer))
            metrics.go_back(progress.row)
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
            summary |= {"status": "finished", **_standing(progress)}
            _write_summary(summary, directory)
        except BaseException as error:
            summary |= _standing(progress)
            if isinstance(error, KeyboardInterrupt):
                summary["status"] = "interrupted"
            else:
                error = _explain(error, trainer, progress, directory)
                summary |= {"status": "failed", "error": " ".join(str(error).split())}
            try:
                _write_summary(summary, directory)
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


def set_up_devices() -> None:
    """Lets GPUs, where there are any, take memory as it is needed; before anything is placed on them."""
    with contextlib.suppress(RuntimeError):  # a run before this one has set them up
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)


def wants_xla(model: Any, config: dict) -> bool:
    """Whether XLA compiles, as trainer.jit says; auto is what is faster: on CPUs not if there are convolutions."""
    if (jit := config["trainer"]["jit"]) != "auto":
        return jit
    convolutional = any(len(v.shape) > 3 for v in model.variables)
    return bool(tf.config.list_physical_devices("GPU")) or not convolutional


def describe(model: Any, trainer: Trainer) -> str:
    """The Keras summaries of encoder and decoder, and the parameters of each group."""
    lines: list[str] = []
    for network in (model.encoder, model.decoder):
        if hasattr(network, "summary"):
            network.summary(print_fn=lines.append, line_length=78)
    parts = {"posterior": model.posterior, "likelihood": model.likelihood, "prior": model.prior}
    lines += [
        f"{name}: {type(part).__name__}, {_count(part.trainable_variables):,} parameters"
        for name, part in parts.items()
    ]
    lines += [f"{group}: {count:,} trainable parameters" for group, count in count_parameters(trainer).items()]
    return "\n".join(lines) + "\n"


def count_parameters(trainer: Trainer) -> dict[str, int]:
    """The trainable parameters of each group."""
    return {group: _count(variables) for group, variables in trainer.variables.items()}


def _count(variables: list) -> int:
    return sum(math.prod(v.shape) for v in variables)


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


def _standing(progress: Progress) -> dict[str, Any]:
    """What the summary says of a run wherever it stands."""
    return {
        "step": progress.step,
        "epoch": progress.epoch,
        "seconds": progress.seconds,
        "examples_per_second": progress.examples_per_second,
        "skipped_steps": progress.skipped,
    }


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


def _earlier(directory: Path, data: Any) -> dict:
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


def dashboard(config: dict, summary: dict, command: Command, directory: Path) -> WandbLogger:
    """The W&B run of a run, begun or gone on with."""
    choices, settings = config.get("choices") or {}, dict(config["logger"]["wandb"])
    tags = [config["name"], *(choices[group] for group in ("estimator", "data") if choices.get(group))]
    about = {
        "id": summary["wandb_id"],
        "name": f"{config['name']}/{directory.name}",
        "group": command.group,
        "notes": command.line,
        "tags": [*tags, *settings.pop("tags", [])],
    }
    return WandbLogger(directory, config, **(about | settings))


def record(evaluation: dict, pictures: dict[str, Path], config: dict, summary: dict, directory: Path) -> None:
    """Adds the numbers and the pictures of an evaluation to the W&B run of a run that has ended, if it has one."""
    if config["logger"]["wandb"] and "wandb_id" in summary:
        group = directory.parent.name if (directory.parent / "multirun.yaml").exists() else None
        logger = dashboard(config, summary, Command(summary["command"], summary["overrides"], group), directory)
        for name, path in pictures.items():
            logger.picture(f"evaluation/{name}", path)
        logger.finish(summary | flat(evaluation), hurried=False)


def _about(
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


def _write_summary(summary: dict, directory: Path) -> None:
    write(directory / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
