"""What components read of a batch, the noise that a model takes, and a likelihood of one method."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tests.support import models
from vi import networks, random
from vi.errors import ConfigError
from vi.estimators import AnalyticKL
from vi.likelihoods import Likelihood
from vi.models import LatentVariableModel
from vi.particles import Batch, Draws
from vi.posteriors import DiagonalGaussian
from vi.priors import StandardNormal

L, D = 4, 5


def data():
    return np.random.default_rng(0).standard_normal((3, D))


@pytest.mark.parametrize(
    "shape", [(4, models.L), (models.L,), (4, 2, models.L + 1), (3, 2, models.L), (1, 2, models.L)]
)
def test_noise_of_another_shape_is_refused(shape):
    model, x = models.linear_gaussian(), tf.constant(models.data())
    for call in (lambda eps: model.encode(x).sample(eps), lambda eps: model.reconstruct(x, eps=eps)):
        with pytest.raises(ConfigError, match=r"eps of shape .* needs noise of shape \(4, samples, 3\)"):
            call(np.zeros(shape, np.float32))
    with pytest.raises(ConfigError, match=r"the prior needs noise of shape \(n, 3\)"):
        model.generate(eps=np.zeros((4, models.L + 1)))


class Laplace(Likelihood):
    """A likelihood in one method."""

    def distribution(self, output):
        return tfd.Independent(tfd.Laplace(output, tf.ones([], output.dtype)), len(self.event_shape))


class Poisson(Likelihood):
    """A likelihood without a quantile function."""

    def distribution(self, output):
        return tfd.Independent(tfd.Poisson(log_rate=output), len(self.event_shape))


def test_a_likelihood_of_one_method_is_sampled_by_its_quantiles():
    likelihood = Laplace((2,))
    noise = likelihood.noise([1, 20_000], random.seed(0, "train"))
    x = likelihood(tf.constant([[[1.0, -2.0]]])).sample(noise).numpy()[0]
    models.assert_mean(x, [1.0, -2.0])
    models.assert_mean(np.abs(x - [1.0, -2.0]), 1.0)
    with pytest.raises(ConfigError, match="Poisson cannot be sampled: its distribution Poisson has no quantile"):
        Poisson((2,))(tf.zeros([1, 1, 2])).sample(noise[:, :1])


class Conditional(DiagonalGaussian):
    """q(z|x, y)."""

    reads = ("y",)

    def parameters(self, features, y):
        return super().parameters(tf.concat([features, y], axis=-1))


class Scaled(Likelihood):
    """A Gaussian whose standard deviation is given with each datum."""

    reads = ("sd",)

    def distribution(self, output, sd):
        return tfd.Independent(tfd.Normal(output, sd), len(self.event_shape))


def test_components_read_what_they_name_of_the_context(double):
    encoder, decoder = networks.mlp_encoder((D + 2,), []), networks.mlp_decoder(L + 2, (D,), [])

    class Joined(keras.layers.Layer):
        reads = ("y",)

        def __init__(self, network):
            super().__init__()
            self.network = network

        def call(self, inputs):
            return self.network(tf.concat(inputs, axis=-1))

    context = {"y": (2,), "sd": (1,)}
    model = LatentVariableModel(
        Joined(encoder), Conditional(L), Joined(decoder), Scaled((D,)), StandardNormal(L), context
    )
    y, sd = tf.one_hot([0, 1, 0], 2, dtype=tf.float64), tf.constant([[0.5], [1.0], [2.0]], tf.float64)
    batch = Batch(tf.constant(data()), {"y": y, "sd": sd})
    noise = model.noise(Draws(3), tf.range(3), random.seed(0, "train"), 0)
    particles = model.particles(batch, noise)
    features = encoder(tf.concat([batch.x, y], -1))
    q = DiagonalGaussian.parameters(model.posterior, tf.concat([features, y], -1))
    z = q["loc"] + q["scale_diag"] * noise.posterior
    np.testing.assert_allclose(particles.z, z, rtol=1e-12)
    mean = decoder(tf.reshape(tf.concat([z, tf.repeat(y[:, None], 3, 1)], -1), [9, L + 2]))
    log_likelihood = tfd.Normal(tf.reshape(mean, [3, 3, D]), sd[:, None]).log_prob(batch.x[:, None])
    np.testing.assert_allclose(particles.log_likelihood, tf.reduce_sum(log_likelihood, -1), rtol=1e-10)
    log_joint = particles.log_likelihood + particles.log_prior
    np.testing.assert_allclose(model.log_joint(batch, particles.z), log_joint, rtol=1e-12)
    with pytest.raises(ConfigError, match="Joined reads y, which the data do not have; they have none"):
        model.encode(batch.x)
    assert AnalyticKL().bound(particles).shape == (3,)
