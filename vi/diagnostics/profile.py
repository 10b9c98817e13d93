"""Where the time of a train step goes, by term, and a trace of the compiled loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from vi.graphs import Graph
from vi.particles import Batch, Noise, Particles
from vi.training.batches import Window
from vi.training.trainer import Trainer, loop

SECONDS = 0.2
"""The least time of a call that is measured."""
ROUNDS = 5
"""How often each call is measured."""

Part = Callable[[Batch, Noise, tf.Tensor], Any]
"""A train step from its beginning to the end of a term; returns what the term and the terms before it leave."""


def profile_step(trainer: Trainer, poll: Callable[[], None] = lambda: None) -> dict[str, float]:
    """The milliseconds of a train step by term, in the order of the step. The training stays as it is.

    Compiled loops like the trainer's own take the first part of a step, up to the end of each term. They are timed in
    turn, and the medians count. The time of a term is the difference of two loops, so it includes what the term costs
    the whole. A compiler may make a longer loop the faster one. The times of all loops are therefore replaced by the
    nearest sequence that does not fall (isotonic regression), and no loop takes longer than the trainer's own.

    Args:
        trainer: a trainer at any step.
        poll: called between loops; may raise an error to end the measurement.

    Returns:
        data, noise, encoder (up to the parameters of q), sampling (z), decoder, likelihood, dreams (if the estimator
        asks for dreams), loss (the other densities, the KL, the bound), backward, metrics, optimizer, and rest: what
        the trainer's loop does beside its steps. Their sum is the time of a step in the trainer's loop.

    Raises:
        tf.errors.ResourceExhaustedError: out of memory.
    """
    _, steps = trainer.batches.window(0, _pace(trainer))
    names = [*parts(trainer), "rest"]
    seconds: list[list[float]] = []
    calls = [_loop(trainer, part, steps) for part in parts(trainer).values()]
    calls.append(lambda: trainer.run(steps))
    for _ in range(1 + ROUNDS):  # the first round compiles
        seconds.append([])
        for call in calls:
            poll()
            seconds[-1].append(_seconds(trainer, call) / steps)
    return dict(zip(names, increments(1e3 * np.median(seconds[1:], axis=0)), strict=True))


def increments(times: np.ndarray) -> list[float]:
    """What each part of a step adds, from the times of ever longer parts; the last part is the whole step.

    No increment is negative, and their sum is the time of the whole.
    """
    from sklearn.isotonic import isotonic_regression

    return np.diff(isotonic_regression(times, y_min=0, y_max=times[-1]), prepend=0).tolist()


def parts(trainer: Trainer) -> dict[str, Part]:
    """The parts of a step, each up to the end of the term of its name. What no result needs, a compiler leaves out."""
    model, train_step = trainer.model, trainer.train_step

    def up_to(read: Callable[[Particles], Any]) -> Part:
        return lambda batch, noise, step: (noise, read(model.particles(batch, noise, step=step)))

    def decoder(batch: Batch, noise: Noise, step: tf.Tensor) -> Any:
        particles = model.particles(batch, noise, step=step)
        return noise, model.decode(particles.posterior.code(particles.z), batch, step).output

    def backward(batch: Batch, noise: Noise, step: tf.Tensor) -> Any:
        _, losses, gradients = train_step.differentiate(batch, noise, step)
        return losses.means, gradients

    def metrics(batch: Batch, noise: Noise, step: tf.Tensor) -> Any:
        particles, losses, gradients = train_step.differentiate(batch, noise, step)
        return train_step.metrics(particles, losses, gradients), gradients

    found: dict[str, Part] = {
        "data": lambda batch, noise, step: batch,
        "noise": lambda batch, noise, step: (batch, noise),
        "encoder": up_to(lambda particles: particles.posterior.parameters),
        "sampling": up_to(lambda particles: particles.z),
        "decoder": decoder,
        "likelihood": up_to(lambda particles: particles.log_likelihood),
    }
    if trainer.estimator.draws.dream:
        found["dreams"] = up_to(lambda particles: (particles.log_likelihood, _of_dreams(particles.dream)))
    return found | {
        "loss": lambda batch, noise, step: train_step.differentiate(batch, noise, step)[1].means,
        "backward": backward,
        "metrics": metrics,
        "optimizer": train_step,
    }


def trace(trainer: Trainer, folder: Path) -> None:
    """Writes a trace of one compiled call for TensorBoard. The training stays as it is.

    Raises:
        tf.errors.OpError: TensorFlow cannot trace now, or the folder cannot be written.
    """
    steps = _pace(trainer)
    tf.profiler.experimental.start(str(folder))
    try:
        _run(trainer, steps)
    finally:
        tf.profiler.experimental.stop()


def _of_dreams(dreams: Particles | None) -> Any:
    assert dreams is not None
    return dreams.log_posterior


def _pace(trainer: Trainer) -> int:
    """The number of steps of a call that takes at least `SECONDS`."""
    steps = 1
    _run(trainer, steps)  # may compile
    while (seconds := _run(trainer, steps)) < SECONDS:
        steps = min(10 * steps, 1 + int(1.2 * steps * SECONDS / seconds))
    return steps


def _run(trainer: Trainer, steps: int) -> float:
    """The seconds of some steps in the trainer's own loop."""
    return _seconds(trainer, lambda: trainer.run(steps))


def _seconds(trainer: Trainer, call: Callable[[], Any]) -> float:
    """The seconds of a call that may train the trainer, from step 0. Afterwards the training stands where it stood."""
    with _unchanged(trainer):
        trainer.step.assign(0)  # where the orders of the data begin, so that no call draws new ones
        tf.test.experimental.sync_devices()
        start = time.perf_counter()
        call()
        tf.test.experimental.sync_devices()
        return time.perf_counter() - start


@contextlib.contextmanager
def _unchanged(trainer: Trainer) -> Iterator[None]:
    """Restores all variables of the training at the end."""
    variables = [variable for group in trainer.state.values() for variable in group]
    before = [tf.identity(variable) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def _loop(trainer: Trainer, part: Part, steps: int) -> Callable[[], Any]:
    """A compiled loop that takes a part of each step, as the trainer's loop takes whole steps.

    The loop returns the results of the last step, so that no compiler leaves them out.
    """

    def take(step: tf.Tensor, window: Window) -> list[tf.Tensor]:
        batch, noise = trainer.batches.next(step, window)
        return _tensors(part(batch, noise, step))

    def run(window: Window) -> list[tf.Tensor]:
        results = [tf.zeros(each.shape, each.dtype) for each in shapes]
        state = (tf.constant(0, tf.int64), results)
        return loop(lambda step, _: step < steps, lambda step, _: (step + 1, take(step, window)), state)[1]

    window, _ = trainer.batches.window(0, steps)
    with trainer.multiplying():
        shapes = Graph(take).trace(tf.constant(0, tf.int64), window).structured_outputs
        compiled = Graph(run, trainer.jit).trace(window)

    def call() -> list[tf.Tensor]:
        with trainer.multiplying():  # XLA compiles when it is called
            return compiled(*window)

    return call


def _tensors(structure: Any) -> list[tf.Tensor]:
    """The tensors of a nested structure."""
    return [tf.convert_to_tensor(each) for each in tf.nest.flatten(structure) if tf.is_tensor(each)]
