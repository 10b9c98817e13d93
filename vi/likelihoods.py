"""Likelihoods p(x|z): each turns the decoder's linear output into a distribution of the data."""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi import random
from vi.errors import ConfigError

NO_DATA = "likelihood=none: describes no data, so none can be drawn, and z has no decoded mean."


class Likelihood(keras.Layer, abc.ABC):
    """A family of distributions of the data; `likelihood(output)` is p(x|z).

    A subclass writes `distribution`, `noise` and `push`. It may replace `support`, `outputs`, `log_prob` and
    `initial_output`, and nothing else.

    Args:
        event_shape: the shape of one datum.

    Attributes:
        support: "binary", "real", or "none" where no data are described. Where it is binary, data between 0 and 1
            are admitted, but their bound is a pseudo-likelihood's.
    """

    support: Literal["binary", "real", "none"] = "real"

    def __init__(self, event_shape: tuple[int, ...]):
        super().__init__()
        self.event_shape = tuple(event_shape)

    def __call__(self, output: tf.Tensor) -> ConditionalLikelihood:
        """p(x|z) given the decoder's output `[B, S, *outputs]`."""
        return ConditionalLikelihood(self, output)

    @abc.abstractmethod
    def distribution(self, output: tf.Tensor) -> tfd.Distribution:
        """The distribution of x given the output, of batch `[B, S]` and event `event_shape`."""

    @abc.abstractmethod
    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """The base noise of x, `[*shape, *event]`."""

    @abc.abstractmethod
    def push(self, p: tfd.Distribution, noise: tf.Tensor) -> tf.Tensor:
        """x ~ p from noise, both `[..., *event]`."""

    def outputs(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the decoder's output for one z; by default the event's."""
        return event_shape

    def log_prob(self, output: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """log p(x|z) in nats, `[B, S]`, summed over the event, for x `[B, 1, *event]`."""
        return self.distribution(output).log_prob(x)

    def initial_output(self, mean: np.ndarray) -> np.ndarray:
        """The output whose distribution has the mean `[*event]` of the data: where the output bias starts."""
        return mean

    def event_axes(self) -> tuple[int, ...]:
        """The axes of the event, counted from the end."""
        return tuple(range(-len(self.event_shape), 0))


@dataclasses.dataclass(frozen=True)
class ConditionalLikelihood:
    """p(x|z): a likelihood with the decoder's output `[B, S, *outputs]`."""

    family: Likelihood
    output: tf.Tensor

    @property
    def distribution(self) -> tfd.Distribution:
        """As a distribution of TensorFlow Probability."""
        return self.family.distribution(self.output)

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """log p(x|z) in nats, `[B, S]`, for x `[B, 1, *event]`."""
        return self.family.log_prob(self.output, x)

    def mean(self) -> tf.Tensor:
        """E[x|z], `[B, S, *event]`."""
        return self.distribution.mean()

    def mode(self) -> tf.Tensor:
        """The most probable x, `[B, S, *event]`."""
        return self.distribution.mode()

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """x ~ p(x|z) from the family's noise, both `[B, S, *event]`; passes no gradient if x is discrete."""
        return self.family.push(self.distribution, noise)


class Bernoulli(Likelihood):
    """Independent Bernoulli variables on the decoder's logits.

    On grey levels in [0, 1] the value is −cross-entropy, which is no density: a pseudo-likelihood.
    """

    support = "binary"

    def distribution(self, output: tf.Tensor) -> tfd.Distribution:
        """Bernoulli variables, one for each output."""
        return tfd.Independent(tfd.Bernoulli(logits=output, dtype=output.dtype), len(self.event_shape))

    def log_prob(self, output: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """x · logit − softplus(logit), summed: one softplus an element, where TFP's own log_prob takes two."""
        return tf.reduce_sum(x * output - tf.nn.softplus(output), axis=self.event_axes())

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """Uniform numbers."""
        return random.uniform([*shape, *self.event_shape], seed, self.compute_dtype)

    def push(self, p: tfd.Distribution, noise: tf.Tensor) -> tf.Tensor:
        """1 where the noise is below the mean."""
        return tf.cast(noise < p.mean(), noise.dtype)

    def initial_output(self, mean: np.ndarray) -> np.ndarray:
        """The logit of the mean, of probabilities no nearer to 0 and 1 than 0.001 (Burda et al., 2015)."""
        return _logit(mean)


class NoLikelihood(Likelihood):
    """The likelihood left out: log p(x|z) = 0, so that the ELBO is −KL(q(z|x) ‖ p(z)).

    With a prior that is known up to its normalizer Z alone, the ELBO is log Z − KL(q ‖ p): q is fitted to a density.
    """

    support = "none"

    def log_prob(self, output: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Zeros, `[B, S]`."""
        return tf.zeros_like(tf.reduce_sum(output, axis=list(range(2, output.shape.rank))))

    def distribution(self, output: tf.Tensor) -> tfd.Distribution:
        """There is none: raises ConfigError."""
        raise ConfigError(NO_DATA)

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """There is none: raises ConfigError."""
        raise ConfigError(NO_DATA)

    def push(self, p: tfd.Distribution, noise: tf.Tensor) -> tf.Tensor:
        """There are no data: raises ConfigError."""
        raise ConfigError(NO_DATA)


class Gaussian(Likelihood):
    """Independent Gaussians whose means are decoder outputs.

    Args:
        event_shape: the shape of one datum.
        mean: "linear", the output itself, or "sigmoid" of it, for data in [0, 1].
        scale: where the standard deviation comes from: "fixed"; "shared", one learned number;
            "per_dimension", a learned number for each element of the event; "output", from the decoder,
            which then has twice as many outputs on the last axis, means first. Learned ones go through a
            softplus.
        sd: the fixed standard deviation, or where a learned one starts.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        mean: Literal["linear", "sigmoid"] = "linear",
        scale: Literal["fixed", "shared", "per_dimension", "output"] = "fixed",
        sd: float = 1.0,
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
        """−½ Σ ((x − μ) / σ)² − Σ log σ − D/2 log 2π: with constants left out of the sum, precise for many elements."""
        loc, scale = self._parameters(output)
        axes, size = self.event_axes(), math.prod(self.event_shape)
        square = tf.reduce_sum(((x - loc) / scale) ** 2, axis=axes)
        log_scale = tf.math.log(scale)
        shared = len(log_scale.shape) == 0
        log_scale = size * log_scale if shared else tf.reduce_sum(log_scale, axis=axes)
        return -0.5 * square - (log_scale + 0.5 * size * math.log(2 * math.pi))

    def _parameters(self, output: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """μ, and σ as a number, for each element, or for each element of each datum."""
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
        """The mean, or its logit as a Bernoulli's; and 0 for the raw scale, which starts at `sd`."""
        mean = _logit(mean) if self.mean == "sigmoid" else mean
        return np.concatenate([mean, np.zeros_like(mean)], axis=-1) if self.scale == "output" else mean


def _logit(mean: np.ndarray) -> np.ndarray:
    mean = np.clip(mean, 0.001, 0.999)
    return np.log(mean) - np.log1p(-mean)
