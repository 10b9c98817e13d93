"""A model with two Bernoulli latents. Enumeration gives its expectations exactly, so no test needs a tolerance.

The noise of a Bernoulli variable is uniform. Noise of 0 and 1 therefore gives every value of the variable.
"""

import itertools

import numpy as np
import tensorflow as tf

from tests.support import models, reference
from tests.support.models import flatten
from vi import networks, posteriors, priors
from vi.likelihoods import Bernoulli
from vi.models import LatentVariableModel
from vi.ops import log_mean_exp
from vi.particles import DreamNoise

B, D, L = models.B, models.D, 2


def make_model():
    """Linear encoder and decoder, D → L → D, with weights of moderate size."""
    model = LatentVariableModel(
        networks.mlp_encoder((D,), hidden=[]),
        posteriors.Bernoulli(L),
        networks.mlp_decoder(L, (D,), hidden=[]),
        Bernoulli((D,)),
        priors.Bernoulli(L, learned=True),
    )
    rng = np.random.default_rng(1)
    for variable in model.variables:
        variable.assign(rng.standard_normal(variable.shape))
    return model


def data(model):
    """Data of 0 and 1, [B, D]."""
    x = np.random.default_rng(2).integers(0, 2, (B, D))
    return tf.constant(x, model.posterior.compute_dtype)


def tuples(samples):
    """Every S-tuple of the 2^L latents, as their numbers, [2^(L·S), S]."""
    return np.array(list(itertools.product(range(2**L), repeat=samples)))


def importance_bound(model, x, samples, kl_weight=1.0):
    """The exact expectation of the importance-weighted bound with weight β: the mean over data, differentiable.

    It is a sum over all tuples of samples. With one sample it is the ELBO.
    """
    log_q, log_weight = log_densities(model, x, kl_weight)
    each = tuples(samples)
    probability = tf.exp(tf.reduce_sum(tf.gather(log_q, each, axis=1), axis=2))
    bound = log_mean_exp(tf.gather(log_weight, each, axis=1), axis=2)
    return tf.reduce_mean(tf.reduce_sum(probability * bound, axis=1))


def log_densities(model, x, kl_weight=1.0):
    """log q(z|x) and the log weights with weight β of all latents, [B, 2^L] each."""
    z = tf.constant(reference.binary_vectors(L), x.dtype)[None]
    log_q = model.encode(x).log_prob(z)
    beta = tf.reshape(tf.cast(kl_weight, x.dtype), [-1, 1])
    return log_q, model.decode(z).log_prob(x[:, None]) + beta * (model.prior.log_prob(z) - log_q)


def gradients(model, value):
    """The gradients of the scalar `value()` by θ and by φ, each flat."""
    with tf.GradientTape(persistent=True) as tape:
        result = value()
    zero = tf.UnconnectedGradients.ZERO
    groups = (model.generative_variables, model.inference_variables)
    return [flatten(tape.gradient(result, [v.value for v in g], unconnected_gradients=zero)) for g in groups]


def every_particles(model, estimator, x, kl_weight=1.0):
    """Each datum with each tuple of samples, [B·T, S], and the probabilities of the tuples, [B·T].

    Dreams are random.
    """
    z = reference.binary_vectors(L)[tuples(estimator.samples)]
    noise = model.noise(estimator.draws, tf.range(B * len(z)), models.random.seed(0, "train"), 0)
    noise = noise._replace(posterior=tf.constant(np.tile(1 - z, [B, 1, 1]), x.dtype))
    weight = kl_weight if isinstance(kl_weight, float) else tf.repeat(kl_weight, len(z))
    particles = model.particles(tf.repeat(x, len(z), axis=0), noise, weight)
    np.testing.assert_array_equal(particles.z, np.tile(z, [B, 1, 1]))
    return particles, tf.stop_gradient(tf.exp(tf.reduce_sum(particles.log_posterior, axis=1)))


def expected_gradients(model, estimator, x, kl_weight=1.0):
    """The exact expectations of −∇ of the mean losses by θ and by φ, each flat."""

    def mean(group):
        particles, probability = every_particles(model, estimator, x, kl_weight)
        return -tf.reduce_sum(probability * estimator.losses(particles, 0)[group]) / B

    return [gradients(model, lambda group=group: mean(group))[group] for group in (0, 1)]


def variance(model, estimator, x):
    """The exact variance of the gradient by the logits of q: the sum over logits, the mean over data."""
    with tf.GradientTape() as tape:
        particles, probability = every_particles(model, estimator, x)
        loss = estimator.losses(particles, 0).inference
    gradient = tape.gradient(loss, particles.posterior.parameters["logits"])[:, 0].numpy().reshape(B, -1, L)
    probability = probability.numpy().reshape(B, -1, 1)
    mean = np.sum(probability * gradient, axis=1, keepdims=True)
    return np.sum(probability * (gradient - mean) ** 2) / B


def every_dream(model, estimator):
    """Every z with every x as a dream, [2^(L+D), 1], and their probabilities. Posterior samples are random."""
    values = reference.binary_vectors(L + D)[:, None].astype(model.posterior.compute_dtype)
    z, x = values[..., :L], values[..., L:]
    noise = model.noise(estimator.draws, tf.range(len(values)), models.random.seed(0, "train"), 0)
    noise = noise._replace(dream=DreamNoise(tf.constant(1 - z), tf.constant(1 - x)))
    particles = model.particles(tf.constant(x[:, 0]), noise)
    dream = particles.dream
    np.testing.assert_array_equal(tf.concat([dream.z, dream.x], -1), values)
    return particles, tf.stop_gradient(tf.exp(dream.log_prior + dream.log_likelihood)[:, 0])
