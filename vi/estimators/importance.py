"""Importance-weighted bounds: the log of the mean of S weights p(x, z) / q(z|x), which tightens in S."""

from __future__ import annotations

from typing import Annotated

import tensorflow as tf

from vi.estimators.base import Estimator
from vi.kinds import Positive
from vi.ops import log_mean_exp
from vi.particles import Draws, Losses, Particles


class IWAE(Estimator):
    """The importance-weighted bound (Burda et al., 2015, eq. 8): log-mean-exp of the log weights.

    E ELBO ≤ E IWAE_S ≤ E IWAE_{S+1} ≤ log p(x), equal to the ELBO at S = 1. The signal-to-noise ratio of its
    gradient by φ falls as S^(−1/2) (Rainforth et al., 2018); `DReG` follows the same gradient and does not.

    Args:
        samples: S.
    """

    def __init__(self, samples: Annotated[int, Positive] = 5):
        super().__init__(samples)

    def bound(self, particles: Particles) -> tf.Tensor:
        """log (1/S) Σ w_s for each datum, `[B]`, in nats."""
        return log_mean_exp(particles.log_weight, axis=1)


class DReG(IWAE):
    """The importance-weighted bound with its doubly reparameterized gradient (Tucker et al., 2018, eq. 8).

    θ follows Σ w̃ ∇ log w, which is the gradient of `IWAE`; φ follows Σ w̃² ∇ log w along the path of z alone, with
    log q at stopped φ: the same gradient in expectation, at β = 1 without variance where q is the true posterior. With
    β ≠ 1 the weights for φ are (1 − β) w̃ + β w̃², by the same derivation.
    """

    def losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """Surrogates whose gradients by θ and by φ are those above, `[B]`."""
        log_weight = particles.stopped().tempered().log_weight
        weight = tf.stop_gradient(tf.nn.softmax(log_weight, axis=1))
        for_phi = (1 - particles.beta) * weight + particles.beta * weight**2
        return Losses(
            generative=-tf.reduce_sum(weight * log_weight, axis=1),
            inference=-tf.reduce_sum(for_phi * log_weight, axis=1),
        )


class MIWAE(Estimator):
    """The mean of M importance-weighted bounds of S samples each (Rainforth et al., 2018).

    Args:
        samples: S, within each bound.
        outer: M, the bounds that are averaged: M · S samples of the posterior are drawn for each datum.
    """

    exchangeable = False

    def __init__(self, samples: Annotated[int, Positive] = 5, outer: Annotated[int, Positive] = 5):
        super().__init__(samples)
        self.outer = outer

    @property
    def draws(self) -> Draws:
        """M · S samples."""
        return Draws(posterior=self.outer * self.samples)

    def bound(self, particles: Particles) -> tf.Tensor:
        """(1/M) Σ_m log (1/S) Σ_s w_ms for each datum, `[B]`, in nats."""
        log_weight = particles.log_weight  # [B, M·S]
        grouped = tf.reshape(log_weight, [-1, self.outer, self.samples])
        return tf.reduce_mean(log_mean_exp(grouped, axis=2), axis=1)


class PIWAE(MIWAE):
    """θ ascends the bound of all M · S samples, φ that of `MIWAE` (Rainforth et al., 2018).

    `bound` is θ's, the tighter one.

    Args:
        samples: S, within each bound for φ.
        outer: M, the bounds for φ that are averaged.
    """

    exchangeable = True

    def bound(self, particles: Particles) -> tf.Tensor:
        """log (1/MS) Σ w_ms for each datum, `[B]`, in nats."""
        return log_mean_exp(particles.log_weight, axis=1)

    def objective(self, particles: Particles, step: tf.Tensor) -> Losses:
        """The two negative bounds, weighted by β, `[B]`."""
        tempered = particles.tempered()
        return Losses(generative=-self.bound(tempered), inference=-super().bound(tempered))


class StickingTheLanding(Estimator):
    """The ELBO with the path-derivative gradient (Roeder et al., 2017): log q(z|x) at stopped φ.

    The score that is left out has mean zero, so the gradient is that of the ELBO for every S, at β = 1 without variance
    where q is the true posterior.

    Args:
        samples: S.
        importance_weighted: take the log of the mean of the S weights instead of the mean of their logs. For φ and
            S > 1 this gradient is **biased**: in the mean of weights the score does not vanish (Tucker et al., 2018);
            `DReG` is the cure.
    """

    def __init__(self, samples: Annotated[int, Positive] = 1, importance_weighted: bool = False):
        super().__init__(samples)
        self.importance_weighted = importance_weighted

    def bound(self, particles: Particles) -> tf.Tensor:
        """The mean of the log weights, or the log of their mean, for each datum, `[B]`, in nats."""
        if self.importance_weighted:
            return log_mean_exp(particles.log_weight, axis=1)
        return tf.reduce_mean(particles.log_weight, axis=1)

    def losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """−`bound` at stopped φ, weighted by β, `[B]`."""
        return super().losses(particles.stopped(), step)
