"""The evidence lower bound, E log p(x|z) − KL(q(z|x) ‖ p(z)), with the divergence as one swappable piece."""

from __future__ import annotations

import abc

import tensorflow as tf

from vi.errors import ConfigError
from vi.estimators.base import Estimator
from vi.types import Draws, Losses, Particles


class ELBO(Estimator):
    """Base of the estimators that differ in how they find KL(q(z|x) ‖ p(z)).

    The expected log-likelihood is the mean over S samples of log p(x|z), never log p(x|z) of a mean
    reconstruction (Kingma & Welling, 2014, eq. 7). The loss is −E log p(x|z) + β KL (Higgins et al., 2017,
    eq. 4); `bound` is the ELBO whatever β is. A subclass writes `divergence`, and may replace `draws`.
    """

    @abc.abstractmethod
    def divergence(self, particles: Particles) -> tf.Tensor:
        """An unbiased estimate of KL(q(z|x) ‖ p(z)) for each datum, `[B]`, in nats."""

    def bound(self, particles: Particles) -> tf.Tensor:
        """The ELBO for each datum, `[B]`, in nats."""
        return tf.reduce_mean(particles.log_likelihood, axis=1) - self.divergence(particles)

    def objective(self, particles: Particles, step: tf.Tensor) -> Losses:
        """−E log p(x|z) + β KL for θ and for φ, `[B]`, in nats."""
        distortion = -tf.reduce_mean(particles.log_likelihood, axis=1)
        loss = distortion + particles.kl_weight * self.divergence(particles)
        return Losses(generative=loss, inference=loss)


class AnalyticKL(ELBO):
    """The ELBO with the KL term in closed form (Kingma & Welling, 2014, eq. 7 and appendix B).

    The posterior and the prior must have a closed form, or `ConfigError` says which pair has none.
    """

    def divergence(self, particles: Particles) -> tf.Tensor:
        """KL(q(z|x) ‖ p(z)) exactly, `[B]`, in nats."""
        return particles.posterior.kl(particles.prior)


class MonteCarloKL(ELBO):
    """The ELBO with the KL term as a sample mean of log q(z|x) − log p(z) (Kingma & Welling, 2014, eq. 6).

    Needs no closed form, only densities.

    Args:
        samples: S, the samples for the expected log-likelihood.
        divergence_samples: further samples for the KL term alone; 0 uses the S samples for it too.
    """

    def __init__(self, samples: int = 1, divergence_samples: int = 0):
        super().__init__(samples)
        self.divergence_samples = divergence_samples

    @property
    def draws(self) -> Draws:
        """S samples, and those for the KL term alone."""
        return Draws(posterior=self.samples, divergence=self.divergence_samples)

    def divergence(self, particles: Particles) -> tf.Tensor:
        """The mean of log q(z|x) − log p(z) over samples, `[B]`, in nats."""
        if particles.log_posterior is None:
            raise ConfigError(
                f"MonteCarloKL needs the density of q(z|x), but the posterior {particles.posterior.name} is implicit; "
                "use an estimator that needs none, such as an adversarial one."
            )
        if particles.noise.divergence is None:
            log_ratio = particles.log_posterior - particles.log_prior  # [B, S]
        else:
            z, log_posterior = particles.posterior.sample(particles.noise.divergence)
            log_ratio = log_posterior - particles.prior.log_prob(z)  # [B, divergence_samples]
        return tf.reduce_mean(log_ratio, axis=1)


class Reconstruction(Estimator):
    """E log p(x|z) alone, without a divergence: for autoencoders, whose code has no density.

    It bounds nothing, but with a Gaussian of fixed scale is the squared error up to constants.
    """

    kind = "estimate"

    def bound(self, particles: Particles) -> tf.Tensor:
        """The mean over samples of log p(x|z), `[B]`, in nats."""
        return tf.reduce_mean(particles.log_likelihood, axis=1)
