"""The standard normal prior."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi.priors.base import Prior


class StandardNormal(Prior):
    """p(z) = N(0, I)."""

    @property
    def distribution(self) -> tfd.Distribution:
        """A Gaussian of zero mean and identity covariance."""
        loc = tf.zeros([self.latent_dim], self.compute_dtype)
        return tfd.MultivariateNormalDiag(loc, tf.ones_like(loc))

    def marginals(self) -> tfd.Distribution:
        """L standard normals."""
        loc = tf.zeros([self.latent_dim], self.compute_dtype)
        return tfd.Normal(loc, tf.ones_like(loc))
