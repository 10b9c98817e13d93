"""Wake-sleep: θ learns from data with z ~ q(z|x), φ from dreams or from weighted samples, without a path of z."""

from __future__ import annotations

from typing import Annotated, Literal

import tensorflow as tf

from vi.errors import SettingError
from vi.estimators.base import Estimator
from vi.estimators.importance import IWAE
from vi.kinds import Positive
from vi.particles import Draws, Losses, Particles


class WakeSleep(Estimator):
    """θ ascends the ELBO on data, φ the mean of log q(z|x) over dreams z ~ p(z), x ~ p(x|z) (Hinton et al., 1995).

    φ descends E KL(p(z|x) ‖ q(z|x)) over the model's own x, not the KL of the ELBO, and so follows no bound on log
    p(x). β weighs only the objective of θ.

    Args:
        samples: S, the samples of the posterior for each datum, in the wake phase.
        dreams: the dreams for each datum of the batch, in the sleep phase.
    """

    pathwise = False

    def __init__(self, samples: Annotated[int, Positive] = 1, dreams: Annotated[int, Positive] = 1):
        super().__init__(samples)
        self.dreams = dreams

    @property
    def draws(self) -> Draws:
        """S samples, and the dreams."""
        return Draws(posterior=self.samples, dream=self.dreams)

    def bound(self, particles: Particles) -> tf.Tensor:
        """The mean log weight, an unbiased estimate of the ELBO, for each datum, `[B]`, in nats."""
        return particles.elbo()

    def objective(self, particles: Particles, step: tf.Tensor) -> Losses:
        """For θ −`bound`, weighted by β; for φ the mean of −log q(z|x) over dreams, `[B]`, in nats."""
        return Losses(generative=-self.bound(particles.tempered()), inference=_sleep(particles))

    def losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """The objective: neither loss has a gradient through z to the parameters that it trains."""
        return self.objective(particles, step)


class ReweightedWakeSleep(IWAE):
    """θ ascends the importance-weighted bound, φ log q(z|x) under weighted samples (Bornschein & Bengio, 2015).

    In the wake phase φ follows Σ_s w̃_s ∇ log q(z_s|x), an estimate of the gradient of −KL(p(z|x) ‖ q(z|x)) at the
    data, with a bias of order 1/S. In the sleep phase φ follows the gradient of `WakeSleep`. β weighs only the
    objective of θ.

    Args:
        samples: S, the samples of the posterior for each datum; at least 2 with a wake phase, since the weight of one
            sample is 1, and its score has mean zero.
        inference: the phase that trains φ: wake, sleep, or the mean of both.
        dreams: the dreams for each datum of the batch, in the sleep phase.

    Raises:
        ConfigError: one sample with a wake phase.
    """

    pathwise = False

    def __init__(
        self,
        samples: Annotated[int, Positive] = 5,
        inference: Literal["wake", "sleep", "both"] = "wake",
        dreams: Annotated[int, Positive] = 1,
    ):
        super().__init__(samples)
        if samples < 2 and inference != "sleep":
            why = "the weight of one sample is 1, which teaches φ nothing; with one sample use inference=sleep."
            raise SettingError("samples", samples, f"must be at least 2 with inference={inference}; {why}")
        self.inference, self.dreams = inference, dreams

    @property
    def draws(self) -> Draws:
        """S samples, and the dreams of a sleep phase."""
        return Draws(posterior=self.samples, dream=0 if self.inference == "wake" else self.dreams)

    def objective(self, particles: Particles, step: tf.Tensor) -> Losses:
        """For θ −`bound`, weighted by β, `[B]`, in nats; for φ None."""
        return Losses(generative=-self.bound(particles.tempered()), inference=None)

    def losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """For θ the objective; for φ the mean of −log q(z|x) over its phases, `[B]`, in nats."""
        phases = {"wake": [_wake], "sleep": [_sleep], "both": [_wake, _sleep]}[self.inference]
        inference = sum(phase(particles) for phase in phases) / len(phases)
        return self.objective(particles, step)._replace(inference=inference)


def _wake(particles: Particles) -> tf.Tensor:
    """−Σ w̃ log q(z|x), `[B]`: the weights w̃ and z pass no gradient."""
    weight = tf.stop_gradient(tf.nn.softmax(particles.log_weight, axis=1))
    return -tf.reduce_sum(weight * particles.pathless_log_posterior(), axis=1)


def _sleep(particles: Particles) -> tf.Tensor:
    """The mean over dreams of −log q(z|x), `[B]`."""
    assert particles.dream is not None  # they were asked for
    return -tf.reduce_mean(particles.dream.log_posterior, axis=1)
