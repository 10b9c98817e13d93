"""The contract of an estimator of the ELBO, documented here once."""

from __future__ import annotations

import abc
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from vi.errors import ConfigError, SettingError
from vi.kinds import Positive
from vi.particles import Draws, Losses, Particles

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Estimator(abc.ABC):
    """An estimator of log p(x), or of a bound on log p(x), with the losses that train the model.

    A subclass needs only `bound`: by default θ and φ descend −`bound`. It sees `Particles`, never a model. For example,
    the importance-weighted bound (Burda et al., 2015):

        class IWAE(Estimator):
            def bound(self, particles):
                return particles.iw_bound()

    A subclass may also replace `kind`, `exchangeable`, `pathwise`, `linear`, `enumerable`, `draws`, `objective`,
    `losses`, `build`, `auxiliary_variables` and `update`, and nothing else. `vi-check my_module.MyEstimator` tests
    these properties.

    Args:
        samples: S, the samples of the posterior for each datum.

    Raises:
        SettingError: S is no whole number of at least 1.

    Attributes:
        kind: the kind of `bound` in expectation: a "lower" or an "upper" bound on log p(x), or an "estimate" that
            bounds nothing.
        exchangeable: True if `bound` is the same for every order of the samples; False where samples are grouped.
        pathwise: True if φ follows gradients along the path of z. A posterior that is not reparameterized is then
            refused. It may be False only if the gradients of `losses` need no path.
        linear: True if every loss is linear in the log weights. With global latents, the log-likelihood is scaled up
            from a minibatch. Only linear losses are then unbiased.
        enumerable: True if every loss weights the samples by their masses (`Particles.mass`), and has gradients by the
            masses.
    """

    kind: Literal["lower", "upper", "estimate"] = "lower"
    exchangeable: bool = True
    pathwise: bool = True

    linear: bool = False
    enumerable: bool = False

    def __init__(self, samples: Annotated[int, Positive] = 1):
        if not isinstance(samples, numbers.Integral) or samples < 1:
            raise SettingError("samples", samples, "must be a whole number of at least 1.")
        self.samples: int = int(samples)

    @property
    def draws(self) -> Draws:
        """The number of samples of each kind that `Particles` must hold for each datum.

        Raises:
            ConfigError: the constructor of a subclass has not called this one.
        """
        if not hasattr(self, "samples"):
            raise ConfigError(f"{type(self).__name__}: its __init__ must call super().__init__(samples).")
        return Draws(posterior=self.samples)

    @abc.abstractmethod
    def bound(self, particles: Particles) -> tf.Tensor:
        """The estimator's own value for each datum, `[B]`, in nats; never weighted by β."""

    def objective(self, particles: Particles, step: tf.Tensor) -> Losses:
        """The objectives of θ, φ and ψ in expectation, `[B]` each, in nats, differentiable along the path of z.

        By default it is −`bound` for θ and for φ, with the log prior and log posterior weighted by β
        (`Particles.tempered`). An objective that replaces it weighs by β itself, with `particles.tempered()` or with
        `particles.kl_weight`. If θ and φ share a loss, it returns the same tensor twice, not two equal tensors. It
        returns None for a group without an objective, such as φ in a wake phase. An upper bound has no default, since
        the descent of −`bound` would raise it. Instead θ may ascend a lower bound of the same samples while φ descends
        the upper bound.

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
        """The losses that are differentiated, `[B]` each: by default the `objective`, along the path of z.

        Other losses are surrogates. Their values may be arbitrary, but their gradients equal the objective's gradients
        in expectation. A surrogate has less variance, or needs no path of z (`pathwise = False`).
        """
        return self.objective(particles, step)

    def checked_losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """The `losses`, after a check that the estimator fits the particles. A subclass must not replace it.

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

        `Losses.auxiliary` trains the trainable variables (ψ). `update` may change the other variables.
        """
        return ()

    def update(self, particles: Particles) -> None:
        """Updates the estimator's state other than ψ, such as a moving average, at the end of each train step."""
        return  # AutoGraph warns of a body that is a docstring alone
