"""Training: the train step, and the compiled loop over steps."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import keras
import tensorflow as tf

from vi import random
from vi.errors import ConfigError, RunError
from vi.estimators.base import Estimator
from vi.particles import GROUPS, Losses, Noise, Particles


class GroupLosses(NamedTuple):
    """What each group descends: for each datum of the batch, and its mean over the batch, by group."""

    losses: Losses
    means: dict[str, tf.Tensor]


class Trainer:
    """Trains a model by an estimator, on data that are resident in memory, in one compiled loop over steps.

    Step t takes the positions tB … tB+B−1 of the endless sequence perm(0), perm(1), … of random orders of the
    data, so every datum is seen equally often. All randomness is a function of (seed, stream, step): under
    XLA the result is the same, bit for bit, however the steps are split over calls of `run`.

    Args:
        model: a `LatentVariableModel`.
        estimator: what it is trained by.
        data: a `Dataset`, of which `train` is used.
        optimizers: a Keras optimizer for each of "generative" (θ), "inference" (φ) and "auxiliary" (ψ).
        batch_size: B.
        seed: of the order of the data, of binarization, and of noise.
        beta: the KL weight β, a number or a Keras schedule of the step.
        noise: "fresh" at every step, or "fixed": each datum has its own eps, drawn once and used in every epoch.
        update_every: the parameters of a group are updated at every n-th step only, 1 by default; a schedule of
            its learning rate counts its updates.
        jit: whether XLA compiles the loop.

    Raises:
        ConfigError: B exceeds the number of data, or the estimator does not fit the model.
    """

    def __init__(
        self,
        model: Any,
        estimator: Estimator,
        data: Any,
        optimizers: Mapping[str, keras.optimizers.Optimizer],
        *,
        batch_size: int,
        seed: int = 0,
        beta: float | keras.optimizers.schedules.LearningRateSchedule = 1.0,
        noise: Literal["fresh", "fixed"] = "fresh",
        update_every: Mapping[str, int] | None = None,
        jit: bool = True,
    ):
        size = len(data.train)
        if batch_size > size:
            raise ConfigError(
                f"trainer.batch_size={batch_size}: exceeds the {size} training data that are not held out."
            )
        self.model, self.estimator, self.data = model, estimator, data
        self.batch_size, self.size, self.seed, self.jit = batch_size, size, seed, jit
        self._beta, self._update_every = beta, dict(update_every or {})
        self._noise_table: Noise | None = None
        if noise == "fixed":
            with self._memory():
                self._noise_table = self._draw_noise(tf.range(size), 0)
        for variable in estimator.auxiliary_variables:
            if not isinstance(variable, keras.Variable):
                raise ConfigError(
                    f"estimator={type(estimator).__name__}: auxiliary_variables must be Keras variables, not "
                    f"{type(variable).__name__}."
                )
        auxiliary = [variable for variable in estimator.auxiliary_variables if variable.trainable]
        groups = (model.generative_variables, model.inference_variables, auxiliary)
        self.variables = {name: group for name, group in zip(GROUPS, groups, strict=True) if group}
        self.optimizers = {name: optimizers[name] for name in self.variables}
        for name, optimizer in self.optimizers.items():
            optimizer.build(self.variables[name])
        few = next(n for n in range(2, 8) if n not in estimator.draws)  # so that no axis passes for another
        with self._memory():  # a step without its update: names the metrics, and refuses what does not fit
            index, step = tf.range(min(few, size)), tf.constant(0, tf.int64)
            found = self.differentiate(self.batch(index, step), self.noise(index, step), index, step)
            self.metric_names = list(self.metrics(*found))
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.sums = tf.Variable(tf.zeros([len(self.metric_names) + 1], tf.float64), trainable=False)
        self._order: tuple[tf.Tensor, tf.Tensor] | None = None
        self._loop = tf.function(self._run_steps, jit_compile=jit)

    def train_step(self, index: tf.Tensor, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step on the batch `index` `[B]`, positions in the training data; returns its metrics, scalars."""
        x, noise = self.batch(index, step), self.noise(index, step)
        particles, losses, gradients = self.differentiate(x, noise, index, step)
        metrics = self.metrics(particles, losses, gradients)
        for group in self.variables:
            self._apply(group, gradients[group], step)
        self.estimator.update(particles)
        return metrics

    def differentiate(
        self, x: tf.Tensor, noise: Noise, index: tf.Tensor, step: tf.Tensor
    ) -> tuple[Particles, GroupLosses, dict[str, list]]:
        """The particles of a batch and its noise, the losses with their means, and the gradients of each group."""
        with tf.GradientTape(persistent=True) as tape:
            particles = self.model.particles(x, noise, self._kl_weight(index, step), step)
            losses = self.estimator.checked_losses(particles, step)
            means = self._means(losses, index)
        return particles, GroupLosses(losses, means), take_gradients(tape, means, self.variables)

    def run(self, steps: int) -> bool:
        """Trains for so many steps in one compiled call, or up to the first one with a metric that is not finite.

        That step is then not taken: it is the next one, and all variables are as they were before it. To watch
        costs one copy of the variables a call: from it, the steps before that one are taken again.

        Returns:
            Whether all steps were taken.

        Raises:
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
        """Passes over the next step: it changes nothing but the count of steps."""
        self.step.assign_add(1)

    def index(self, step: int) -> tf.Tensor:
        """The batch of a step, as positions in the training data, `[B]`."""
        epoch, start = divmod(step * self.batch_size, self.size)
        return tf.concat([self._permutation(epoch), self._permutation(epoch + 1)], 0)[start:][: self.batch_size]

    def batch(self, index: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The data `index` `[B]` as the model sees them at a step, `[B, *event]`."""
        return self.data.batch(self.data.train, index, self._seed("binarization", step))

    def noise(self, index: tf.Tensor, step: tf.Tensor) -> Noise:
        """The noise of one step: fresh, or each datum's own."""
        if self._noise_table is None:
            return self._draw_noise(index, step)
        return tf.nest.map_structure(lambda t: None if t is None else tf.gather(t, index), self._noise_table)

    def beta(self, step: int | tf.Tensor) -> float | tf.Tensor:
        """The KL weight at a step."""
        return tf.cast(self._beta(step), keras.config.floatx()) if callable(self._beta) else float(self._beta)

    def _kl_weight(self, index: tf.Tensor, step: tf.Tensor) -> float | tf.Tensor:
        """β, or `[B]` where each datum has a weight of its own besides."""
        beta, weight = self.beta(step), self.data.train.kl_weight
        return beta if weight is None else beta * tf.cast(tf.gather(weight, index), keras.config.floatx())

    def learning_rate(self, group: str) -> float:
        """The learning rate of a group now."""
        return float(self.optimizers[group].learning_rate)

    def averages(self) -> dict[str, float]:
        """The means of the metrics over the steps since the last call; none where no step was taken."""
        *sums, count = self.sums.numpy().tolist()
        self.sums.assign(tf.zeros_like(self.sums))
        return {name: total / count for name, total in zip(self.metric_names, sums, strict=True)} if count else {}

    def mean_bound(self) -> float:
        """The mean of the estimator's bound over the steps since the last `averages`."""
        *sums, count = self.sums.numpy().tolist()
        return sums[self.metric_names.index("train/bound")] / count if count else math.nan

    @property
    def state(self) -> dict[str, list]:
        """All variables that determine the rest of the training, by name."""
        optimizers = {f"optimizer_{name}": o.variables for name, o in self.optimizers.items()}
        auxiliary = list(self.estimator.auxiliary_variables)
        return {
            "model": self.model.variables,
            "auxiliary": auxiliary,
            "loop": [self.step, self.sums],
            **optimizers,
        }

    def _call(self, steps: int) -> bool:
        """One compiled call; returns whether the metrics of all its steps were finite."""
        epoch = int(self.step.numpy()) * self.batch_size // self.size
        if self._order is None or not 0 <= epoch - int(self._order[1].numpy()) <= 1:  # at the start, or restored
            order = tf.concat([self._permutation(epoch), self._permutation(epoch + 1)], 0)
            self._order = order, tf.constant(epoch, tf.int64)
        with self._memory():
            order, now, finite = self._loop(*self._order, tf.constant(steps, tf.int64))
        self._order = order, now
        return bool(finite)

    def _run_steps(self, order: tf.Tensor, epoch: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """`steps` train steps, up to one that is not finite; whether there was none is returned.

        `order` `[2N]` holds the orders of `epoch` and the next, as does the result.
        """
        end = self.step + steps
        batch_size, size = self.batch_size, self.size

        def body(step, order, epoch, finite):
            now = step * batch_size // size
            order = tf.cond(
                now > epoch, lambda: tf.concat([order[size:], self._permutation(now + 1)], 0), lambda: order
            )
            start = tf.cast(step * batch_size - now * size, tf.int32)
            metrics = self.train_step(tf.slice(order, [start], [batch_size]), step)
            values = tf.cast(tf.stack([metrics[name] for name in self.metric_names]), tf.float64)
            self.sums.assign_add(tf.concat([values, [1.0]], 0))
            return step + 1, order, now, tf.reduce_all(tf.math.is_finite(values))

        step, order, epoch, finite = tf.while_loop(
            lambda step, order, epoch, finite: finite & (step < end),
            body,
            [tf.identity(self.step), order, epoch, True],
            parallel_iterations=1,
        )
        self.step.assign(step)
        return order, epoch, finite

    def _means(self, losses: Losses, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """The mean loss over the batch of each group, weighted by the data's weights; equal losses stay one."""
        weight = self.data.train.weight
        if weight is not None:
            weight = tf.cast(tf.gather(weight, index), keras.config.floatx())
        means: dict[int, tf.Tensor] = {}
        by_group = {}
        for group, loss in zip(GROUPS, losses, strict=True):
            if group in self.variables:
                if id(loss) not in means:
                    self._check(f"the {group} loss (by default −bound)", loss, index)
                    means[id(loss)] = tf.reduce_mean(loss if weight is None else weight * loss)
                by_group[group] = means[id(loss)]
        return by_group

    def metrics(self, particles: Particles, losses: GroupLosses, gradients: dict) -> dict[str, tf.Tensor]:
        """What is logged of a step, scalars; it is finite if and only if they are."""
        metrics = {"train/nll": -tf.reduce_mean(particles.log_likelihood)}
        if particles.log_posterior is not None and not self.model.posterior.relaxed:
            metrics["train/kl"] = tf.reduce_mean(particles.log_posterior - particles.log_prior)
            metrics["train/elbo"] = -metrics["train/nll"] - metrics["train/kl"]
        bound = self.estimator.bound(particles)
        self._check("bound", bound, particles.x)
        metrics["train/bound"] = tf.reduce_mean(bound)
        metrics["train/loss"] = next(iter(losses.means.values()))
        for group, mean in losses.means.items():
            if mean is not metrics["train/loss"]:
                metrics[f"train/loss_{group}"] = mean
        return metrics | {f"gradient_norm/{group}": tf.linalg.global_norm(g) for group, g in gradients.items()}

    def _apply(self, group: str, gradients: list[tf.Tensor], step: tf.Tensor) -> None:
        def update():
            self.optimizers[group].apply(gradients, self.variables[group])

        every = self._update_every.get(group, 1)
        if every == 1:
            update()
        else:
            tf.cond(step % every == 0, update, lambda: None)

    def _check(self, what: str, value: Any, batch: tf.Tensor) -> None:
        """Refuses what is not `[B]`, when the step is traced."""
        if not tf.is_tensor(value) or value.shape != batch.shape[:1]:
            found = f"has shape {tuple(value.shape)}" if tf.is_tensor(value) else f"is a {type(value).__name__}"
            raise ConfigError(
                f"estimator={type(self.estimator).__name__}: {what} {found} for a batch of {batch.shape[0]} data, but "
                "must be a tensor [B]."
            )

    @contextlib.contextmanager
    def _memory(self) -> Iterator[None]:
        """Says in a sentence that memory ran out, and what it was needed for."""
        try:
            yield
        except tf.errors.ResourceExhaustedError:
            raise RunError(
                f"out of memory with trainer.batch_size={self.batch_size} and {self.estimator.draws.posterior} "
                "samples for each datum; lower one of them."
            ) from None

    def _draw_noise(self, index: tf.Tensor, step) -> Noise:
        return self.model.noise(self.estimator.draws, index, random.seed(self.seed, "train"), step)

    def _seed(self, stream: str, step) -> tf.Tensor:
        return random.fold(random.seed(self.seed, stream), step)

    def _permutation(self, epoch) -> tf.Tensor:
        return random.permutation(self.size, self._seed("permutation", epoch))


def take_gradients(
    tape: tf.GradientTape, losses: Mapping[str, tf.Tensor], variables: Mapping[str, Sequence[Any]]
) -> dict[str, list[tf.Tensor]]:
    """The gradient of each group's loss by its own variables; groups of the same loss share a backward pass."""
    gradients: dict[str, list[tf.Tensor]] = {}
    for loss in {id(loss): loss for loss in losses.values()}.values():
        groups = [group for group in losses if losses[group] is loss]
        flat = [v.value for group in groups for v in variables[group]]
        taken = iter(tape.gradient(loss, flat, unconnected_gradients=tf.UnconnectedGradients.ZERO))
        gradients |= {group: [next(taken) for _ in variables[group]] for group in groups}
    return gradients
