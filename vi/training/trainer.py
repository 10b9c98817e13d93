"""The compiled loop over train steps."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import keras
import tensorflow as tf

from vi.graphs import Graph
from vi.products import Matmul, multiplying
from vi.training.batches import Batches, Window, explained_memory
from vi.training.step import TrainStep

State = tuple[tf.Tensor, ...]
"""The tensors that a loop carries."""


class Trainer:
    """Takes many train steps in one compiled loop.

    All randomness is a function of (seed, stream, step). Under XLA the result is therefore bit for bit the same for
    every split of the steps into calls of `run`.

    Args:
        train_step: the step.
        batches: the data and the noise of each step.
        jit: whether XLA compiles the loop.
        matmul: the precision of the networks' matrix products and convolutions in a step.
        block: the steps are taken in loops of this many steps, a number that XLA knows; the steps that are left over
            are taken one by one. A GPU then needs no word from the host between the steps of a block.

    Attributes:
        step: the number of the next step.
        sums: the sums of the metrics over the steps since the last `averages`, and the number of steps.

    Raises:
        ConfigError: the estimator does not fit the model.
        RunError: out of memory.
    """

    def __init__(
        self, train_step: TrainStep, batches: Batches, *, jit: bool = True, matmul: Matmul = "float32", block: int = 1
    ):
        self.train_step, self.batches = train_step, batches
        self.jit, self.matmul, self.block = jit, matmul, block
        self.model, self.estimator = train_step.model, train_step.estimator
        self.variables, self.optimizers = train_step.variables, train_step.optimizers
        self.size, self.batch_size, self.seed = batches.size, batches.batch_size, batches.seed
        few = next(n for n in range(2, 8) if n not in self.estimator.draws)  # no two axes have the same size
        with self._memory():
            self.metric_names = train_step.try_out(*batches.some(few))
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.sums = tf.Variable(tf.zeros([len(self.metric_names) + 1], tf.float64), trainable=False)
        self._loop = Graph(self._take_blocks, jit)

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
        while (good := self._take(start, steps)) < steps:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
            steps = good
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

    @property
    def programs(self) -> int:
        """The number of programs that have been compiled."""
        return self._loop.function.experimental_get_tracing_count()

    def _take(self, start: int, steps: int) -> int:
        """Takes `steps` steps; returns how many there are before the first one whose metrics are not finite."""
        taken = 0
        while taken < steps:
            window, served = self.batches.window(start + taken, steps - taken)
            block = self.block if served >= self.block else 1
            count = served // block * block
            good = self._call(window, served // block, block)
            taken += good
            if good < count:
                break
        return taken

    def _call(self, window: Window, blocks: int, block: int) -> int:
        """One compiled call; returns the number of its steps before the first one that is not finite."""
        first = not self.programs
        with self._memory(), self.multiplying():
            good = self._loop(window, tf.constant(blocks, tf.int64), block)
        if first:
            self.train_step.require_all()
        return int(good)

    def _take_blocks(self, window: Window, blocks: tf.Tensor, block: int) -> tf.Tensor:
        """Takes blocks · block train steps; returns the number of steps before the first one that is not finite."""
        start = tf.identity(self.step)

        def take_step(step: tf.Tensor, good: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            batch, noise = self.batches.next(step, window)
            metrics = self.train_step(batch, noise, step)
            values = tf.cast(tf.stack([metrics[name] for name in self.metric_names]), tf.float64)
            self.sums.assign_add(tf.concat([values, [1.0]], 0))
            finite = tf.reduce_all(tf.math.is_finite(values)) & (good == step - start)
            return step + 1, good + tf.cast(finite, tf.int64)

        def take_block(step: tf.Tensor, good: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            if block == 1:
                return take_step(step, good)
            state = (tf.constant(0), step, good)
            _, step, good = loop(lambda i, *_: i < block, lambda i, *state: (i + 1, *take_step(*state)), state)
            return step, good

        end = start + blocks * block
        step, good = loop(lambda step, good: step < end, take_block, (start, tf.constant(0, tf.int64)))
        self.step.assign(step)
        return good

    def _memory(self) -> contextlib.AbstractContextManager[None]:
        return explained_memory(self.batch_size, self.estimator.draws)


def loop(condition: Callable[..., tf.Tensor], body: Callable[..., State], state: State) -> State:
    """`tf.while_loop` in order: an iteration starts when the one before has ended."""
    return tf.while_loop(condition, body, state, parallel_iterations=1)
