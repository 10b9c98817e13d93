"""Small models and data that tests share, and the statistics that decide whether an estimate is right."""

import keras
import numpy as np
import scipy.stats
import tensorflow as tf

from tests.support import reference
from vi import networks, random
from vi.data import Dataset
from vi.likelihoods import Gaussian
from vi.models import LatentVariableModel
from vi.particles import GROUPS
from vi.posteriors import DiagonalGaussian
from vi.priors import StandardNormal

B, S, D, L = 4, 5, 6, 3
"""Data, samples, dimensions of a datum and latents: all different, so that a swapped axis fails."""


def linear_gaussian(posterior=DiagonalGaussian, sd=0.7, prior=StandardNormal):
    """A model that is linear throughout, D → L → D, with weights of moderate size."""
    model = LatentVariableModel(
        networks.mlp_encoder((D,), hidden=[]),
        posterior(L),
        networks.mlp_decoder(L, (D,), hidden=[]),
        Gaussian((D,), sd=sd),
        prior(L),
    )
    rng = np.random.default_rng(1)
    for variable in model.variables:
        variable.assign(0.4 * rng.standard_normal(variable.shape))
    return model


def scalar_gaussian():
    """A linear model of two-dimensional data with one latent. Quadrature gives each of its bounds."""
    model = LatentVariableModel(
        networks.mlp_encoder((2,), hidden=[]),
        DiagonalGaussian(1),
        networks.mlp_decoder(1, (2,), hidden=[]),
        Gaussian((2,), sd=0.8),
        StandardNormal(1),
    )
    rng = np.random.default_rng(3)
    for variable in model.variables:
        variable.assign(0.5 * rng.standard_normal(variable.shape))
    kernel, bias = model.posterior.trainable_variables[2:]  # q is wider than p(z|x): all moments are finite
    kernel.assign(0.1 * kernel)
    bias.assign([-0.3])
    return model


def scalar_arrays(model):
    """The parameters θ and φ of `scalar_gaussian`, in the order of its variables."""
    groups = (model.generative_variables, model.inference_variables)
    return [[v.numpy().astype(np.float64) for v in group] for group in groups]


def scalar_mean(quadrature, x, theta, phi, sd=0.8):
    """The mean over data of `quadrature(log_weight, mean, sd)` of q(z|x), for `scalar_gaussian` in NumPy."""
    (w, b), (loc, loc_bias, scale, scale_bias) = theta, phi

    def of(each):
        mean, log_variance = (each @ loc + loc_bias)[0], (each @ scale + scale_bias)[0]

        def log_weight(z):
            residual = each - np.asarray(z)[:, None] * w[0] - b
            log_likelihood = -0.5 * np.sum(residual**2, axis=1) / sd**2 - np.log(2 * np.pi * sd**2)
            return log_likelihood - 0.5 * z**2 + 0.5 * (z - mean) ** 2 / np.exp(log_variance) + 0.5 * log_variance

        return quadrature(log_weight, mean, np.exp(0.5 * log_variance))

    return np.mean([of(each) for each in x])


def oracle(model):
    """The same generative model in NumPy."""
    kernel, bias = (v.numpy().astype(np.float64) for v in model.decoder.trainable_variables)
    return reference.LinearGaussian(kernel.T, bias, model.likelihood.sd)


def data(size=B, dtype=None):
    """Data of shape [size, D]."""
    x = np.random.default_rng(2).standard_normal((size, D))
    return x.astype(dtype or keras.config.floatx())


def dataset(size=40, **options):
    """A data set of x [size, D], a quarter held out."""
    return Dataset({"x_train": data(size, "float32")}, "test data", validation=0.25, **options)


def make_particles(model, draws, x=None, step=0, **options):
    """Particles of B data with the noise of a step."""
    x = tf.constant(data() if x is None else x)
    noise = model.noise(draws, tf.range(x.shape[0]), random.seed(0, "train"), step)
    return model.particles(x, noise, **options)


def sampled_bounds(model, estimator, x, repeats):
    """`bound` for independent noises, [repeats, B]."""
    x = tf.constant(x)

    def once(step):
        noise = model.noise(estimator.draws, tf.range(x.shape[0]), random.seed(4, "train"), step)
        return estimator.bound(model.particles(x, noise))

    return at_each_step(once, repeats, x.dtype).numpy()


