"""The training of a run: its trainer, its validation, and the best weights at the end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import keras

from vi.data.dataset import Split
from vi.diagnostics.watch import watch_gradients
from vi.errors import RunError
from vi.estimators import AnalyticKL
from vi.evaluation.evaluator import Evaluator
from vi.evaluation.latents import active_units, collapse_sentence
from vi.evaluation.probes import are_classes, knn_accuracy
from vi.likelihoods import Gaussian
from vi.loggers.base import Logger
from vi.products import Matmul, has_tf32, remark
from vi.runs.build import Parts
from vi.settings.saved import Config
from vi.training.batches import ResidentBatches
from vi.training.checkpoints import Checkpoints
from vi.training.devices import steps_of_a_block, wants_xla
from vi.training.fit import Progress, fit
from vi.training.step import TrainStep
from vi.training.trainer import Trainer

log = logging.getLogger(__name__)

WATCHED_DATA = 20
"""trainer.diagnose_every measures gradients on this number of validation data, from the first on."""


def make_trainer(parts: Parts, config: Config) -> Trainer:
    """The trainer that a config describes."""
    settings, jit = config["trainer"], wants_xla(parts.model, config)
    log.info("%s XLA (trainer.jit=%s).", "Compiling with" if jit else "Compiling without", settings["jit"])
    step = TrainStep(
        parts.model, parts.estimator, parts.optimizers, beta=parts.beta, update_every=settings["update_every"]
    )
    batches = ResidentBatches(
        parts.data,
        parts.model,
        parts.estimator.draws,
        batch_size=settings["batch_size"],
        seed=config["seed"],
        noise=settings["noise"],
    )
    return Trainer(step, batches, jit=jit, matmul=_matmul(settings["matmul"]), block=steps_of_a_block() if jit else 1)


def _matmul(asked: Matmul) -> Matmul:
    """The precision of products in training: float32 in place of tf32 if no GPU has it. Logs what is lowered."""
    if asked == "tf32" and not has_tf32():
        log.info("Training multiplies in float32, because no GPU here has TF32 (trainer.matmul=tf32).")
        return "float32"
    if sentence := remark(asked):
        log.info(sentence)
    return asked


def train(
    parts: Parts,
    trainer: Trainer,
    settings: dict[str, Any],
    checkpoints: Checkpoints,
    progress: Progress,
    logger: Logger,
    poll: Callable[[], None],
) -> dict[str, Any]:
    """Trains to the end and leaves the best weights in the model; returns the numbers for the summary.

    Args:
        parts: data and model.
        trainer: the trainer, at the first step to take.
        settings: the section `trainer` of the config.
        checkpoints: the checkpoints of the run.
        progress: the progress so far; it is updated in place.
        logger: receives the progress and each row of metrics.csv.
        poll: called between compiled calls; raises Interrupted to end the training.

    Returns:
        The `final` metrics on all validation data, the metrics of the `best` checkpoint with its step, and of this
        checkpoint `knn_accuracy`, `active_units`, and `collapse`, a sentence if most latents have collapsed. They are
        None if there are no classes or no data.

    Raises:
        Interrupted: by `poll`.
        RunError: the training cannot continue, or a final metric is not finite.
    """
    data = parts.data
    evaluator = Evaluator(parts.model, data, jit=trainer.jit, poll=poll)

    def validate(size: int | None) -> dict[str, float]:
        return _validate(evaluator, data.validation, settings["validation_samples"], size)

    observed = parts.model.likelihood.support != "none"
    said = before = False

    def validate_during_training() -> dict[str, float]:
        nonlocal said, before
        if observed and not said:
            sentence = collapse_sentence(evaluator, data.validation)
            if sentence and (before or progress.step == progress.total):  # the first may be too early to tell
                said = True
                log.warning("%s %s", sentence, advice_on_collapse(parts))
            before = sentence is not None
        return validate(settings["validation_size"])

    watch = None
    if settings["diagnose_every"] is not None:
        batch = evaluator.view(data.validation, range(min(WATCHED_DATA, len(data.validation))))
        watch = watch_gradients(trainer, batch, data.seed, poll)
    fit(
        trainer,
        validate_during_training,
        checkpoints,
        [logger],
        epochs=settings["epochs"],
        evaluate_every=settings["evaluate_every"],
        monitor=settings["monitor"],
        patience=settings["patience"],
        steps_per_call=settings["steps_per_call"],
        nonfinite=settings["nonfinite"],
        progress=progress,
        check=poll,
        diagnose=watch,
        diagnose_every=settings["diagnose_every"],
    )
    final = validate(None)
    best, best_step = final, progress.step
    if progress.best_step != progress.step:
        best_step = checkpoints.restore("best")["step"]
        best = validate(None)
    for name, value in (*final.items(), *best.items()):
        if not math.isfinite(value):
            raise RunError(f"{name} on all validation data is not finite after {progress.step} steps.")
    watched = progress.monitored
    if watched is not None and progress.best is not None and watched not in best:  # a metric of the training data
        best = {**best, watched: progress.best}
    accuracy, means = None, evaluator.means(data.validation) if observed else None
    if are_classes(data.train.y) and are_classes(data.validation.y):
        means = evaluator.means(data.validation) if means is None else means
        accuracy = knn_accuracy(evaluator.means(data.train), data.train.y, means, data.validation.y)
    return {
        "final": final,
        "best": {"step": best_step, **best},
        "knn_accuracy": accuracy,
        "active_units": None if means is None else active_units(means),
        "collapse": collapse_sentence(evaluator, data.validation) if observed else None,
    }


def advice_on_collapse(parts: Parts) -> str:
    """The overrides that help against collapsed latents and that fit the parts of a run."""
    found = [] if isinstance(parts.beta, keras.optimizers.schedules.LearningRateSchedule) else ["warmup=linear"]
    estimator, likelihood = parts.estimator, parts.model.likelihood
    if isinstance(estimator, AnalyticKL) and not estimator.free_bits and estimator.capacity is None:
        found.append("estimator.free_bits=0.1")
    if isinstance(likelihood, Gaussian) and likelihood.scale == "fixed":
        found.append("likelihood.scale=shared")
    return f"These may help: {', '.join([*found, 'a smaller decoder'])}."


def _validate(evaluator: Evaluator, split: Split, samples: int, size: int | None) -> dict[str, float]:
    """The validation metrics, in nats per datum. validation/iw_bound uses the first `size` data only.

    The KL is in closed form if it has one, else it is sampled.
    """
    elbo = evaluator.estimate(split, samples=1)
    metrics = {"validation/nll": -float(elbo.log_likelihood.mean())}
    if elbo.kl is not None:
        iw_bound = evaluator.estimate(split, samples, size).iw_bound
        assert iw_bound is not None
        metrics["validation/kl"] = float((elbo.kl if elbo.exact_kl is None else elbo.exact_kl).mean())
        metrics["validation/elbo"] = -metrics["validation/nll"] - metrics["validation/kl"]
        metrics["validation/iw_bound"] = float(iw_bound.mean())
    return metrics
