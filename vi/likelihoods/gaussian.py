"""The Gaussian likelihood of real data."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi import random
from vi.kinds import Positive
from vi.likelihoods.base import Likelihood, logit

GAIN = 10.0
"""The factor on a learned log σ. With a learning rate of 0.001, Adam changes σ tenfold in about 230 steps."""
FLOOR = 1e-3
"""The smallest σ₀ of an element, relative to the root mean square of all elements."""


class Gaussian(Likelihood):
    """Independent Gaussians whose means are decoder outputs.

    A learned σ is relative to its initial value σ₀. It is σ₀ exp(10 v) with a learned number v that starts at 0, or
    σ₀ softplus(r + softplus⁻¹(1)) with an output r of the decoder. By default, σ₀ comes from the data: it is the root
    mean square of x minus the mean of the untrained model. This is the maximum-likelihood σ of the untrained model.

    Rybkin et al. (2021, σ-VAE) set σ² to the mean squared error of each batch. The bound of a datum then depends on the
    other data of its batch, so it is not a bound on log p(x). This class therefore learns σ.

    Args:
        event_shape: the shape of one datum.
        mean: "linear", the output itself, or "sigmoid" of it, for data in [0, 1].
        scale: the source of the standard deviation σ: "fixed"; "shared", one learned number; "per_dimension", a learned
            number for each element of the event; "output", the decoder, which then has twice as many outputs on the
            last axis, means first.
        sd: the fixed σ, or the initial value of a learned σ. With None a fixed σ is 1, and a learned σ starts from the
            data.
        form: "relative", as above; "softplus": σ is the softplus of a learned number, as in older versions.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        mean: Literal["linear", "sigmoid"] = "linear",
        scale: Literal["fixed", "shared", "per_dimension", "output"] = "fixed",
        sd: Annotated[float, Positive] | None = None,
        form: Literal["relative", "softplus"] = "relative",
    ):
        super().__init__(event_shape)
        self.mean, self.scale, self.form = mean, scale, form
        self.sd = 1.0 if sd is None else float(sd)
        self.raw_offset = _softplus_inverse(self.sd if form == "softplus" else 1.0)
        learned = () if scale == "shared" else self.event_shape
        self.adapts = sd is None and scale != "fixed" and form == "relative"
        if scale != "fixed" and form == "relative":
            self.initial_sd = self._weight(learned, self.sd, "initial_sd", trainable=False)
        if scale in ("shared", "per_dimension"):
            self.raw_scale = self._weight(learned, self.raw_offset if form == "softplus" else 0.0, "raw_scale")

    def _weight(self, shape: tuple[int, ...], value: float, name: str, trainable: bool = True) -> keras.Variable:
        constant = keras.initializers.Constant(value)
        return self.add_weight(shape=shape, initializer=constant, name=name, trainable=trainable)

    def adapt(self, residual: np.ndarray) -> None:
        """Sets σ₀ to the residual, or to its root mean square if σ is shared.

        σ₀ of an element that is constant is small, but not 0.
        """
        overall = math.sqrt(np.mean(np.square(residual, dtype=np.float64))) or 1.0
        self.initial_sd.assign(overall if self.scale == "shared" else np.maximum(residual, FLOOR * overall))

    def outputs(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The event's shape; its last axis doubled where the decoder gives the scale."""
        return (*event_shape[:-1], 2 * event_shape[-1]) if self.scale == "output" else event_shape

    def distribution(self, output: tf.Tensor) -> tfd.Distribution:
        """Gaussians, one for each element of the event."""
        return tfd.Independent(tfd.Normal(*self._parameters(output)), len(self.event_shape))

    def log_prob(self, output: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """−½ Σ ((x − μ) / σ)² − Σ log σ − D/2 log 2π. Constants are added after the sums, for precision."""
        loc, scale = self._parameters(output)
        size = math.prod(self.event_shape)
        square = tf.reduce_sum(self.flat((x - loc) / scale) ** 2, axis=-1)
        log_scale = tf.math.log(scale)
        shared = len(log_scale.shape) == 0
        log_scale = size * log_scale if shared else tf.reduce_sum(self.flat(log_scale), axis=-1)
        return -0.5 * square - (log_scale + 0.5 * size * math.log(2 * math.pi))

    def _parameters(self, output: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """μ, and σ: one number, one for each element, or one for each element of each datum."""
        loc, raw = tf.split(output, 2, axis=-1) if self.scale == "output" else (output, None)
        return tf.sigmoid(loc) if self.mean == "sigmoid" else loc, self._scale(raw, output.dtype)

    def _scale(self, raw: tf.Tensor | None, dtype: tf.DType) -> tf.Tensor:
        if self.scale == "fixed":
            return tf.constant(self.sd, dtype)
        number = tf.convert_to_tensor(self.raw_scale) if raw is None else raw + self.raw_offset
        if self.form == "softplus":
            return tf.nn.softplus(number)
        ratio = tf.exp(GAIN * number) if raw is None else tf.nn.softplus(number)
        return tf.convert_to_tensor(self.initial_sd) * ratio

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """Standard normal numbers."""
        return random.normal([*shape, *self.event_shape], seed, self.compute_dtype)

    def push(self, p: tfd.Distribution, noise: tf.Tensor) -> tf.Tensor:
        """Mean plus standard deviation times noise."""
        return p.mean() + p.stddev() * noise

    def initial_output(self, mean: np.ndarray) -> np.ndarray:
        """The mean, or its logit for a sigmoid mean; and 0 for the raw scale, so that σ starts at σ₀."""
        mean = logit(mean) if self.mean == "sigmoid" else mean
        return np.concatenate([mean, np.zeros_like(mean)], axis=-1) if self.scale == "output" else mean


def _softplus_inverse(value: float) -> float:
    return float(value + np.log(-np.expm1(-value)))
