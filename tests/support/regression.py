"""Bayesian linear regression as a model with global latents: a row is the whole data set."""

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi import random
from vi.models import Model
from vi.particles import Batch, Noise, Particles
from vi.posteriors import FullCovarianceGaussian
from vi.priors import StandardNormal

P, SD = 2, 0.5
"""Weights w ~ N(0, I) `[P]`; y = w·x + SD ε, with y as the last entry of a datum."""


class Regression(Model):
    """p(D, w) = p(w) Π p(y_n|x_n, w) with q(w) of free parameters: S samples of w for one row, the data set."""

    def __init__(self):
        self.posterior, self.prior = FullCovarianceGaussian(P), StandardNormal(P)
        self.encode(None).sample(self.posterior.noise([1, 1], random.seed(0, "train")))

    def noise(self, draws, index, seed, step):
        seed = random.fold(random.fold(seed, "posterior"), step)
        return Noise(posterior=self.posterior.noise([1, draws.posterior], seed))

    def particles(self, batch, noise, kl_weight=1.0, step=None):
        q, batch = self.encode(batch), Batch.of(batch)
        z, log_posterior = q.sample(noise.posterior)  # [1, S, P], [1, S]
        size = batch.size or batch.x.shape[0]
        return Particles(
            x=batch.x[None, None],
            batch=batch,
            noise=noise,
            posterior=q,
            prior=self.prior,
            z=z,
            log_likelihood=size / batch.x.shape[0] * self.log_likelihood(batch, z),
            log_prior=self.prior.log_prob(z),
            log_posterior=log_posterior,
            kl_weight=kl_weight,
            data=float(size),
        )

    def log_likelihood(self, batch, z):
        """Σ log p(y_m|x_m, w) over the batch, [1, S]."""
        x, y = batch.x[:, :P], batch.x[:, P]
        return tf.reduce_sum(tfd.Normal(z[0] @ tf.transpose(x), SD).log_prob(y), axis=1)[None]

    def log_joint(self, batch, z):
        return self.log_likelihood(Batch.of(batch), z) + self.prior.log_prob(z)

    def encode(self, batch, step=None):
        return self.posterior(tf.zeros([1, 0], self.posterior.compute_dtype))

    def decode(self, z, batch=None, step=None):
        raise NotImplementedError

    def marginal(self, batch):
        return self.prior

    latent_dim = P
    generative_variables = ()

    @property
    def inference_variables(self):
        return self.posterior.trainable_variables

    @property
    def variables(self):
        return self.posterior.variables


def make_data(size):
    """Rows (x, y), `[size, P + 1]`."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((size, P))
    return np.concatenate([x, x @ np.array([[1.0], [-0.5]]) + SD * rng.standard_normal((size, 1))], axis=1)


def exact_posterior(data):
    """The mean and the covariance of p(w|D), and log p(D)."""
    x, y = data[:, :P], data[:, P]
    covariance = np.linalg.inv(np.eye(P) + x.T @ x / SD**2)
    evidence = tfd.MultivariateNormalFullCovariance(np.zeros(len(y)), x @ x.T + SD**2 * np.eye(len(y))).log_prob(y)
    return covariance @ x.T @ y / SD**2, covariance, float(evidence)
