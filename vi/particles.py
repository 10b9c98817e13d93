"""What passes between the model, the estimators and the train step.

Letters, the same everywhere: B data in the batch, S Monte Carlo samples ("particles") for each datum,
L latent dimensions, `event` the shape of one datum. The order is always batch × samples × latent.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import tensorflow as tf

from vi.errors import ConfigError

GROUPS = ("generative", "inference", "auxiliary")
"""The parameter groups θ, φ and ψ, in the order in which gradients are taken and applied."""


class Draws(NamedTuple):
    """How many draws of each kind an estimator asks for, for each datum.

    Attributes:
        posterior: S, the samples of q(z|x) that become the particles.
        divergence: further samples of q(z|x) for the KL term alone.
        prior: samples of p(z).
        dream: data drawn from the model, for sleep phases.
    """

    posterior: int = 1
    divergence: int = 0
    prior: int = 0
    dream: int = 0


class DreamNoise(NamedTuple):
    """The noise of D dreams for each datum: of z ~ p(z) `[B, D, L]` and of x ~ p(x|z) `[B, D, *event]`."""

    prior: tf.Tensor
    likelihood: tf.Tensor


class Noise(NamedTuple):
    """All the randomness of one step, drawn beforehand; what was not asked for is None.

    Given the noise, everything that the model computes is deterministic. The trailing shape belongs to the
    family that uses the noise; `[L]` for Gaussians.
    """

    posterior: tf.Tensor  # [B, S, ...]
    divergence: tf.Tensor | None = None  # [B, Draws.divergence, ...]
    prior: tf.Tensor | None = None  # [B, Draws.prior, ...]
    dream: DreamNoise | None = None


@dataclasses.dataclass(frozen=True)
class Particles:
    """S weighted samples of the posterior for each of B data: all that an estimator sees.

    Log densities are in nats, summed over event and latent axes, and differentiable with respect to both
    θ and φ, along the path z = z(eps; φ) too where the posterior is reparameterized.

    Attributes:
        x: the data, `[B, 1, *event]`.
        noise: the noise that the particles were made from.
        posterior: q(z|x), of batch `[B, 1]`; has `sample(eps)`, `log_prob(z)`, `kl(prior)`, `stopped()`.
        prior: p(z); has `sample(noise)`, `log_prob(z)`.
        z: `[B, S, L]`, the point at which its log densities are; of relaxed samples not what the decoder sees.
        log_likelihood: log p(x|z), `[B, S]`.
        log_prior: log p(z), `[B, S]`.
        log_posterior: log q(z|x), `[B, S]`; None where q is implicit.
        kl_weight: β, a scalar or `[B]`: the weight of the KL term in the loss, never in a bound.
        dream: D dreams for each datum as particles, all of `[B, D, ...]` but for `posterior`, whose batch is
            `[B·D, 1]`; z and x pass no gradient. None unless asked for.
    """

    x: tf.Tensor
    noise: Noise
    posterior: Any
    prior: Any
    z: tf.Tensor
    log_likelihood: tf.Tensor
    log_prior: tf.Tensor
    log_posterior: tf.Tensor | None
    kl_weight: float | tf.Tensor = 1.0
    dream: Particles | None = None

    @property
    def log_weight(self) -> tf.Tensor:
        """The log importance weights log p(x, z) − log q(z|x), `[B, S]`, in nats."""
        if self.log_posterior is None:
            raise ConfigError(f"the posterior {self.posterior.name} is implicit: it has no density, so no log weight.")
        return self.log_likelihood + self.log_prior - self.log_posterior

    @property
    def beta(self) -> tf.Tensor:
        """`kl_weight` as a column that broadcasts against samples, `[B, 1]` or `[1, 1]`."""
        return tf.reshape(tf.cast(self.kl_weight, self.log_prior.dtype), [-1, 1])

    def stopped(self) -> Particles:
        """The same particles with log q(z|x) at stopped φ, so that only the path of z leads to φ.

        For a flow that has no fast inverse, this takes its slow one.
        """
        return dataclasses.replace(self, log_posterior=self.posterior.stopped().log_prob(self.z))

    def pathless_log_posterior(self) -> tf.Tensor:
        """log q(z|x) at z that passes no gradient, `[B, S]`: by φ, its gradient is the score, for any posterior."""
        return self.posterior.log_prob(tf.stop_gradient(self.z))

    def tempered(self) -> Particles:
        """The same particles with log p(z) and log q(z|x) multiplied by β.

        A bound of log weights, evaluated on them, is the β-weighted objective
        log p(x|z) + β (log p(z) − log q(z|x)) of Higgins et al. (2017) at each particle.
        """
        if isinstance(self.kl_weight, float) and self.kl_weight == 1.0:
            return self
        log_posterior = None if self.log_posterior is None else self.beta * self.log_posterior
        return dataclasses.replace(
            self, log_prior=self.beta * self.log_prior, log_posterior=log_posterior, kl_weight=1.0
        )


class Losses(NamedTuple):
    """What each parameter group descends, `[B]` each, in nats.

    Equal tensors take one gradient; a different one costs a second backward pass and nothing else.

    Attributes:
        generative: trains θ (decoder, likelihood, prior).
        inference: trains φ (encoder, posterior); None only in an `objective`, where φ follows none.
        auxiliary: trains ψ, the estimator's own networks; None where it has none.
    """

    generative: tf.Tensor
    inference: tf.Tensor | None
    auxiliary: tf.Tensor | None = None
