"""Posteriors made of TensorFlow Probability's bijectors, which remember what they have pushed."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tests.support import models
from vi import networks
from vi.estimators import IWAE, DReG, MonteCarloKL, StickingTheLanding
from vi.likelihoods import Gaussian
from vi.models import LatentVariableModel
from vi.particles import Draws
from vi.posteriors import Posterior
from vi.priors import StandardNormal

L, D = 4, 5


class Coupling(Posterior):
    """A coupling layer of TensorFlow Probability whose network is one of Keras."""

    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        self.loc_head = keras.layers.Dense(latent_dim)
        self.network = keras.Sequential([keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(4)])
        self.network.build((None, 2))

    def parameters(self, features):
        return {"loc": self.loc_head(features)[:, None]}

    def distribution(self, loc):
        flow = tfb.RealNVP(num_masked=2, shift_and_log_scale_fn=self.shift_and_log_scale)
        base = tfd.MultivariateNormalDiag(tf.zeros([1, 1, L], loc.dtype), tf.ones([1, 1, L], loc.dtype))
        return tfd.TransformedDistribution(base, tfb.Chain([flow, tfb.Shift(loc)]))

    def shift_and_log_scale(self, x, units, **kwargs):
        output = self.network(tf.reshape(x, [-1, 2]))
        return tuple(tf.split(tf.reshape(output, [*x.shape[:-1], 4]), 2, axis=-1))


@pytest.fixture
def model(double):
    return LatentVariableModel(
        networks.mlp_encoder((D,), []),
        Coupling(L),
        networks.mlp_decoder(L, (D,), []),
        Gaussian((D,)),
        StandardNormal(L),
    )


def data():
    return np.random.default_rng(0).standard_normal((3, D))


def test_stopped_densities_keep_the_path_of_z(model):
    with tf.GradientTape(persistent=True) as tape:
        particles = models.make_particles(model, Draws(2), data())
        found = tf.reduce_mean(particles.stopped().log_posterior)
        expected = tf.reduce_mean(particles.posterior.stopped().log_prob(particles.z + 0.0))
    variables = [v.value for v in model.posterior.network.trainable_variables]
    one, other = (models.flatten(tape.gradient(value, variables)) for value in (found, expected))
    assert np.abs(other).max() > 1e-3
    np.testing.assert_allclose(one, other, rtol=1e-8)


@pytest.mark.parametrize(("estimator", "reference"), [(StickingTheLanding(2), MonteCarloKL(2)), (DReG(3), IWAE(3))])
def test_stl_and_dreg_are_unbiased_for_such_a_posterior(model, estimator, reference):
    one, other = (models.sampled_gradients(model, each, data(), 400)[1] for each in (estimator, reference))
    models.assert_mean(one - other, 0.0)
