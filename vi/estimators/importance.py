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

    E ELBO ≤ E IWAE_S ≤ E IWAE_{S+1} ≤ log p(x), and IWAE_1 is the ELBO. The signal-to-noise ratio of its gradient by φ
    falls as S^(−1/2) (Rainforth et al., 2018). `DReG` estimates the same gradient without this fall.

    Args:
        samples: S, the samples of the posterior for each datum.
    """

    def __init__(self, samples: Annotated[int, Positive] = 5):
        super().__init__(samples)

    def bound(self, particles: Particles) -> tf.Tensor:
        """log (1/S) Σ w_s for each datum, `[B]`, in nats."""
        return particles.iw_bound()


class DReG(IWAE):
    """The importance-weighted bound with its doubly reparameterized gradient (Tucker et al., 2018, eq. 8).

    θ follows Σ w̃ ∇ log w, the gradient of `IWAE`. φ follows Σ w̃² ∇ log w along the path of z alone, with log q at
    stopped φ. In expectation this is the gradient of `IWAE`. At β = 1 it has no variance where q is the true posterior.
    At β ≠ 1 the weights for φ are (1 − β) w̃ + β w̃², by the same derivation.

    Args:
        samples: S, the samples of the posterior for each datum.
    """

    def losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """Surrogates with the gradients above by θ and by φ, `[B]`."""
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
        samples: S, the samples within each bound.
        outer: M, the number of bounds that are averaged; M · S samples are drawn for each datum.
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
    """θ ascends the bound of all M · S samples, φ the bound of `MIWAE` (Rainforth et al., 2018).

    `bound` is the bound of θ, the tighter one.

    Args:
        samples: S, the samples within each bound for φ.
        outer: M, the number of bounds for φ that are averaged.
    """

    exchangeable = True

    def bound(self, particles: Particles) -> tf.Tensor:
        """log (1/MS) Σ w_ms for each datum, `[B]`, in nats."""
        return particles.iw_bound()

    def objective(self, particles: Particles, step: tf.Tensor) -> Losses:
        """The two negative bounds, weighted by β, `[B]`."""
        tempered = particles.tempered()
        return Losses(generative=-self.bound(tempered), inference=-super().bound(tempered))


class StickingTheLanding(Estimator):
    """The ELBO with the path-derivative gradient (Roeder et al., 2017): log q(z|x) at stopped φ.

    It leaves out the score, which has mean zero, so the gradient of the ELBO stays unbiased for every S. At β = 1 it
    has no variance where q is the true posterior.

    Args:
        samples: S, the samples of the posterior for each datum.
        importance_weighted: true takes the log of the mean weight instead of the mean log weight. For φ and S > 1 this
            gradient is **biased**, since the score does not vanish in the mean weight (Tucker et al., 2018); use `DReG`
            instead.
    """

    def __init__(self, samples: Annotated[int, Positive] = 1, importance_weighted: bool = False):
        super().__init__(samples)
        self.importance_weighted = importance_weighted
        self.linear = self.enumerable = not importance_weighted

    def bound(self, particles: Particles) -> tf.Tensor:
        """The mean log weight, or the log of the mean weight, for each datum, `[B]`, in nats."""
        return particles.iw_bound() if self.importance_weighted else particles.elbo()

    def losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """−`bound` at stopped φ, weighted by β, `[B]`."""
        return super().losses(particles.stopped(), step)
