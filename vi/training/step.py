"""The train step: particles, losses, gradients, updates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from vi.errors import ConfigError
from vi.estimators import Estimator
from vi.models.base import Model
from vi.ops import global_norm
from vi.particles import GROUPS, Batch, Losses, Noise, Particles
from vi.substitution import Pair

Gradients = dict[str, list[tf.Tensor]]
"""The gradients of each group, a tensor for each variable."""
Optimizers = Mapping[str, keras.optimizers.Optimizer]
"""An optimizer for each group: "generative" (θ), "inference" (φ) and "auxiliary" (ψ)."""
UNSUPPORTED = {
    "use_ema": "the averaged weights would be neither evaluated nor saved as the model's",
    "loss_scale_factor": "the losses are not scaled, so the gradients would be too small",
}
"""Options of Keras's optimizers that would silently give wrong results here, and the reason."""


class GroupLosses(NamedTuple):
    """The losses of each datum of the batch, and their means over the batch by group."""

    losses: Losses
    means: dict[str, tf.Tensor]


class TrainStep:
    """One step of training a model by an estimator.

    Args:
        model: the model.
        estimator: gives the losses.
        optimizers: an optimizer for each group; a group without variables does not use its optimizer.
        beta: the KL weight β, a number or a Keras schedule of the step.
        update_every: n by group: the group is updated at every n-th step, 1 by default. A schedule of the group's
            learning rate counts the updates of the group.

    Raises:
        ConfigError: the estimator does not fit the model, or an optimizer has an option that cannot work here.
    """

    def __init__(
        self,
        model: Model,
        estimator: Estimator,
        optimizers: Optimizers,
        *,
        beta: float | keras.optimizers.schedules.LearningRateSchedule = 1.0,
        update_every: Mapping[str, int] | None = None,
    ):
        self.model, self.estimator = model, estimator
        self._beta, self._update_every = beta, dict(update_every or {})
        for variable in estimator.auxiliary_variables:
            if not isinstance(variable, keras.Variable):
                raise ConfigError(
                    f"estimator={type(estimator).__name__}: auxiliary_variables must be Keras variables, not "
                    f"{type(variable).__name__}."
                )
        auxiliary = [variable for variable in estimator.auxiliary_variables if variable.trainable]
        groups = (model.generative_variables, model.inference_variables, auxiliary)
        self.variables = {name: list(group) for name, group in zip(GROUPS, groups, strict=True) if group}
        self.optimizers = {name: optimizers[name] for name in self.variables}
        for name, optimizer in self.optimizers.items():
            for option, why in UNSUPPORTED.items():
                if getattr(optimizer, option, None):
                    raise ConfigError(f"optimizer.{option}: must be left out, since {why}.")
            optimizer.build(self.variables[name])

    def __call__(self, batch: Batch, noise: Noise, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step; returns its metrics, scalars."""
        particles, losses, gradients = self.differentiate(batch, noise, step)
        metrics = self.metrics(particles, losses, gradients)
        for variable, value in particles.updates:  # first, since spectral normalization assigns weights
            variable.assign(value)
        for group in self.variables:
            self._apply(group, gradients[group], step)
        self.estimator.update(particles)
        return metrics

    def differentiate(self, batch: Batch, noise: Noise, step: tf.Tensor) -> tuple[Particles, GroupLosses, Gradients]:
        """The particles of a batch and its noise, the losses with their means, and the gradients of each group."""
        with tf.GradientTape(persistent=True) as tape:
            particles = self.model.particles(batch, noise, self._kl_weight(batch, step), step)
            losses = self.estimator.checked_losses(particles, step)
            means = self._means(losses, particles)
        gradients = take_gradients(tape, means, self.variables, particles.aliases)
        return particles, GroupLosses(losses, means), gradients

    def metrics(self, particles: Particles, losses: GroupLosses, gradients: Gradients) -> dict[str, tf.Tensor]:
        """The metrics of a step, scalars, in nats per datum. The step is finite if and only if all of them are."""
        of_data = {"train/nll": -particles.mean(particles.log_likelihood)}
        if not particles.posterior.relaxed:
            of_data |= kl_metrics(particles)
        of_data["train/bound"] = self.estimator.bound(particles)
        self._require_rows("bound", of_data["train/bound"], particles)
        metrics = dict(zip(of_data, _means(list(of_data.values()), particles), strict=True))
        if "train/kl" in metrics:
            metrics["train/elbo"] = -metrics["train/nll"] - metrics["train/kl"]
        metrics["train/loss"] = next(iter(losses.means.values()))
        for group, mean in losses.means.items():
            if mean is not metrics["train/loss"]:
                metrics[f"train/loss_{group}"] = mean
        return metrics | {f"gradient_norm/{group}": global_norm(g) for group, g in gradients.items()}

    def try_out(self, batch: Batch, noise: Noise) -> list[str]:
        """Computes a step without an update; returns the names of the metrics.

        Raises:
            ConfigError: the estimator does not fit the model, or the step reads weights that no group holds.
        """
        with tf.GradientTape() as tape:
            found = self.differentiate(batch, noise, tf.constant(0, tf.int64))
        self.require_all(tape.watched_variables())
        return list(self.metrics(*found))

    def require_all(self, read: Sequence[tf.Variable] = ()) -> None:
        """Refuses weights that would never be trained.

        Args:
            read: trainable variables that a step has read.

        Raises:
            ConfigError: no group holds a variable that was read, or that a component has made after the groups were
                formed.
        """
        trained = {id(v) for group in self.variables.values() for v in group}
        own = [*self.model.variables, *self.estimator.auxiliary_variables]
        late = [v.path for v in own if v.trainable and id(v) not in trained]
        known = {id(v.value) for v in own}
        late += [v.name for v in read if id(v) not in known]
        if late:
            raise ConfigError(
                f"the weights {', '.join(late[:3])}{', …' if late[3:] else ''} would never be trained: they belong to "
                "no component, or were made after the parameter groups; make them as attributes of the component, in "
                "its constructor or when it is first called."
            )

    def beta(self, step: int | tf.Tensor) -> float | tf.Tensor:
        """The KL weight at a step."""
        return tf.cast(self._beta(step), keras.config.floatx()) if callable(self._beta) else float(self._beta)

    def _kl_weight(self, batch: Batch, step: tf.Tensor) -> float | tf.Tensor:
        """β, a scalar; or `[B]` if each datum has its own factor."""
        return self.beta(step) if batch.kl_weight is None else self.beta(step) * batch.kl_weight

    def _means(self, losses: Losses, particles: Particles) -> dict[str, tf.Tensor]:
        """The mean loss of each group, with the regularizers of the estimator's own networks."""
        for group, loss in zip(GROUPS, losses, strict=True):
            if group in self.variables:
                self._require_rows(f"the {group} loss (by default −bound)", loss, particles)
        means = group_means(losses, particles, self.variables)
        regularized = [v for v in self.variables.get("auxiliary", ()) if v.regularizer is not None]
        if regularized and "auxiliary" in means:
            means["auxiliary"] += tf.add_n([v.regularizer(v.value) for v in regularized])
        return means

    def _apply(self, group: str, gradients: list[tf.Tensor], step: tf.Tensor) -> None:
        def update() -> None:
            self.optimizers[group].apply(gradients, self.variables[group])

        every = self._update_every.get(group, 1)
        if every == 1:
            update()
        else:
            tf.cond(step % every == 0, update, lambda: None)

    def _require_rows(self, what: str, value: Any, particles: Particles) -> None:
        """Raises ConfigError unless `value` is a tensor `[B]`; runs when the step is traced."""
        rows = particles.log_likelihood.shape[0]
        if not tf.is_tensor(value) or value.shape != (rows,):
            found = f"has shape {tuple(value.shape)}" if tf.is_tensor(value) else f"is a {type(value).__name__}"
            raise ConfigError(
                f"estimator={type(self.estimator).__name__}: {what} {found} for a batch of {rows} data, but must be a "
                "tensor [B]."
            )


def take_gradients(
    tape: tf.GradientTape,
    losses: Mapping[str, tf.Tensor],
    variables: Mapping[str, Sequence[keras.Variable]],
    aliases: Sequence[Pair] = (),
) -> Gradients:
    """The gradient of each group's loss by its own variables; groups that share a loss share a backward pass.

    If p reads an alias of a variable, the variable's gradient includes the gradient of θ's loss by the alias.
    """
    zero = tf.UnconnectedGradients.ZERO
    gradients: Gradients = {}
    for loss in {id(loss): loss for loss in losses.values()}.values():
        groups = [group for group in losses if losses[group] is loss and group in variables]
        flat = [v.value for group in groups for v in variables[group]]
        taken = iter(tape.gradient(loss, flat, unconnected_gradients=zero))
        gradients |= {group: [next(taken) for _ in variables[group]] for group in groups}
    if aliases and "generative" in losses:
        by_alias = tape.gradient(losses["generative"], [alias for _, alias in aliases], unconnected_gradients=zero)
        of_p = {id(variable): g for (variable, _), g in zip(aliases, by_alias, strict=True)}
        for group in gradients:
            pairs = zip(variables[group], gradients[group], strict=True)
            gradients[group] = [g + of_p[id(v)] if id(v) in of_p else g for v, g in pairs]
    return gradients


def group_means(losses: Losses, particles: Particles, groups: Collection[str]) -> dict[str, tf.Tensor]:
    """The loss of each group per datum: the weighted mean over the batch, and the penalties of its layers.

    Groups that share a loss share their penalties too, so that one backward pass serves them. A group without a loss is
    left out. θ's loss is there even if θ is empty, as long as p reads φ.
    """
    weight = particles.batch.weight
    means: dict[str, tf.Tensor] = {}
    needed = {*groups, *(["generative"] if particles.aliases else [])}
    pairs = zip(GROUPS, losses, strict=True)
    by_group = {group: loss for group, loss in pairs if group in needed and loss is not None}
    for group, loss in by_group.items():
        sharing = [other for other in by_group if by_group[other] is loss]
        if group == sharing[0]:
            mean = _mean(loss if weight is None else weight * loss, particles)
            for penalty in (particles.penalties[other] for other in sharing if other in particles.penalties):
                mean += penalty
            means |= dict.fromkeys(sharing, mean)
    return {group: means[group] for group in by_group}


def _means(rows: list[tf.Tensor], particles: Particles) -> list[tf.Tensor]:
    """The means of several values `[B]` per datum, by one reduction."""
    means = tf.reduce_mean(tf.stack(rows), axis=1)
    return tf.unstack(means if particles.data == 1 else means / particles.data)


def _mean(values: tf.Tensor, particles: Particles) -> tf.Tensor:
    """The mean of values `[B]` per datum."""
    mean = tf.reduce_mean(values)
    return mean if particles.data == 1 else mean / particles.data


def kl_metrics(particles: Particles) -> dict[str, tf.Tensor]:
    """KL(q(z|x) ‖ p(z)), `[B]`, in closed form or else from samples; with several layers also the KL of each.

    Empty if the posterior or the prior is implicit.
    """
    try:
        terms = particles.kl_terms()
        layers = {f"train/kl/{name}": term for name, term in terms.items()} if len(terms) > 1 else {}
        return {"train/kl": tf.add_n(list(terms.values())), **layers}
    except ConfigError:
        pass
    try:
        return {"train/kl": particles.mean(particles.log_ratio)}
    except ConfigError:
        return {}
