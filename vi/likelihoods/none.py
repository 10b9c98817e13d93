"""No likelihood, for models that describe no data."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi.errors import ConfigError
from vi.likelihoods.base import Likelihood

NO_DATA = "likelihood=none: describes no data, so x cannot be drawn, and z has no decoded mean."


class NoLikelihood(Likelihood):
    """No likelihood: log p(x|z) = 0, so the ELBO is −KL(q(z|x) ‖ p(z)).

    With a prior p̃(z) / Z of unknown normalizer Z the ELBO is log Z − KL(q ‖ p), which fits q to a density.
    """

    support = "none"

    def log_prob(self, output: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Zeros, `[B, S]`."""
        return tf.zeros_like(tf.reduce_sum(output, axis=list(range(2, output.shape.rank))))

    def distribution(self, output: tf.Tensor) -> tfd.Distribution:
        """Raises ConfigError, because no data are described."""
        raise ConfigError(NO_DATA)

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """Raises ConfigError, because no data are described."""
        raise ConfigError(NO_DATA)

    def push(self, p: tfd.Distribution, noise: tf.Tensor) -> tf.Tensor:
        """Raises ConfigError, because no data are described."""
        raise ConfigError(NO_DATA)
