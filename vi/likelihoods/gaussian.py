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


class Gaussian(Likelihood):
    """Independent Gaussians whose means are decoder outputs.

    Args:
        event_shape: the shape of one datum.
        mean: "linear", the output itself, or "sigmoid" of it, for data in [0, 1].
        scale: the source of the standard deviation: "fixed"; "shared", one learned number; "per_dimension", a learned
            number for each element of the event; "output", the decoder, which then has twice as many outputs on the
            last axis, means first. Learned numbers go through a softplus.
        sd: the fixed standard deviation, or the initial value of a learned one.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        mean: Literal["linear", "sigmoid"] = "linear",
        scale: Literal["fixed", "shared", "per_dimension", "output"] = "fixed",
        sd: Annotated[float, Positive] = 1.0,
    ):
        super().__init__(event_shape)
        self.mean, self.scale, self.sd = mean, scale, sd
        self.raw_offset = float(sd + np.log(-np.expm1(-sd)))  # softplus⁻¹(sd)
        if scale in ("shared", "per_dimension"):
            self.raw_scale = self.add_weight(
                shape=() if scale == "shared" else self.event_shape,
                initializer=keras.initializers.Constant(self.raw_offset),
                name="raw_scale",
            )

    def outputs(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The event's shape; its last axis doubled where the decoder gives the scale."""
        return (*event_shape[:-1], 2 * event_shape[-1]) if self.scale == "output" else event_shape

    def distribution(self, output: tf.Tensor) -> tfd.Distribution:
        """Gaussians, one for each element of the event."""
        return tfd.Independent(tfd.Normal(*self._parameters(output)), len(self.event_shape))

    def log_prob(self, output: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """−½ Σ ((x − μ) / σ)² − Σ log σ − D/2 log 2π. Constants are added after the sums, for precision."""
        loc, scale = self._parameters(output)
        axes, size = self.event_axes(), math.prod(self.event_shape)
        square = tf.reduce_sum(((x - loc) / scale) ** 2, axis=axes)
        log_scale = tf.math.log(scale)
        shared = len(log_scale.shape) == 0
        log_scale = size * log_scale if shared else tf.reduce_sum(log_scale, axis=axes)
        return -0.5 * square - (log_scale + 0.5 * size * math.log(2 * math.pi))

    def _parameters(self, output: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """μ, and σ: one number, one for each element, or one for each element of each datum."""
        loc, scale = output, tf.constant(self.sd, output.dtype)
        if self.scale == "output":
            loc, raw_scale = tf.split(output, 2, axis=-1)
            scale = tf.nn.softplus(raw_scale + self.raw_offset)
        elif self.scale != "fixed":
            scale = tf.nn.softplus(tf.convert_to_tensor(self.raw_scale))
        return tf.sigmoid(loc) if self.mean == "sigmoid" else loc, scale

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """Standard normal numbers."""
        return random.normal([*shape, *self.event_shape], seed, self.compute_dtype)

    def push(self, p: tfd.Distribution, noise: tf.Tensor) -> tf.Tensor:
        """Mean plus standard deviation times noise."""
        return p.mean() + p.stddev() * noise

    def initial_output(self, mean: np.ndarray) -> np.ndarray:
        """The mean, or its logit for a sigmoid mean; and 0 for the raw scale, so that σ starts at `sd`."""
        mean = logit(mean) if self.mean == "sigmoid" else mean
        return np.concatenate([mean, np.zeros_like(mean)], axis=-1) if self.scale == "output" else mean