def at_each_step(function, repeats, dtypes):
    """The results of a function at the steps 0, 1, …, one below the other, from one compiled loop."""
    loop = tf.function(lambda steps: tf.map_fn(function, steps, fn_output_signature=dtypes), autograph=False)
    return loop(tf.range(repeats))


def moments(model, x):
    """The mean [B, L] and covariance [B, L, L] of q(z|x)."""
    q = model.encode(tf.constant(x)).distribution
    return q.mean().numpy()[:, 0].astype(np.float64), q.covariance().numpy()[:, 0].astype(np.float64)


def exact_elbos(model, x):
    """The ELBO of each datum in closed form."""
    return np.array([oracle(model).elbo(*each) for each in zip(x, *moments(model, x), strict=True)])


def exact_gradients(model, x):
    """Gradients of the mean exact ELBO by θ and by φ, by differentiating the closed form, each flat."""
    x = tf.constant(x)
    with tf.GradientTape(persistent=True) as tape:
        q = model.encode(x).distribution
        mean, covariance = q.mean()[:, 0], q.covariance()[:, 0]
        kernel, bias = (v.value for v in model.decoder.trainable_variables)
        residual = x - mean @ kernel - bias
        spread = tf.einsum("ld,blm,md->b", kernel, covariance, kernel)
        square = tf.reduce_sum(residual**2, axis=1) + spread
        trace = tf.linalg.trace(covariance) + tf.reduce_sum(mean**2, axis=1)
        elbo = -square / (2 * model.likelihood.sd**2) - 0.5 * (trace - tf.linalg.logdet(covariance))
        elbo = tf.reduce_mean(elbo)
    groups = (model.generative_variables, model.inference_variables)
    return [flatten(tape.gradient(elbo, [v.value for v in group])) for group in groups]


def flatten(gradients):
    """A list of gradients as one vector."""
    return np.concatenate([tf.convert_to_tensor(g).numpy().ravel() for g in gradients])


def sampled_gradients(model, estimator, x, repeats, kl_weight=1.0):
    """−∇ of the mean losses by θ and by φ for independent noises, each [repeats, parameters]."""
    x = tf.constant(x)
    groups = [[v.value for v in g] for g in (model.generative_variables, model.inference_variables)]

    def once(step):
        noise = model.noise(estimator.draws, tf.range(x.shape[0]), random.seed(3, "train"), step)
        with tf.GradientTape(persistent=True) as tape:
            losses = estimator.losses(model.particles(x, noise, kl_weight, step), step)
            means = [tf.reduce_mean(losses.generative), tf.reduce_mean(losses.inference)]
        zero = tf.UnconnectedGradients.ZERO
        return tuple(
            -tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(mean, group, unconnected_gradients=zero)], 0)
            for mean, group in zip(means, groups, strict=True)
        )

    return [each.numpy() for each in at_each_step(once, repeats, (x.dtype, x.dtype))]


def assert_mean(samples, expected, false_alarm=1e-3):
    """The mean of the rows of `samples` is `expected`, by their standard errors.

    If the means are right, the largest t statistic of all entries exceeds the limit with probability `false_alarm`.
    An entry without variance must be equal to rounding.
    """
    samples, expected = np.atleast_2d(np.asarray(samples, np.float64).T).T, np.asarray(expected, np.float64)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    limit = scipy.stats.t.ppf(1 - false_alarm / (2 * error.size), len(samples) - 1)
    rounding = 1e-5 * np.maximum(1, np.abs(expected))
    excess = np.abs(samples.mean(axis=0) - expected) / (limit * error + rounding)
    assert np.all(excess <= 1), f"{np.max(excess):.2f} times the allowed deviation ({limit:.1f} standard errors)"


def make_posterior_exact(model):
    """Sets φ so that q(z|x) = p(z|x). W gets orthogonal columns, so the covariance of p(z|x) is diagonal."""
    kernel = np.zeros((L, D), np.float32)
    kernel[np.arange(L), np.arange(L)] = [0.5, 1.0, 1.5]
    model.decoder.trainable_variables[0].assign(kernel)
    exact = oracle(model)
    covariance = exact.posterior(np.zeros(D))[1]
    gain = covariance @ exact.w.T / exact.sd**2
    values = [gain.T, -gain @ exact.b, np.zeros((D, L)), np.log(np.diag(covariance))]
    for variable, value in zip(model.posterior.trainable_variables, values, strict=True):
        variable.assign(value)


def optimizers(rate=0.01):
    """An Adam optimizer for each parameter group."""
    return {group: keras.optimizers.Adam(rate) for group in GROUPS}
