"""One run from its parts to its files: trains, evaluates, draws, and sums up."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import math
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rich.console
import tensorflow as tf

from vi import figures, loop, random
from vi.checkpoint import Checkpoints
from vi.errors import RunError
from vi.evaluate import Evaluator, knn_accuracy
from vi.loggers import Console, Logger, MetricsFile, WandbLogger, closing_table
from vi.trainer import Trainer

log = logging.getLogger(__name__)
PACKAGES = ("vi", "tensorflow", "tensorflow-probability", "keras", "numpy", "hydra-core", "wandb")


def run_job(parts: Any, config: dict, directory: Path, save_config: Callable[[dict, Path], None]) -> dict:
    """Trains `parts` and writes everything that a run leaves below `directory`; returns the summary.

    Args:
        parts: `vi.config.Parts`.
        config: the resolved config, already checked.
        directory: of the run; must hold none yet.
        save_config: writes config.yaml, or refuses.
    """
    settings = config["trainer"]
    jit = prefers_xla(parts.model) if settings["jit"] == "auto" else settings["jit"]
    trainer = Trainer(
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
    log.info("%s XLA (trainer.jit=%s).", "Compiling with" if jit else "Compiling without", settings["jit"])
    summary = _about(parts, config, jit, trainer)
    save_config(config, directory / "config.yaml")
    console = rich.console.Console()
    loggers: list[Logger] = [MetricsFile(directory / "metrics.csv"), Console(console)]
    try:
        _write_summary(summary, directory)
        (directory / "model.txt").write_text(describe(parts.model, trainer))
        if config["logger"]["wandb"]:
            name = f"{config['name']}/{directory.name}"
            loggers.append(WandbLogger(directory, config, name, **config["logger"]["wandb"]))
        summary |= _train(parts, trainer, settings, directory, loggers)
        for name, path in draw(parts, directory).items():
            for logger in loggers:
                logger.picture(name, path)
        summary["status"] = "finished"
    except KeyboardInterrupt:
        summary["status"] = "interrupted"
        raise
    except Exception as error:
        summary |= {"status": "failed", "error": " ".join(str(error).split())}
        raise
    finally:
        try:
            _write_summary(summary, directory)
        finally:
            for logger in loggers:
                logger.finish(summary)
    closing_table(console, summary, directory)
    return summary


def set_up_devices() -> None:
    """Lets GPUs, where there are any, take memory as it is needed; before anything is placed on them."""
    with contextlib.suppress(RuntimeError):  # a run before this one has set them up
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)


def prefers_xla(model: Any) -> bool:
    """Whether XLA is the faster compiler: on a GPU always; on CPUs unless there are convolutions."""
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


def draw(parts: Any, directory: Path) -> dict[str, Path]:
    """Writes the pictures of a trained model below `figures/`; returns their paths by name.

    A picture that cannot be drawn is a warning: the run has been trained.
    """
    model, data = parts.model, parts.data
    evaluator = Evaluator(model, data, jit=False)
    pictures: dict[str, Callable[[Path], None]] = {
        "latent_space": lambda path: figures.latent_space(path, evaluator.means(data.validation), data.validation.y),
        "reconstructions": lambda path: _draw_reconstructions(path, model, data, evaluator),
        "prior_samples": lambda path: figures.prior_samples(path, _prior_samples(model)),
        "curves": lambda path: figures.curves(path, pd.read_csv(directory / "metrics.csv")),
    }
    if model.prior.latent_dim == 2 and _is_image(data.event_shape):
        grid = tf.constant(figures.manifold_grid(), model.prior.compute_dtype)
        pictures["manifold"] = lambda path: figures.manifold(path, _as_images(model.decode(grid).mean()))
    folder = directory / "figures"
    folder.mkdir(exist_ok=True)
    paths = {}
    for name, picture in pictures.items():
        try:
            picture(folder / f"{name}.png")
            paths[name] = folder / f"{name}.png"
        except Exception as error:
            log.warning("The picture %s could not be drawn: %s: %s", name, type(error).__name__, error)
    return paths


def _draw_reconstructions(path: Path, model: Any, data: Any, evaluator: Evaluator) -> None:
    size = len(data.validation)
    x = evaluator.view(data.validation, np.linspace(0, size - 1, min(10, size)).astype(int).tolist())
    figures.reconstructions(path, _as_images(x), _as_images(model.reconstruct(x)))


def _prior_samples(model: Any) -> np.ndarray:
    """Means of images, which show more; draws of other data, whose spread is what is looked at."""
    if _is_image(model.likelihood.event_shape):
        return _as_images(model.generate(64))
    seed = random.seed(0, "people")
    z = model.prior.sample(model.prior.noise([1000], random.fold(seed, "dream_prior")))
    noise = model.likelihood.noise([1000], random.fold(seed, "dream_likelihood"))
    return model.decode(z).sample(noise).numpy()


def _is_image(event_shape: tuple[int, ...]) -> bool:
    return len(event_shape) in (2, 3)


def _as_images(x: tf.Tensor) -> np.ndarray:
    """`[N, h, w, c]` of `[N, h, w]`; other events as they are."""
    array = x.numpy()
    return array[..., None] if array.ndim == 3 else array


def _train(parts: Any, trainer: Trainer, settings: dict, directory: Path, loggers: list[Logger]) -> dict:
    data, samples = parts.data, settings["validation_samples"]
    evaluator = Evaluator(parts.model, data, jit=trainer.jit)
    checkpoints = Checkpoints(directory / "checkpoints", trainer.state)

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

    progress = loop.fit(
        trainer,
        lambda: validate(settings["validation_size"]),
        checkpoints,
        loggers,
        epochs=settings["epochs"],
        evaluate_every=settings["evaluate_every"],
        monitor=settings["monitor"],
        patience=settings["patience"],
        steps_per_call=settings["steps_per_call"],
    )
    final = validate(size=None)
    best = final
    if progress.best_step != progress.step:
        checkpoints.restore("best")
        best = validate(size=None)
    for name, value in (*final.items(), *best.items()):
        if not math.isfinite(value):
            raise RunError(f"{name} on all validation data is not finite after {progress.step} steps.")
    accuracy = None
    if data.train.y is not None and data.validation.y is not None:
        train_means, means = evaluator.means(data.train), evaluator.means(data.validation)
        accuracy = knn_accuracy(train_means, data.train.y, means, data.validation.y)
    return {
        "step": progress.step,
        "epoch": progress.epoch,
        "seconds": progress.seconds,
        "examples_per_second": progress.examples_per_second,
        "final": final,
        "best": {"step": progress.best_step, **best},
        "knn_accuracy": accuracy,
    }


def _about(parts: Any, config: dict, jit: bool, trainer: Trainer) -> dict[str, Any]:
    gpus = tf.config.list_physical_devices("GPU")
    return {
        "status": "running",
        "name": config["name"],
        "seed": config["seed"],
        "estimator": type(parts.estimator).__name__,
        "samples": parts.estimator.draws.posterior,
        "kind": parts.estimator.kind,
        "pseudo": config["pseudo"],
        "started": datetime.datetime.now().isoformat(timespec="seconds"),
        "parameters": count_parameters(trainer),
        "jit": jit,
        "device": gpus[0].name if gpus else f"CPU ({platform.machine()})",
        "data_hash": parts.data.hash,
        "command": sys.argv,
        "git_commit": _git_commit(),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
        },
    }


def _git_commit() -> str | None:
    """The commit of the directory that the run was started in, if it is in a git repository."""
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return git.stdout.strip() or None


def _write_summary(summary: dict, directory: Path) -> None:
    partial = directory / ".summary.json"
    partial.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
    partial.replace(directory / "summary.json")
