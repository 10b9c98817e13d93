"""Discrete posteriors whose samples are relaxed in training: Gumbel-softmax and Concrete distributions.

Outside training each is the discrete family that it extends, with hard samples and log masses.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi.distributions import discrete
from vi.errors import ConfigError
from vi.kinds import AtLeast, Positive, Schedule
from vi.posteriors.base import ConditionalPosterior, Posterior, class_of
from vi.posteriors.discrete import Bernoulli, Categorical

if TYPE_CHECKING:
    from vi.priors import PriorDensity


class Relaxation(Posterior):
    """Base of the discrete families whose samples in training are differentiable in φ.

    *Straight-through* samples (Bengio et al., 2013; Jang et al., 2017, section 2.2) are hard samples with their log
    mass, but pass the gradient of the relaxed samples. For every estimator the value is exact and the gradient is
    **biased**.

    *Relaxed* samples lie between the hard samples. The decoder sees `code(z)`. z itself is the logarithm or the logit
    of the code (the ExpConcrete distribution of Maddison et al., 2017, appendix C.3), so no density overflows at any
    temperature. log q(z|x) and log p(z) are densities of z at the same temperature. An estimator of log weights then
    bounds log p(x) of the relaxed model, which is continuous. The KL in closed form is between the discrete
    distributions (Jang et al., 2017), so the objective of `AnalyticKL` bounds nothing. Both are biased for the discrete
    model. A lower temperature means less bias and more variance.

    Args:
        latent_dim: L.
        temperature: above 0, a number or a Keras schedule of the training step.
        straight_through: true makes samples in training straight-through instead of relaxed.
        options: the options of the discrete family.
    """

    reparameterized = True

    def __init__(
        self,
        latent_dim: int,
        temperature: Annotated[float, Positive] | Schedule,
        straight_through: bool,
        **options: Any,
    ):
        super().__init__(latent_dim, **options)
        self.temperature = temperature if callable(temperature) else float(temperature)
        self.straight_through = straight_through
        self.relaxed = not straight_through

    def __call__(
        self, features: tf.Tensor, step: tf.Tensor | None = None, **context: tf.Tensor
    ) -> ConditionalPosterior:
        """q(z|x) given the features of x, `[B, F]`: relaxed at a step of training, discrete outside training."""
        q = super().__call__(features, **context)
        if step is None:
            return Hard(family=self, parameters=q.parameters)
        kind = StraightThrough if self.straight_through else Concrete
        return kind(family=self, parameters=q.parameters, temperature=self.temperature_at(step))

    def temperature_at(self, step: tf.Tensor) -> tf.Tensor:
        """The temperature at a step of training, a scalar."""
        if callable(self.temperature):
            return tf.cast(self.temperature(step), self.compute_dtype)
        return tf.constant(self.temperature, self.compute_dtype)

    def relaxed_log_prob(self, logits: tf.Tensor, temperature: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """The log density of each relaxed variable of these logits, `[B, S, N]`, at z `[B, S, L]`."""
        variables = self.relaxation(logits, temperature)
        z = tf.reshape(z, [*tf.unstack(tf.shape(z)[:-1]), -1, *variables.event_shape])
        return variables.log_prob(z)

    @abc.abstractmethod
    def relaxation(self, logits: tf.Tensor, temperature: tf.Tensor) -> tfd.Distribution:
        """The relaxed variables of these logits, of batch `[..., N]`."""

    @abc.abstractmethod
    def relaxed_sample(self, logits: tf.Tensor, temperature: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """A relaxed sample `[..., L]`, from the noise that gives the hard sample."""

    @abc.abstractmethod
    def code(self, z: tf.Tensor) -> tf.Tensor:
        """The decoder's input for a relaxed sample, both `[..., L]`: numbers between 0 and 1."""


