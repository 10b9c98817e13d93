"""The compiled loop over train steps."""

from __future__ import annotations

import contextlib
import math

import keras
import tensorflow as tf

from vi.graphs import Graph
from vi.products import Matmul, multiplying
from vi.training.batches import Batches, Carried, explained_memory
from vi.training.step import TrainStep


class Trainer:
    """Takes many train steps in one compiled loop.

    All randomness is a function of (seed, stream, step). Under XLA the result is therefore bit for bit the same for
    every split of the steps into calls of `run`.

    Args:
        train_step: the step.
        batches: the data and the noise of each step.
        jit: whether XLA compiles the loop.
        matmul: the precision of the networks' matrix products and convolutions in a step.

    Attributes:
        step: the number of the next step.
        sums: the sums of the metrics over the steps since the last `averages`, and the number of steps.

    Raises:
        ConfigError: the estimator does not fit the model.
        RunError: out of memory.
    """

    def __init__(self, train_step: TrainStep, batches: Batches, *, jit: bool = True, matmul: Matmul = "float32"):
        self.train_step, self.batches, self.jit, self.matmul = train_step, batches, jit, matmul
        self.model, self.estimator = train_step.model, train_step.estimator
        self.variables, self.optimizers = train_step.variables, train_step.optimizers
        self.size, self.batch_size, self.seed = batches.size, batches.batch_size, batches.seed
        few = next(n for n in range(2, 8) if n not in self.estimator.draws)  # no two axes have the same size
        with self._memory():
            self.metric_names = train_step.try_out(*batches.some(few))
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.sums = tf.Variable(tf.zeros([len(self.metric_names) + 1], tf.float64), trainable=False)
        self._carried: Carried | None = None
        self._loop = Graph(self._run_steps, jit)

    def run(self, steps: int) -> bool:
        """Takes `steps` train steps in one compiled call.

        It stops before the first step whose metrics are not finite; that step is then the next one. Each call copies
        the variables first. To stop, it restores the copy and repeats the good steps.

        Returns:
            Whether all steps were taken.

        Raises:
            ConfigError: the first step has made weights that would never be trained.
            RunError: out of memory.
        """
        start, wanted = int(self.step.numpy()), steps
        variables = [variable for group in self.state.values() for variable in group]
        before = [tf.identity(variable) for variable in variables]
        while not self._call(steps):
            steps = int(self.step.numpy()) - 1 - start
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
        return steps == wanted

    def skip(self) -> None:
        """Skips the next step: only the count of steps changes."""
        self.step.assign_add(1)

    def beta(self, step: int | tf.Tensor) -> float | tf.Tensor:
        """The KL weight at a step."""
        return self.train_step.beta(step)

    def learning_rate(self, group: str) -> float:
        """The learning rate of a group now."""
        return float(self.optimizers[group].learning_rate)

    def averages(self) -> dict[str, float]:
        """The means of the metrics over the steps since the last call; empty if no step was taken."""
        *sums, count = self.sums.numpy().tolist()
        self.sums.assign(tf.zeros_like(self.sums))
        return {name: total / count for name, total in zip(self.metric_names, sums, strict=True)} if count else {}

    def mean_bound(self) -> float:
        """The mean of the estimator's bound over the steps since the last `averages`."""
        *sums, count = self.sums.numpy().tolist()
        return sums[self.metric_names.index("train/bound")] / count if count else math.nan

    @property
    def state(self) -> dict[str, list[keras.Variable | tf.Variable]]:
        """All variables that determine the rest of the training, by name."""
        optimizers = {f"optimizer_{name}": list(o.variables) for name, o in self.optimizers.items()}
        return {
            "model": list(self.model.variables),
            "auxiliary": list(self.estimator.auxiliary_variables),
            "loop": [self.step, self.sums],
            **optimizers,
        }

    def multiplying(self) -> contextlib.AbstractContextManager[None]:
        """The scope in which a train step is compiled and called, for the precision of its products."""
        return multiplying(self.matmul, self.jit)

    def _call(self, steps: int) -> bool:
        """One compiled call; returns whether the metrics of all its steps were finite."""
        first = self._carried is None
        carried = self.batches.carried(int(self.step.numpy()), self._carried)
        with self._memory(), self.multiplying():
            self._carried, finite = self._loop(carried, tf.constant(steps, tf.int64))
        if first:
            self.train_step.require_all()
        return bool(finite)

    def _run_steps(self, carried: Carried, steps: tf.Tensor) -> tuple[Carried, tf.Tensor]:
        """`steps` train steps, or all up to the first one that is not finite, and whether all were finite."""
        end = self.step + steps

        def body(step: tf.Tensor, carried: Carried, finite: tf.Tensor) -> tuple[tf.Tensor, Carried, tf.Tensor]:
            batch, noise, carried = self.batches.next(step, carried)
            metrics = self.train_step(batch, noise, step)
            values = tf.cast(tf.stack([metrics[name] for name in self.metric_names]), tf.float64)
            self.sums.assign_add(tf.concat([values, [1.0]], 0))
            return step + 1, carried, tf.reduce_all(tf.math.is_finite(values))

        step, carried, finite = tf.while_loop(
            lambda step, carried, finite: finite & (step < end),
            body,
            (tf.identity(self.step), carried, tf.constant(True)),
            parallel_iterations=1,
        )
        self.step.assign(step)
        return carried, finite

    def _memory(self) -> contextlib.AbstractContextManager[None]:
        return explained_memory(self.batch_size, self.estimator.draws)
