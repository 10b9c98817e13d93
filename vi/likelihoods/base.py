"""The contract of a likelihood p(x|z), and p(x|z) itself: a family with the decoder's output."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi import random
from vi.errors import ConfigError
from vi.likelihoods.standardization import Standardization


class Likelihood(keras.Layer, abc.ABC):
    """A family of distributions of the data; `likelihood(output)` is p(x|z).

    A subclass writes `distribution`. It may replace `support`, `reads`, `outputs`, `log_prob`, `noise`, `push`,
    `initial_output`, `adapts` and `adapt`, and nothing else. The default `push` needs a distribution with a quantile
    function.

    Args:
        event_shape: the shape of one datum.

    Attributes:
        support: "binary", "real", or "none" if it describes no data. A binary likelihood also takes data between 0 and
            1, but the bound is then a pseudo-likelihood.
        reads: the names of the arrays of `Batch.context` that `distribution` takes as keyword arguments, `[B, 1, ...]`
            each. With such arrays, `log_prob` is the `log_prob` of the distribution.
        adapts: whether a training begins with `adapt`.
    """

    support: Literal["binary", "real", "none"] = "real"
    reads: tuple[str, ...] = ()
    adapts: bool = False

    def __init__(self, event_shape: tuple[int, ...]):
        super().__init__()
        self.event_shape = tuple(event_shape)

    def __call__(self, output: tf.Tensor, **context: tf.Tensor) -> ConditionalLikelihood:
        """p(x|z) given the decoder's output `[B, S, *outputs]` and the arrays that the likelihood `reads`."""
        return ConditionalLikelihood(self, output, context)

    @abc.abstractmethod
    def distribution(self, output: tf.Tensor) -> tfd.Distribution:
        """The distribution of x given the output, of batch `[B, S]` and event `event_shape`."""

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """The base noise of x, `[*shape, *event]`: uniform numbers between 0 and 1 by default."""
        return random.uniform([*shape, *self.event_shape], seed, self.compute_dtype)

    def push(self, p: tfd.Distribution, noise: tf.Tensor) -> tf.Tensor:
        """x ~ p from noise, both `[..., *event]`: by default the quantile of uniform numbers.

        Raises:
            ConfigError: the distribution has no quantile function.
        """
        univariate = p.distribution if isinstance(p, tfd.Independent) else p
        try:
            return univariate.quantile(noise)
        except NotImplementedError:
            raise ConfigError(
                f"the likelihood {type(self).__name__} cannot be sampled: its distribution {univariate.name} has no "
                "quantile function; write `push`, and `noise` if it takes other noise."
            ) from None

    def outputs(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the decoder's output for one z: by default the shape of the event."""
        return event_shape

    def log_prob(self, output: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """log p(x|z) in nats, `[B, S]`, summed over the event, for x `[B, 1, *event]`."""
        return self.distribution(output).log_prob(x)

    def initial_output(self, mean: np.ndarray) -> np.ndarray:
        """The output whose distribution has the mean `[*event]` of the data. The output bias starts at this output."""
        return mean

    def adapt(self, residual: np.ndarray) -> None:
        """Sets learned scales at the beginning of a training, if the likelihood `adapts`.

        Args:
            residual: the root mean square of the training data minus the mean of the untrained model, `[*event]`.
        """

    def flat(self, x: tf.Tensor) -> tf.Tensor:
        """x `[..., *event]` with the axes of the event as one, `[..., D]`. XLA sums one axis quicker than several."""
        x = x if tf.is_tensor(x) else tf.convert_to_tensor(x, self.compute_dtype)
        batch = x.shape[: x.shape.rank - len(self.event_shape)]
        if batch.is_fully_defined():
            return tf.reshape(x, [*batch, math.prod(self.event_shape)])
        return tf.reshape(x, [*tf.unstack(tf.shape(x)[: batch.rank]), math.prod(self.event_shape)])


@dataclasses.dataclass(frozen=True)
class ConditionalLikelihood:
    """p(x|z): a likelihood with the decoder's output `[B, S, *outputs]` and the context arrays that it reads.

    With a `standardization`, the likelihood describes standardized data. Data and densities here stay in the user's
    units. If `as_numpy`, because z was a NumPy array, all methods give NumPy arrays.
    """

    family: Likelihood
    output: tf.Tensor
    context: Mapping[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    standardization: Standardization | None = None
    as_numpy: bool = False

    @property
    def distribution(self) -> tfd.Distribution:
        """p(x|z) as a distribution of TensorFlow Probability."""
        return self._family if self.standardization is None else self.standardization.restore_distribution(self._family)

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """log p(x|z) in nats, `[B, S]`, for x `[B, 1, *event]`."""
        x = tf.convert_to_tensor(x, self.output.dtype) if self.as_numpy else x
        if self.standardization is not None:
            return self._given(self._log_prob(self.standardization(x)) + self.standardization.log_density())
        return self._given(self._log_prob(x))

    def mean(self) -> tf.Tensor:
        """E[x|z], `[B, S, *event]`."""
        return self._given(self._restore(self._family.mean()))

    def mode(self) -> tf.Tensor:
        """The most probable x, `[B, S, *event]`."""
        return self._given(self._restore(self._family.mode()))

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """x ~ p(x|z) from the family's noise, both `[B, S, *event]`; passes no gradient if x is discrete."""
        noise = tf.convert_to_tensor(noise, self.output.dtype) if self.as_numpy else noise
        return self._given(self._restore(self.family.push(self._family, noise)))

    def _given(self, x: tf.Tensor) -> tf.Tensor:
        return x.numpy() if self.as_numpy and tf.executing_eagerly() else x

    @property
    def _family(self) -> tfd.Distribution:
        return self.family.distribution(self.output, **self.context)

    def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
        return self._family.log_prob(x) if self.context else self.family.log_prob(self.output, x)

    def _restore(self, x: tf.Tensor) -> tf.Tensor:
        return x if self.standardization is None else self.standardization.restore(x)


def logit(mean: np.ndarray) -> np.ndarray:
    """The logit of a mean, after clipping to [0.001, 0.999]."""
    mean = np.clip(mean, 0.001, 0.999)
    return np.log(mean) - np.log1p(-mean)
