"""The gradients of an estimator under fresh noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from vi import random
from vi.diagnostics.memory import peak_bytes
from vi.diagnostics.moments import BLOCKS, Sums
from vi.estimators.base import Estimator
from vi.graphs import Graph
from vi.models.base import Model
from vi.particles import Losses, Noise, Particles
from vi.training.step import group_means, take_gradients

OUT_OF_MEMORY = "out of memory; fewer data or samples need less."
Tensors = dict[str, list[tf.Tensor]]
"""A tensor for each variable, by parameter group."""


class GradientNoise:
    """The gradients of an estimator's mean loss over one batch, at the current weights of the model.

    Each repeat has fresh noise, and gives the gradients of all parameter groups at once. Estimators with the same S and
    the same draws get the same noise. Estimators with different S are independent.

    Args:
        model: the model.
        estimator: the estimator. Its losses are differentiated.
        x: the batch, `[B, *event]`.
        seed: the seed of the noise.
        jit: whether XLA compiles the gradients.
        of: the function that gives the losses; `estimator.checked_losses` by default.
    """

    def __init__(
        self,
        model: Model,
        estimator: Estimator,
        x: tf.Tensor,
        seed: int = 0,
        jit: bool = True,
        of: Callable[[Particles, tf.Tensor], Losses] | None = None,
    ):
        self.model, self.estimator, self.x = model, estimator, x
        groups = {"generative": model.generative_variables, "inference": model.inference_variables}
        self.variables = {group: variables for group, variables in groups.items() if variables}
        self._of = of or estimator.checked_losses
        self._seed = random.fold(random.seed(seed, "diagnostics"), estimator.samples)
        self._gradients = Graph(self.gradients)
        self._block = Graph(self._add_up, jit)
        self._zeros: Tensors | None = None  # with the shapes of the gradients

    def noise(self, repeat: tf.Tensor) -> Noise:
        """The noise of one repeat."""
        return self.model.noise(self.estimator.draws, tf.range(self.x.shape[0]), self._seed, repeat)

    def gradients(self, repeat: tf.Tensor, step: tf.Tensor, kl_weight: tf.Tensor) -> Tensors:
        """The gradients of each group, a tensor for each variable, for the noise of one repeat."""
        with tf.GradientTape(persistent=True) as tape:
            particles = self.model.particles(self.x, self.noise(repeat), kl_weight, step)
            losses = self._of(particles, step)
            means = group_means(losses, particles, self.variables)
        taken = take_gradients(tape, means, self.variables, particles.aliases)
        return {group: [tf.convert_to_tensor(g) for g in parts] for group, parts in taken.items()}

    def measure(
        self, repeats: int, step: int = 0, kl_weight: float = 1.0, poll: Callable[[], None] = lambda: None
    ) -> tuple[dict[str, Sums], float]:
        """The sums of the gradients by group, and the seconds that one gradient takes.

        The seconds are the median over blocks, without compiling. They include drawing the noise and adding to the
        sums. The addition stands in for the optimizer's step, which takes about as long.

        Args:
            repeats: R, at least two for each block.
            step: the training step, for an estimator that has a schedule.
            kl_weight: β.
            poll: is called between blocks, and may raise an error to end the measurement.

        Raises:
            ConfigError: the estimator does not fit the model.
            tf.errors.ResourceExhaustedError: out of memory.
        """
        now = _now(step, kl_weight)
        if self._zeros is None:  # not compiled, so that a ConfigError is raised unchanged
            first = self.gradients(tf.constant(0), *now)
            self._zeros = tf.nest.map_structure(lambda g: tf.zeros(g.shape, tf.float64), first)
        shift, _ = self._block(tf.constant(0), tf.constant(1), self._zeros, *now)  # compiles
        counts = np.array([len(block) for block in np.array_split(np.arange(repeats), BLOCKS)])
        blocks, seconds = [], []
        for count, end in zip(counts.tolist(), counts.cumsum().tolist(), strict=True):
            poll()
            start = time.perf_counter()
            sums, squares = self._block(tf.constant(end - count), tf.constant(count), shift, *now)
            blocks.append({group: (_flat(sums[group]), squares[group].numpy()) for group in shift})
            seconds.append((time.perf_counter() - start) / count)
        found = {
            group: Sums(counts, _flat(g), *map(np.stack, zip(*(block[group] for block in blocks), strict=True)))
            for group, g in shift.items()
        }
        return found, float(np.median(seconds))

    def memory(self, step: int = 0, kl_weight: float = 1.0) -> float:
        """The peak memory of one gradient in MB: the tensors that are alive at once, without the parameters.

        It is computed from the graph before XLA fuses operations, which needs less. The memory of the process is no
        measure, because TensorFlow does not release the memory of earlier estimators.
        """
        graph = self._gradients.trace(tf.constant(0), *_now(step, kl_weight)).graph
        return peak_bytes(graph) / 1e6

    def _add_up(
        self, start: tf.Tensor, count: tf.Tensor, shift: Tensors, step: tf.Tensor, kl_weight: tf.Tensor
    ) -> tuple[Tensors, dict[str, tf.Tensor]]:
        """Σ d and Σ ‖d‖² of each group over `count` repeats from `start` on, where d is a gradient minus `shift`."""

        def body(i: tf.Tensor, sums: Tensors, squares: dict[str, tf.Tensor]) -> tuple:
            found = self._gradients(i, step, kl_weight)
            d = tf.nest.map_structure(lambda g, s: tf.cast(g, tf.float64) - s, found, shift)
            squares = {group: squares[group] + sum(tf.reduce_sum(part**2) for part in d[group]) for group in d}
            return i + 1, tf.nest.map_structure(tf.add, sums, d), squares

        zeros = tf.nest.map_structure(tf.zeros_like, shift)
        state = (start, zeros, {group: tf.zeros([], tf.float64) for group in shift})
        _, sums, squares = tf.while_loop(lambda i, *_: i < start + count, body, state, parallel_iterations=1)
        return sums, squares


def _now(step: int, kl_weight: float) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(step, tf.int64), tf.constant(kl_weight, keras.config.floatx())


def _flat(parts: Sequence[tf.Tensor]) -> np.ndarray:
    return np.concatenate([part.numpy().ravel() for part in parts])
