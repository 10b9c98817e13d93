"""A step that is not finite: which term of which data, and everything that it takes to compute it again."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from vi.errors import ConfigError, reason
from vi.estimators import ELBO
from vi.particles import GROUPS
from vi.training import checkpoints
from vi.training.trainer import Trainer

SHOWN = 10
DENSITIES = ("the log-likelihood", "the log prior", "the log posterior", "the KL")
"""What bounds and losses are made of, and so named before them."""


@dataclasses.dataclass(frozen=True)
class Examination:
    """One train step, computed but not taken.

    Attributes:
        step: its number.
        index: its batch, as positions in the training data, `[B]`.
        x: the data as the model sees them, `[B, *event]`.
        terms: what the step computes of each datum, by name, `[B, ...]`, in nats.
        gradients: of each group.
        causes: the names of what is not finite, the earliest of parameters, terms, gradients and metrics.
        data: the indices in the array x_train of the data for which it is not finite.
    """

    step: int
    index: np.ndarray
    x: np.ndarray
    terms: dict[str, np.ndarray]
    gradients: dict[str, list[np.ndarray]]
    causes: list[str]
    data: np.ndarray

    def __str__(self) -> str:
        """What is not finite, in one sentence."""
        if not self.causes:
            return f"step {self.step} is finite"
        causes = " and ".join([", ".join(self.causes[:-1]), self.causes[-1]] if self.causes[1:] else self.causes)
        shown = ", ".join(map(str, self.data[:SHOWN])) + (", …" if len(self.data) > SHOWN else "")
        which = f"for {len(self.data)} of the {len(self.index)} data (x_train[{shown}])"
        return f"step {self.step}: {causes} {'is' if len(self.causes) == 1 else 'are'} not finite {which}"


def examine(trainer: Trainer) -> Examination:
    """Computes the trainer's next step without taking it, and looks for what is not finite."""
    step = int(trainer.step.numpy())
    index = trainer.index(step)
    noise = trainer.noise(index, tf.constant(step, tf.int64))
    x = trainer.batch(index, tf.constant(step, tf.int64))

    def compute(x, noise, index, step):
        particles, losses, gradients = trainer.differentiate(x, noise, index, step)
        terms = _terms(trainer.estimator, particles, losses.losses)
        return terms, gradients, trainer.metrics(particles, losses, gradients)

    compiled = tf.function(compute, jit_compile=trainer.jit)
    terms, gradients, metrics = tf.nest.map_structure(
        lambda t: t.numpy(), compiled(x, noise, index, tf.constant(step, tf.int64))
    )
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
        single = tf.function(compute, jit_compile=trainer.jit)
        for i in range(len(index)) if causes else ():  # a gradient is of the whole batch: one datum, twice, at a time
            one = tf.nest.map_structure(lambda t, i=i: None if t is None else tf.gather(t, [i, i]), (x, noise, index))
            _, of_datum, _ = single(*one, tf.constant(step, tf.int64))
            rows[i] = not all(_finite_norm([g.numpy() for g in gs]) for gs in of_datum.values())
        causes = causes or [f"the mean {name}" for name, mean in metrics.items() if not np.isfinite(mean)]
    taken = trainer.data.train.index
    sources = index.numpy() if taken is None else taken[index.numpy()]
    data = sources[rows] if rows.any() else sources
    return Examination(step, index.numpy(), x.numpy(), terms, gradients, causes, data)


def keep(examination: Examination, trainer: Trainer, folder: Path) -> None:
    """Writes a step and all variables before it, so that it can be computed again; replaces one kept before."""
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
    """Gives the trainer the variables that `keep` has written, and computes the step again.

    Raises:
        ConfigError: nothing was kept there, or it was of other data or another model.
    """
    try:
        checkpoints.read(folder, trainer.state)
        with np.load(folder / "batch.npz") as kept:
            x = kept["x"]
    except (OSError, ValueError, LookupError, RuntimeError, tf.errors.OpError) as error:
        raise ConfigError(
            f"{folder}: holds no step that can be replayed ({reason(error)}); it must be the folder "
            "nonfinite of a run that was stopped at a number that is not finite."
        ) from None
    examination = examine(trainer)
    if not np.array_equal(examination.x, x, equal_nan=True):
        raise ConfigError(f"{folder}: the data are not those of the run, so the step cannot be replayed.")
    return examination


def _terms(estimator: Any, particles: Any, losses: Any) -> dict[str, tf.Tensor]:
    """What is computed of each datum, `[B, ...]`."""
    divergence = estimator.divergence(particles) if isinstance(estimator, ELBO) else None
    values = (particles.log_likelihood, particles.log_prior, particles.log_posterior, divergence)
    terms = {name: value for name, value in zip(DENSITIES, values, strict=True) if value is not None}
    terms["the bound"] = estimator.bound(particles)
    terms |= {f"the {group} loss": loss for group, loss in zip(GROUPS, losses, strict=True) if loss is not None}
    return terms


def _finite_norm(gradients: list[np.ndarray]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(sum(np.sum(np.square(g)) for g in gradients)))
