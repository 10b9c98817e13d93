"""The likelihood of binary data."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi.likelihoods.base import Likelihood, logit
from vi.ops import softplus


class Bernoulli(Likelihood):
    """Independent Bernoulli variables on the decoder's logits.

    On grey levels in [0, 1] the value is −cross-entropy, which is no density: a pseudo-likelihood.
    """

    support = "binary"

    def distribution(self, output: tf.Tensor) -> tfd.Distribution:
        """Bernoulli variables, one for each output."""
        return tfd.Independent(tfd.Bernoulli(logits=output, dtype=output.dtype), len(self.event_shape))

    def log_prob(self, output: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """The sum of x · logit − softplus(logit): one softplus per element, while TFP's `log_prob` takes two."""
        x, output = self.flat(x), self.flat(output)
        return tf.reduce_sum(x * output - softplus(output), axis=-1)

    def push(self, p: tfd.Distribution, noise: tf.Tensor) -> tf.Tensor:
        """1 where the noise is below the mean."""
        return tf.cast(noise < p.mean(), noise.dtype)

    def initial_output(self, mean: np.ndarray) -> np.ndarray:
        """The logit of the mean, after clipping to [0.001, 0.999] (Burda et al., 2015)."""
        return logit(mean)
