"""Two Gaussian layers, z2 → z1 → x, as posterior and prior over one tensor z = (z1, z2) of latents."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi import networks
from vi.likelihoods import Gaussian
from vi.models import LatentVariableModel
from vi.posteriors import ConditionalPosterior, Posterior
from vi.priors import Prior

A, S1, W, SD = 0.8, 0.6, np.array([1.2, -0.5, 0.3]), 0.7
"""p(z2) = N(0, 1), p(z1|z2) = N(A z2, S1²), p(x|z1) = N(W z1, SD² I)."""


def normal(loc, sd):
    return tfd.MultivariateNormalDiag(loc, sd * tf.ones_like(loc))


class ChainPrior(Prior):
    """p(z1|z2) p(z2)."""

    def __init__(self):
        super().__init__(2)

    @property
    def distribution(self):
        raise NotImplementedError

    def layers(self, z):
        """p(z2) and p(z1|z2), for z [B, S, 2]."""
        return normal(tf.zeros_like(z[..., 1:]), 1.0), normal(A * z[..., 1:], S1)

    def log_prob(self, z):
        top, bottom = self.layers(z)
        return top.log_prob(z[..., 1:]) + bottom.log_prob(z[..., :1])

    def sample(self, noise):
        return tf.concat([A * noise[..., 1:] + S1 * noise[..., :1], noise[..., 1:]], axis=-1)


@dataclasses.dataclass(frozen=True)
class ConditionalChain(ConditionalPosterior):
    """q(z2|x) q(z1|z2, x), sampled from the top down."""

    def layers(self, z2):
        """q(z2|x) of batch [B, 1], and q(z1|z2, x) at z2 [B, S, 1]."""
        p = self.parameters
        return normal(p["m2"], p["s2"]), normal(p["m1"] + p["slope"] * z2, p["s1"])

    def sample(self, eps):
        p = self.parameters
        z2 = p["m2"] + p["s2"] * eps[..., 1:]
        z = tf.concat([p["m1"] + p["slope"] * z2 + p["s1"] * eps[..., :1], z2], axis=-1)
        return z, self.log_prob(z)

    def log_prob(self, z, eps=None):
        top, bottom = self.layers(z[..., 1:])
        return top.log_prob(z[..., 1:]) + bottom.log_prob(z[..., :1])

    def kl_terms(self, prior, z):
        q, p = self.layers(z[..., 1:]), prior.layers(z)
        top = tfd.kl_divergence(q[0], normal(tf.zeros_like(self.parameters["m2"]), 1.0))  # [B, 1]
        return {"z2": top, "z1": tfd.kl_divergence(q[1], p[1])}


class Chain(Posterior):
    """The exact posterior of the chain, unless `shift` moves the mean of z2 away from it."""

    def __init__(self, shift=0.0):
        super().__init__(2)
        self.shift = self.add_weight(shape=(), initializer=keras.initializers.Constant(shift), name="shift")

    def __call__(self, features, step=None):
        return ConditionalChain(self, self.parameters(features))

    def parameters(self, features):
        precision1 = 1 / S1**2 + W @ W / SD**2  # of z1 given z2 and x
        ratio = tf.linalg.matvec(features, tf.constant(W / SD**2, features.dtype))[:, None, None]  # [B, 1, 1]
        covariance = SD**2 * np.eye(3) + S1**2 * np.outer(W, W)  # of x given z2
        gain = np.linalg.solve(covariance, A * W)
        precision2 = 1 + A * W @ gain
        mean2 = tf.linalg.matvec(features, tf.constant(gain, features.dtype))[:, None, None] / precision2
        constant = {"slope": A / S1**2 / precision1, "s1": precision1**-0.5, "s2": precision2**-0.5}
        constant = {name: tf.constant(value, features.dtype) for name, value in constant.items()}
        return {"m1": ratio / precision1, "m2": mean2 + tf.convert_to_tensor(self.shift), **constant}

    def distribution(self, **parameters):
        raise NotImplementedError


def make_chain(shift=0.0):
    """The chain with its exact posterior, or a shifted one."""
    decoder = networks.mlp_decoder(2, (3,), hidden=[])
    model = LatentVariableModel(
        networks.mlp_encoder((3,), hidden=[]), Chain(shift), decoder, Gaussian((3,), sd=SD), ChainPrior()
    )
    kernel, bias = decoder.trainable_variables
    kernel.assign(np.stack([W, np.zeros(3)]))
    bias.assign(np.zeros(3))
    return model


def log_marginal(x):
    """log p(x) of data [N, 3]."""
    covariance = SD**2 * np.eye(3) + (A**2 + S1**2) * np.outer(W, W)
    return tfd.MultivariateNormalFullCovariance(np.zeros(3), covariance).log_prob(x.astype(np.float64)).numpy()
