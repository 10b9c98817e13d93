"""The contract of an estimator of the ELBO, documented here once."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from vi.errors import ConfigError
from vi.kinds import Positive
from vi.particles import Draws, Losses, Particles

if TYPE_CHECKING:
    import tensorflow as tf


class Estimator(abc.ABC):
    """An estimator of log p(x), or of a bound of it, and the losses that train the model by it.

    A subclass writes `bound`, and is complete: its negative is what θ and φ descend. It sees `Particles`
    and never a model. For example, the importance-weighted bound (Burda et al., 2015):

        class IWAE(Estimator):
            def bound(self, particles):
                return log_mean_exp(particles.log_weight, axis=1)

    What a subclass may replace besides `bound`, and nothing else: `kind`, `exchangeable`, `pathwise`, `draws`,
    `objective`, `losses`, `build`, `auxiliary_variables` and `update`. `vi-check my_module.MyEstimator` proves what it
    promises.

    Args:
        samples: S, the samples of the posterior for each datum.

    Attributes:
        kind: what `bound` is in expectation: a "lower" or an "upper" bound of log p(x), or an "estimate"
            that bounds nothing.
        exchangeable: whether `bound` is the same for every order of the samples; False where they are
            grouped.
        pathwise: whether φ follows gradients along the path of z, so that a posterior that is not reparameterized is
            refused; False only with `losses` whose gradients need none.
    """

    kind: Literal["lower", "upper", "estimate"] = "lower"
    exchangeable: bool = True
    pathwise: bool = True

    def __init__(self, samples: Annotated[int, Positive] = 1):
        self.samples = samples

    @property
    def draws(self) -> Draws:
        """How many samples of each kind `Particles` must hold for each datum."""
        return Draws(posterior=self.samples)

    @abc.abstractmethod
    def bound(self, particles: Particles) -> tf.Tensor:
        """The estimator's own value for each datum, `[B]`, in nats; never weighted by β."""

    def objective(self, particles: Particles, step: tf.Tensor) -> Losses:
        """What θ, φ and ψ descend in expectation, `[B]` each, in nats, differentiable along the path of z.

        By default −`bound` for θ and for φ, in which the log prior and log posterior are weighted by β
        (`Particles.tempered`). An objective of one's own weighs by β itself, with `particles.tempered()` or with
        `particles.kl_weight`; and returns the same tensor twice, not two equal ones, where θ and φ share it. A group
        that follows no objective, as φ in a wake phase, has None there. For an upper bound there is no default, which
        would raise it: θ may ascend a lower bound of the same samples, and φ descend the upper one.

        Args:
            particles: of one batch.
            step: the number of the step, from 0; for schedules and alternating updates.

        Raises:
            ConfigError: `kind` is "upper", and there is no objective of its own.
        """
        if self.kind == "upper":
            raise ConfigError(
                f'{type(self).__name__}: kind="upper" needs an `objective` of its own, for −bound would raise it.'
            )
        loss = -self.bound(particles.tempered())
        return Losses(generative=loss, inference=loss)

    def losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """What is differentiated, `[B]` each: by default the `objective`, along the path of z.

        Losses of one's own are surrogates: whatever their values, their gradients are in expectation those of the
        objective, with less variance, or without a path, for a posterior that is not reparameterized (`pathwise`).
        """
        return self.objective(particles, step)

    def checked_losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """The `losses`, where their gradients are what they promise; not to be replaced.

        Raises:
            ConfigError: it is `pathwise` and the posterior is not reparameterized, or `losses` returns something else.
        """
        name, posterior = type(self).__name__, particles.posterior
        if self.pathwise and not posterior.reparameterized:
            raise ConfigError(
                f"{name} follows gradients through z, but the posterior {posterior.name} is not reparameterized; use "
                "estimator=vimco, score_function, reweighted_wake_sleep or wake_sleep, or one of your own that needs "
                "no path (pathwise = False)."
            )
        losses = self.losses(particles, step)
        if not isinstance(losses, Losses):
            raise ConfigError(f"estimator={name}: losses must return a vi.types.Losses.")
        return losses

    def build(self, event_shape: tuple[int, ...], latent_dim: int) -> None:  # noqa: B027 (a hook)
        """Makes the networks of the estimator's own (ψ), before anything is compiled. By default none."""

    @property
    def auxiliary_variables(self) -> Sequence[Any]:
        """The Keras variables that are the estimator's own, saved with the model's.

        `Losses.auxiliary` trains those that are trainable (ψ); `update` may change the others.
        """
        return ()

    def update(self, particles: Particles) -> None:
        """Changes what the estimator keeps besides ψ, as a moving average, at the end of each train step."""
        return  # AutoGraph warns of a body that is a docstring alone
