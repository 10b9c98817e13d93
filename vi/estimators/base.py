"""The contract of an estimator of the ELBO, documented here once."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from vi.errors import ConfigError
from vi.kinds import Positive
from vi.particles import Draws, Losses, Particles

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Estimator(abc.ABC):
    """An estimator of log p(x), or of a bound on it, and the losses that train the model by it.

    A subclass writes `bound`, and is complete: θ and φ then descend its negative. It sees `Particles`, never a model.
    For example, the importance-weighted bound (Burda et al., 2015):

        class IWAE(Estimator):
            def bound(self, particles):
                return particles.iw_bound()

    A subclass may also replace `kind`, `exchangeable`, `pathwise`, `linear`, `enumerable`, `draws`, `objective`,
    `losses`, `build`, `auxiliary_variables` and `update`, and nothing else. `vi-check my_module.MyEstimator` proves
    what it promises.

    Args:
        samples: S, the samples of the posterior for each datum.

    Attributes:
        kind: what `bound` is in expectation: a "lower" or an "upper" bound on log p(x), or an "estimate" that bounds
            nothing.
        exchangeable: True if `bound` is the same for every order of the samples; False where samples are grouped.
        pathwise: True if φ follows gradients along the path of z. A posterior that is not reparameterized is then
            refused. False only with `losses` whose gradients need no path.
        linear: True if every loss is linear in the log weights. Only then is it unbiased on a part of the data of a
            model with global latents, whose log-likelihood is scaled up from a minibatch.
        enumerable: True if every loss is exact where samples stand for different masses (`Particles.mass`), and teaches
            the masses too.
    """

    kind: Literal["lower", "upper", "estimate"] = "lower"
    exchangeable: bool = True
    pathwise: bool = True

    linear: bool = False
    enumerable: bool = False

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

        By default it is −`bound` for θ and for φ, with the log prior and log posterior weighted by β
        (`Particles.tempered`). An objective that replaces it weighs by β itself, with `particles.tempered()` or with
        `particles.kl_weight`. Where θ and φ share a loss, it returns the same tensor twice, not two equal ones. A group
        that follows no objective, such as φ in a wake phase, has None. An upper bound has no default, since −`bound`
        would raise it: θ may ascend a lower bound of the same samples, and φ descend the upper one.

        Args:
            particles: of one batch.
            step: the number of the step, from 0; for schedules and alternating updates.

        Raises:
            ConfigError: `kind` is "upper", and the estimator has no objective.
        """
        if self.kind == "upper":
            raise ConfigError(
                f'{type(self).__name__}: kind="upper" needs an `objective`, since −bound would raise the bound.'
            )
        loss = -self.bound(particles.tempered())
        return Losses(generative=loss, inference=loss)

    def losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """What is differentiated, `[B]` each: by default the `objective`, along the path of z.

        Other losses are surrogates. Whatever their values, their gradients equal the objective's in expectation, with
        less variance, or without a path for a posterior that is not reparameterized (`pathwise`).
        """
        return self.objective(particles, step)

    def checked_losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """The `losses`, if their gradients are what they promise for these particles; not to be replaced.

        Raises:
            ConfigError: the estimator does not fit the posterior or the data, or `losses` returns something else.
        """
        name, posterior, batch = type(self).__name__, particles.posterior, particles.batch
        if self.pathwise and not posterior.reparameterized:
            raise ConfigError(
                f"{name} follows gradients through z, but the posterior {posterior.name} is not reparameterized; use "
                "estimator=vimco, score_function, reweighted_wake_sleep or wake_sleep, or your own estimator without a "
                "path (pathwise = False)."
            )
        if particles.mass is not None and not self.enumerable:
            raise ConfigError(
                f"{name} does not teach the probabilities of enumerated latents, which the posterior {posterior.name} "
                "has; use estimator=analytic_kl or monte_carlo_kl."
            )
        if particles.data != 1 and not self.linear and batch.x.shape[0] != batch.size:
            raise ConfigError(
                f"{name} is biased for global latents on a part of the data: it is not linear in the log weights; set "
                f"trainer.batch_size to all {batch.size} data, or use estimator=analytic_kl, monte_carlo_kl or stl."
            )
        losses = self.losses(particles, step)
        if not isinstance(losses, Losses):
            raise ConfigError(f"estimator={name}: losses must return a vi.particles.Losses.")
        return losses

    def build(self, event_shape: tuple[int, ...], latent_dim: int) -> None:  # noqa: B027 (a hook)
        """Makes the estimator's own networks (ψ), before anything is compiled. By default there are none."""

    @property
    def auxiliary_variables(self) -> Sequence[keras.Variable]:
        """The estimator's own Keras variables, which checkpoints hold beside the model's.

        `Losses.auxiliary` trains the trainable ones (ψ). `update` may change the others.
        """
        return ()

    def update(self, particles: Particles) -> None:
        """Changes what the estimator keeps besides ψ, such as a moving average, at the end of each train step."""
        return  # AutoGraph warns of a body that is a docstring alone
