"""Examines a step that is not finite: names the terms and the data, and saves the step for a replay."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from vi.data.archives import DAMAGES, Archive
from vi.errors import ConfigError, reason
from vi.estimators import ELBO, Estimator
from vi.graphs import Graph
from vi.particles import GROUPS, Batch, Losses, Noise, Particles
from vi.training import checkpoints
from vi.training.step import Gradients
from vi.training.trainer import Trainer

Terms = dict[str, tf.Tensor]

SHOWN = 10
DENSITIES = ("the log-likelihood", "the log prior", "the log posterior", "the KL")
"""Bounds and losses are computed from these terms, so a message names these terms first."""


@dataclasses.dataclass(frozen=True)
class Examination:
    """One train step, computed but not taken.

    Attributes:
        step: the number of the step.
        index: the batch, as positions in the training data, `[B]`.
        x: the data as the model sees them, `[B, *event]`.
        terms: the terms of each datum, by name, `[B, ...]`, in nats.
        gradients: the gradients of each group.
        causes: the names of the first kind of values that is not finite: parameters, terms, gradients, metrics.
        data: the indices in the array x_train of the data with a term that is not finite.
    """

    step: int
    index: np.ndarray
    x: np.ndarray
    terms: dict[str, np.ndarray]
    gradients: dict[str, list[np.ndarray]]
    causes: list[str]
    data: np.ndarray

    def __str__(self) -> str:
        """The values that are not finite, in one sentence."""
        if not self.causes:
            return f"step {self.step} is finite"
        causes = " and ".join([", ".join(self.causes[:-1]), self.causes[-1]] if self.causes[1:] else self.causes)
        shown = ", ".join(map(str, self.data[:SHOWN])) + (", …" if len(self.data) > SHOWN else "")
        which = f"for {len(self.data)} of the {len(self.index)} data (x_train[{shown}])"
        return f"step {self.step}: {causes} {'is' if len(self.causes) == 1 else 'are'} not finite {which}"


def examine(trainer: Trainer) -> Examination:
    """Computes the trainer's next step without taking it, and finds the values that are not finite."""
    step = int(trainer.step.numpy())
    batch, noise = trainer.batches.at(step)
    assert batch.index is not None  # of data in memory
    index = batch.index.numpy()

    def compute(batch: Batch, noise: Noise, step: tf.Tensor) -> tuple[Terms, Gradients, Terms]:
        particles, losses, gradients = trainer.train_step.differentiate(batch, noise, step)
        terms = _terms(trainer.estimator, particles, losses.losses)
        return terms, gradients, trainer.train_step.metrics(particles, losses, gradients)

    compiled = Graph(compute, trainer.jit)
    number = tf.constant(step, tf.int64)
    with trainer.multiplying():
        found = compiled(batch, noise, number)
    terms, gradients, metrics = tf.nest.map_structure(lambda t: t.numpy(), found)
    parameters = [
        f"the {group} parameters"
        for group, variables in trainer.variables.items()
        if not all(np.isfinite(v.numpy()).all() for v in variables)
    ]
    bad = {name: ~np.isfinite(term).reshape(len(term), -1).all(1) for name, term in terms.items()}
    rows = np.any(list(bad.values()), axis=0)
    causes = parameters or [name for name in bad if bad[name].any() and name in DENSITIES]
    causes = causes or [name for name in bad if bad[name].any()]
    if not causes:
        causes = [f"the gradient of the {group} parameters" for group, gs in gradients.items() if not _finite_norm(gs)]
        single = Graph(compute, trainer.jit)
        for i in range(len(index)) if causes else ():  # each datum alone, in a batch of two copies
            with trainer.multiplying():
                _, of_datum, _ = single(*_twice(batch, noise, i), number)
            rows[i] = not all(_finite_norm([g.numpy() for g in gs]) for gs in of_datum.values())
        causes = causes or [f"the mean {name}" for name, mean in metrics.items() if not np.isfinite(mean)]
    sources = trainer.batches.sources(index)
    data = sources[rows] if rows.any() else sources
    return Examination(step, index, batch.x.numpy(), terms, gradients, causes, data)


def keep(examination: Examination, trainer: Trainer, folder: Path) -> None:
    """Saves a step with all variables before the step, so that it can be replayed; replaces an earlier one."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    checkpoints.write(partial, trainer.state)
    np.savez(partial / "batch.npz", index=examination.index, x=examination.x)
    report = {
        "step": examination.step,
        "seed": trainer.seed,
        "sentence": str(examination),
        "causes": examination.causes,
        "data": examination.data.tolist(),
    }
    (partial / "report.json").write_text(json.dumps(report, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def replay(trainer: Trainer, folder: Path) -> Examination:
    """Restores the variables that `keep` has written, and computes the step again.

    Raises:
        ConfigError: the folder holds no step, or a step of other data or another model.
    """
    try:
        checkpoints.read(folder, trainer.state)
        x = Archive(folder / "batch.npz")["x"]
    except (KeyError, tf.errors.OpError, *DAMAGES) as error:
        raise ConfigError(
            f"{folder}: holds no step that can be replayed ({reason(error)}); it must be the folder "
            "nonfinite of a run that was stopped at a number that is not finite."
        ) from None
    examination = examine(trainer)
    if not np.array_equal(examination.x, x, equal_nan=True):
        raise ConfigError(f"{folder}: the data differ from the data of the run, so the step cannot be replayed.")
    return examination


def _twice(batch: Batch, noise: Noise, i: int) -> tuple[Batch, Noise]:
    """Datum i of a batch as a batch of two, with its noise."""

    def take(tensor: tf.Tensor | None) -> tf.Tensor | None:
        return None if tensor is None else tf.gather(tensor, [i, i])

    layers, size = noise.layers, batch.size
    batch, noise = tf.nest.map_structure(take, (batch._replace(size=None), noise._replace(layers=None)))
    return batch._replace(size=size), noise._replace(layers=layers)


def _terms(estimator: Estimator, particles: Particles, losses: Losses) -> Terms:
    """The terms of each datum in the step, by name, `[B, ...]`."""
    divergence = estimator.divergence(particles) if isinstance(estimator, ELBO) else None
    values = (particles.log_likelihood, particles.log_prior, particles.log_posterior, divergence)
    terms = {name: value for name, value in zip(DENSITIES, values, strict=True) if value is not None}
    terms["the bound"] = estimator.bound(particles)
    terms |= {f"the {group} loss": loss for group, loss in zip(GROUPS, losses, strict=True) if loss is not None}
    return terms


def _finite_norm(gradients: list[np.ndarray]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(sum(np.sum(np.square(g)) for g in gradients)))