class GumbelSoftmax(Relaxation, Categorical):
    """N one-hot variables of K categories, relaxed in training to softmax((logits + Gumbel noise) / temperature).

    Jang et al. (2017), eq. 2; the Concrete distribution of Maddison et al. (2017), definition 1.

    Args:
        latent_dim: L = N·K.
        categories: K.
        temperature: above 0, a number or a Keras schedule of the training step.
        straight_through: true makes samples in training hard, with the gradient of the relaxed samples.

    Raises:
        ConfigError: K does not divide L.
    """

    def __init__(
        self,
        latent_dim: int,
        categories: Annotated[int, AtLeast(2)] = 10,
        temperature: Annotated[float, Positive] | Schedule = 1.0,
        straight_through: bool = False,
    ):
        super().__init__(latent_dim, temperature, straight_through, categories=categories)

    def relaxation(self, logits: tf.Tensor, temperature: tf.Tensor) -> tfd.Distribution:
        """The logarithms of N Concrete variables."""
        return tfd.ExpRelaxedOneHotCategorical(temperature, logits=logits)

    def relaxed_sample(self, logits: tf.Tensor, temperature: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """log softmax((logits + Gumbel noise) / temperature)."""
        return discrete.flatten(tf.nn.log_softmax((logits + discrete.gumbel(eps)) / temperature))

    def code(self, z: tf.Tensor) -> tf.Tensor:
        """exp(z): K numbers with sum 1 for each variable."""
        return tf.exp(z)


class BinaryConcrete(Relaxation, Bernoulli):
    """L bits, relaxed in training to sigmoid((logits + logistic noise) / temperature).

    Maddison et al. (2017), appendix B.

    Args:
        latent_dim: L.
        temperature: above 0, a number or a Keras schedule of the training step.
        straight_through: true makes samples in training hard, with the gradient of the relaxed samples.
    """

    def __init__(
        self,
        latent_dim: int,
        temperature: Annotated[float, Positive] | Schedule = 1.0,
        straight_through: bool = False,
    ):
        super().__init__(latent_dim, temperature, straight_through)

    def relaxation(self, logits: tf.Tensor, temperature: tf.Tensor) -> tfd.Distribution:
        """The logits of L binary Concrete variables: logistic variables."""
        return tfd.Logistic(logits / temperature, 1 / temperature)

    def relaxed_sample(self, logits: tf.Tensor, temperature: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """(logits + logistic noise) / temperature."""
        return (logits - discrete.logistic(eps)) / temperature

    def code(self, z: tf.Tensor) -> tf.Tensor:
        """sigmoid(z)."""
        return tf.sigmoid(z)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StraightThrough(ConditionalPosterior):
    """q(z|x) in training with hard samples that pass the gradient of relaxed samples."""

    family: Relaxation
    temperature: tf.Tensor

    @property
    def exact_path(self) -> bool:
        """False: the gradient belongs to the relaxed samples."""
        return False

    def sample(self, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The hard z `[B, S, L]`, and its log mass `[B, S]`."""
        hard, _ = super().sample(eps)
        soft = self.family.code(self.family.relaxed_sample(**self.parameters, temperature=self.temperature, eps=eps))
        z = hard + (soft - tf.stop_gradient(soft))
        return z, self.log_prob(z)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Concrete(ConditionalPosterior):
    """q(z|x) in training with relaxed samples."""

    family: Relaxation
    temperature: tf.Tensor

    @property
    def relaxed(self) -> bool:
        """True."""
        return True

    def sample(self, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The relaxed z `[B, S, L]`, and its log density `[B, S]`."""
        eps = self._checked(eps)
        z = self.family.relaxed_sample(**self.parameters, temperature=self.temperature, eps=eps)
        return z, self.log_prob(z)

    def log_prob(self, z: tf.Tensor, eps: tf.Tensor | None = None) -> tf.Tensor:
        """The log density of relaxed z, `[B, S]`."""
        return tf.reduce_sum(self._log_prob_per_variable(z), axis=-1)

    def log_ratio_per_dimension(self, z: tf.Tensor, prior: PriorDensity) -> tf.Tensor:
        """log q(z_n|x) − log p(z_n) of each relaxed variable, `[B, S, N]`, for the prior that `against` gives."""
        assert isinstance(prior, RelaxedPrior)
        return self._log_prob_per_variable(z) - prior.log_prob_per_variable(z)

    def _log_prob_per_variable(self, z: tf.Tensor) -> tf.Tensor:
        return self.family.relaxed_log_prob(**self.parameters, temperature=self.temperature, z=z)

    def code(self, z: tf.Tensor) -> tf.Tensor:
        """The decoder's input for relaxed z, both `[B, S, L]`."""
        return self.family.code(z)

    def against(self, prior: PriorDensity) -> RelaxedPrior:
        """The prior relaxed at the same temperature.

        Raises:
            ConfigError: the prior does not consist of independent variables of the same kind.
        """
        if not isinstance(prior.marginals(), type(self.family.marginals(self._over_samples))):
            raise ConfigError(
                f"the posterior {self.name} can only relax a prior of independent variables of its kind, which "
                f"{class_of(prior)} is not; use posterior.straight_through=true."
            )
        return RelaxedPrior(self.family, prior, self.temperature)


@dataclasses.dataclass(frozen=True)
class Hard(ConditionalPosterior):
    """q(z|x) outside training: hard samples, which have no path to φ."""

    reparameterized = False
    exact_path = False


@dataclasses.dataclass(frozen=True)
class RelaxedPrior:
    """The density p(z) of relaxed samples."""

    family: Relaxation
    prior: PriorDensity
    temperature: tf.Tensor

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """The log density of relaxed z, `[B, S]`."""
        return tf.reduce_sum(self.log_prob_per_variable(z), axis=-1)

    def log_prob_per_variable(self, z: tf.Tensor) -> tf.Tensor:
        """The log density of each relaxed variable, `[B, S, N]`."""
        return self.family.relaxed_log_prob(self._logits, self.temperature, z)

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """Relaxed z from the prior's noise."""
        return self.family.relaxed_sample(self._logits, self.temperature, noise)

    @property
    def distribution(self) -> tfd.Distribution:
        """The discrete prior's distribution, because the KL in closed form is between the discrete distributions."""
        return self.prior.distribution

    def marginals(self) -> tfd.Distribution | None:
        """The factors of the discrete prior."""
        return self.prior.marginals()

    @property
    def _logits(self) -> tf.Tensor:
        marginals = self.prior.marginals()
        assert marginals is not None  # `against` has asked
        return marginals.logits
