"""The likelihood of binary data."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi.likelihoods.base import Likelihood, logit


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

    def push(self, p: tfd.Distribution, noise: tf.Tensor) -> tf.Tensor:
        """1 where the noise is below the mean."""
        return tf.cast(noise < p.mean(), noise.dtype)

    def initial_output(self, mean: np.ndarray) -> np.ndarray:
        """The logit of the mean, of probabilities no nearer to 0 and 1 than 0.001 (Burda et al., 2015)."""
        return logit(mean)
