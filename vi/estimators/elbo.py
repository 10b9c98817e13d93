"""The evidence lower bound, E log p(x|z) − KL(q(z|x) ‖ p(z)), with the KL as one swappable piece."""

from __future__ import annotations

import abc
from typing import Annotated, Any

import tensorflow as tf

from vi.errors import ConfigError, SettingError
from vi.estimators.base import Estimator
from vi.kinds import NonNegative, Positive, Schedule
from vi.particles import Draws, Losses, Particles


class ELBO(Estimator):
    """Base of the estimators that differ in how they compute KL(q(z|x) ‖ p(z)).

    The expected log-likelihood is the mean over S samples of log p(x|z), never log p(x|z) of a mean reconstruction
    (Kingma & Welling, 2014, eq. 7). The loss is −E log p(x|z) + β KL (Higgins et al., 2017, eq. 4). One of two
    penalties may replace the KL in the loss; `bound` is the ELBO in every case. A subclass writes `divergence`, and may
    replace `divergence_per_dimension` and `draws`.

    Args:
        samples: S, the samples of the posterior for each datum.
        free_bits: λ, in nats. The KL of each group of latents, averaged over the batch, is not pushed below λ: the
            penalty is Σ_groups max(λ, KL) (Kingma et al., 2016, appendix C.8).
        groups: the number of groups of consecutive latents; null makes each latent a group, 1 all latents together.
        capacity: C, in nats, a number or a Keras schedule of the step. The penalty is |KL − C| (Burgess et al., 2018,
            eq. 8; their γ is β here). With a Monte Carlo KL the mean of |KL − C| exceeds |mean KL − C|.

    Raises:
        ConfigError: both penalties are set, or groups without free bits.
    """

    linear = True
    enumerable = True

    def __init__(
        self,
        samples: Annotated[int, Positive] = 1,
        free_bits: Annotated[float, NonNegative] = 0.0,
        groups: Annotated[int, Positive] | None = None,
        capacity: Annotated[float, NonNegative] | Schedule | None = None,
    ):
        super().__init__(samples)
        if free_bits and capacity is not None:
            raise SettingError("free_bits", free_bits, "is one penalty and capacity another; only one may be set.")
        if groups is not None and not free_bits:
            raise SettingError("groups", groups, "is a setting of free bits, so free_bits must be above 0.")
        self.free_bits, self.groups, self.capacity = free_bits, groups, capacity

    @abc.abstractmethod
    def divergence(self, particles: Particles) -> tf.Tensor:
        """An unbiased estimate of KL(q(z|x) ‖ p(z)) for each datum, `[B]`, in nats."""

    def divergence_per_dimension(self, particles: Particles) -> tf.Tensor:
        """The estimate for each latent, `[B, L]`, for free bits; raises ConfigError if the KL does not split."""
        raise ConfigError(f"{type(self).__name__} has no KL of each latent; set groups=1.")

    def bound(self, particles: Particles) -> tf.Tensor:
        """The ELBO for each datum, `[B]`, in nats."""
        return particles.mean(particles.log_likelihood) - self.divergence(particles)

    def objective(self, particles: Particles, step: tf.Tensor) -> Losses:
        """−E log p(x|z) + β KL, with the penalty in place of the KL if one is set, for θ and for φ, `[B]`, in nats."""
        loss = particles.kl_weight * self._penalty(particles, step) - particles.mean(particles.log_likelihood)
        return Losses(generative=loss, inference=loss)

    def _penalty(self, particles: Particles, step: tf.Tensor) -> tf.Tensor:
        if self.capacity is not None:
            capacity = self.capacity(step) if callable(self.capacity) else self.capacity
            return tf.abs(self.divergence(particles) - tf.cast(capacity, particles.log_likelihood.dtype))
        if self.free_bits:
            divergence = self._divergence_per_group(particles)  # [B, groups]
            over = tf.reduce_mean(divergence, axis=0) > self.free_bits
            return tf.reduce_sum(tf.where(over, divergence, self.free_bits), axis=1)  # its mean is Σ max(λ, mean KL)
        return self.divergence(particles)

    def _divergence_per_group(self, particles: Particles) -> tf.Tensor:
        if self.groups == 1:
            return self.divergence(particles)[:, None]
        divergence = self.divergence_per_dimension(particles)
        if self.groups is None:
            return divergence
        if divergence.shape[1] % self.groups:
            raise ConfigError(
                f"{type(self).__name__}: groups={self.groups} must divide the {divergence.shape[1]} latents."
            )
        return tf.reduce_sum(tf.reshape(divergence, [-1, self.groups, divergence.shape[1] // self.groups]), axis=2)


class AnalyticKL(ELBO):
    """The ELBO with the KL term in closed form (Kingma & Welling, 2014, eq. 7 and appendix B).

    If the KL of this posterior to this prior has no closed form, a `ConfigError` names the pair.
    """

    def divergence(self, particles: Particles) -> tf.Tensor:
        """KL(q(z|x) ‖ p(z)) exactly, `[B]`, in nats."""
        return particles.kl()

    def divergence_per_dimension(self, particles: Particles) -> tf.Tensor:
        """The KL of each latent exactly, `[B, L]`, in nats."""
        return particles.posterior.kl_per_dimension(particles.prior)


class MonteCarloKL(ELBO):
    """The ELBO with the KL term as a sample mean of log q(z|x) − log p(z) (Kingma & Welling, 2014, eq. 6).

    It needs the densities of q(z|x) and p(z), but no closed form.

    Args:
        samples: S, the samples for the expected log-likelihood.
        divergence_samples: further samples for the KL term alone; 0 uses the S samples for the KL too.
        penalty: `free_bits`, `groups` and `capacity` of `ELBO`.
    """

    def __init__(
        self,
        samples: Annotated[int, Positive] = 1,
        divergence_samples: Annotated[int, NonNegative] = 0,
        **penalty: Any,
    ):
        super().__init__(samples, **penalty)
        self.divergence_samples = divergence_samples
        self.enumerable = divergence_samples == 0 and not self.free_bits  # these take plain means over samples

    @property
    def draws(self) -> Draws:
        """S samples, and further samples for the KL term alone."""
        return Draws(posterior=self.samples, divergence=self.divergence_samples)

    def divergence(self, particles: Particles) -> tf.Tensor:
        """The mean of log q(z|x) − log p(z) over samples, `[B]`, in nats."""
        log_ratio = particles.log_ratio  # [B, S]
        if particles.noise.divergence is None:
            return particles.mean(log_ratio)
        z, log_posterior = particles.posterior.sample(particles.noise.divergence)
        return tf.reduce_mean(log_posterior - particles.prior.log_prob(z), axis=1)  # over [B, divergence_samples]

    def divergence_per_dimension(self, particles: Particles) -> tf.Tensor:
        """The mean over samples of log q(z_l|x) − log p(z_l) of each latent, `[B, L]`, in nats."""
        z = particles.z
        if particles.noise.divergence is not None:
            z, _ = particles.posterior.sample(particles.noise.divergence)
        return tf.reduce_mean(particles.posterior.log_ratio_per_dimension(z, particles.prior), axis=1)


class Reconstruction(Estimator):
    """E log p(x|z) alone, without a KL: for autoencoders, whose code has no density.

    It bounds nothing. With a Gaussian likelihood of fixed scale it is the squared error, up to constants.
    """

    kind = "estimate"
    linear = True
    enumerable = True

    def bound(self, particles: Particles) -> tf.Tensor:
        """The mean over samples of log p(x|z), `[B]`, in nats."""
        return particles.mean(particles.log_likelihood)
