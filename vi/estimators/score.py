"""Score-function gradients for φ: they need log q(z|x) and no path from φ to z, so z may be discrete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import keras
import tensorflow as tf

from vi.errors import SettingError
from vi.estimators.base import Estimator
from vi.estimators.importance import IWAE
from vi.kinds import Decay, Positive, Widths
from vi.ops import log_mean_exp
from vi.particles import Losses, Particles


class ScoreFunction(Estimator):
    """The ELBO with the score-function gradient for φ, for any posterior with a density (Mnih & Gregor, 2014).

    φ follows the mean over samples of (signal − baseline) ∇ log q(z|x), where the signal is the log weight. θ follows
    the mean of ∇ log p(x, z). A baseline that does not depend on the sample's own z leaves the gradient unbiased, and
    lowers its variance:

    - `leave_one_out`: the mean signal of the other samples of the same datum (Kool et al., 2019, eq. 8);
    - `moving_average`: m, the moving average of the signals of earlier steps, m ← decay · m + (1 − decay) · mean
      signal, from m = 0;
    - `learned`: m + C_ψ(x), where a network of tanh layers fits signal − m by squared error (Mnih & Gregor, 2014,
      section 2.3.1; without their division by a running standard deviation, which rescales the gradient);
    - `none`: no baseline.

    Args:
        samples: S, the samples of the posterior for each datum; at least 2 for leave_one_out.
        baseline: the baseline, as above.
        decay: the decay of the moving average.
        hidden: the widths of the learned baseline's network.

    Raises:
        ConfigError: one sample with `leave_one_out`.
    """

    pathwise = False
    linear = True

    def __init__(
        self,
        samples: Annotated[int, Positive] = 5,
        baseline: Literal["leave_one_out", "moving_average", "learned", "none"] = "leave_one_out",
        decay: Annotated[float, Decay] = 0.8,
        hidden: Widths = (100,),
    ):
        super().__init__(samples)
        if baseline == "leave_one_out" and samples < 2:
            others = "with one sample use baseline=moving_average, learned or none."
            raise SettingError("samples", samples, f"must be at least 2 with baseline=leave_one_out; {others}")
        self.baseline, self.decay, self.hidden = baseline, decay, hidden

    def build(self, event_shape: tuple[int, ...], latent_dim: int) -> None:
        """Makes the moving average, and the network of a learned baseline."""
        if self.baseline in ("moving_average", "learned"):
            self.average = keras.Variable(0.0, trainable=False, dtype=keras.config.floatx(), name="average_signal")
        if self.baseline == "learned":
            hidden = [keras.layers.Dense(width, activation="tanh") for width in self.hidden]
            layers = [keras.Input(event_shape), keras.layers.Flatten(), *hidden, keras.layers.Dense(1)]
            self.network = keras.Sequential(layers, name="baseline")

    @property
    def auxiliary_variables(self) -> Sequence[keras.Variable]:
        """The moving average, and ψ, the weights of a learned baseline."""
        average = [self.average] if self.baseline in ("moving_average", "learned") else []
        return [*average, *(self.network.trainable_variables if self.baseline == "learned" else [])]

    def bound(self, particles: Particles) -> tf.Tensor:
        """The mean log weight, an unbiased estimate of the ELBO, for each datum, `[B]`, in nats."""
        return particles.elbo()

    def objective(self, particles: Particles, step: tf.Tensor) -> Losses:
        """−`bound`, weighted by β, for θ and φ; for ψ the squared error of the learned baseline, in nats²; `[B]`."""
        if self.baseline != "learned":
            return super().objective(particles, step)
        signal = _signal(particles)
        error = tf.reduce_mean((signal - self._baseline(particles, signal)) ** 2, axis=1)
        return super().objective(particles, step)._replace(auxiliary=error)

    def losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """The objective for θ and ψ; for φ a surrogate with the gradient above, at stopped z, `[B]`."""
        signal = _signal(particles)
        weight = tf.stop_gradient(signal - self._baseline(particles, signal))
        surrogate = -tf.reduce_mean(weight * particles.pathless_log_posterior(), axis=1)
        return self.objective(particles, step)._replace(inference=surrogate)

    def update(self, particles: Particles) -> None:
        """Moves the moving average towards the mean signal of the batch."""
        if self.baseline in ("moving_average", "learned"):
            mean = tf.reduce_mean(_signal(particles))
            self.average.assign(self.decay * self.average + (1 - self.decay) * mean)

    def _baseline(self, particles: Particles, signal: tf.Tensor) -> tf.Tensor:
        """The baseline, a tensor that broadcasts against the signal `[B, S]`."""
        if self.baseline == "none":
            return tf.zeros([], signal.dtype)
        if self.baseline == "leave_one_out":
            return (tf.reduce_sum(signal, axis=1, keepdims=True) - signal) / (self.samples - 1)
        average = tf.convert_to_tensor(self.average)
        return average + self.network(particles.x[:, 0]) if self.baseline == "learned" else average  # [B, 1], []


class VIMCO(IWAE):
    """The importance-weighted bound with a score-function gradient, for any posterior with a density.

    φ follows Σ_s (L̂ − L̂_−s − w̃_s) ∇ log q(z_s|x). θ follows Σ_s w̃_s ∇ log p(x, z_s), as in `IWAE`. L̂ is the bound.
    In L̂_−s the geometric mean of the other weights replaces the weight of sample s. The baseline of a sample is thus
    independent of that sample (Mnih & Rezende, 2016). At β ≠ 1, L̂ is the tempered bound, and β w̃_s replaces w̃_s, by
    the same derivation.

    Args:
        samples: S, the samples of the posterior for each datum; at least 2.

    Raises:
        ConfigError: one sample.
    """

    pathwise = False

    def __init__(self, samples: Annotated[int, Positive] = 5):
        super().__init__(samples)
        if samples < 2:
            why = "whose baseline for a sample comes from the others; with one sample use ScoreFunction."
            raise SettingError("samples", samples, f"must be at least 2 for VIMCO, {why}")

    def losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """The objective for θ; for φ a surrogate with the gradient above, at stopped z, `[B]`."""
        log_weight = _signal(particles)  # [B, S]
        log_weight -= tf.reduce_max(log_weight, axis=1, keepdims=True)  # makes the differences below exact
        geometric = tf.reduce_sum(_replaced(log_weight, tf.zeros_like(log_weight)), axis=2) / (self.samples - 1)
        baseline = log_mean_exp(_replaced(log_weight, geometric), axis=2)  # [B, S]
        weight = log_mean_exp(log_weight, axis=1)[:, None] - baseline
        weight -= particles.beta * tf.nn.softmax(log_weight, axis=1)
        surrogate = -tf.reduce_sum(tf.stop_gradient(weight) * particles.pathless_log_posterior(), axis=1)
        return self.objective(particles, step)._replace(inference=surrogate)


def _signal(particles: Particles) -> tf.Tensor:
    """The log weights, weighted by β, without gradients, `[B, S]`."""
    return tf.stop_gradient(particles.tempered().log_weight)


def _replaced(values: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    """For each sample the values of all samples, with `own` in place of its own value: `[B, S, S]` from `[B, S]` twice.

    It masks the own term. A subtraction would cancel catastrophically if the own term dominates.
    """
    diagonal = tf.eye(values.shape[1], dtype=tf.bool)
    return tf.where(diagonal, own[:, :, None], values[:, None, :])
