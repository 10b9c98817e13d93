"""Latents that are enumerated: `Particles.mass` makes every mean over them exact."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import models
from tests.support.training import trainer_of
from vi import networks
from vi.data import Dataset
from vi.errors import ConfigError
from vi.estimators import IWAE, VIMCO, AnalyticKL, MonteCarloKL
from vi.evaluation.evaluator import Evaluator
from vi.likelihoods import Gaussian
from vi.models import LatentVariableModel
from vi.particles import Draws
from vi.posteriors import ConditionalPosterior, Posterior
from vi.priors import Categorical

K, D = 2, 3


@dataclasses.dataclass(frozen=True)
class ConditionalLabels(ConditionalPosterior):
    """Both labels as samples, each with its probability as mass."""

    def masses(self, samples):
        return tf.nn.softmax(self.parameters["logits"][:, 0])  # [B, K]

    def sample(self, eps):
        z = tf.tile(tf.eye(K, dtype=eps.dtype)[None], [eps.shape[0], 1, 1])  # [B, K, K]
        return z, self.log_prob(z)

    def log_prob(self, z, eps=None):
        return tf.reduce_sum(z * tf.nn.log_softmax(self.parameters["logits"]), axis=-1)

    def kl_terms(self, prior, z):
        return {"y": tf.reduce_sum(self.masses(1) * (self.log_prob(z) - prior.log_prob(z)), axis=1, keepdims=True)}


class Labels(Posterior):
    """q(y|x) over K labels, one-hot, enumerated."""

    discrete = True

    def __init__(self):
        super().__init__(K)
        self.head = keras.layers.Dense(K)

    def __call__(self, features, step=None):
        return ConditionalLabels(self, self.parameters(features))

    def parameters(self, features):
        return {"logits": self.head(features)[:, None]}

    def distribution(self, **parameters):
        raise NotImplementedError

    def noise(self, shape, seed):
        return tf.zeros([*shape, 0], self.compute_dtype)

    def marginals(self, q):
        return None


class Fair(Categorical):
    """Equally probable labels."""

    def __init__(self):
        super().__init__(K, K)

    def marginals(self):
        return None


@pytest.fixture
def model(double):
    model = LatentVariableModel(
        networks.mlp_encoder((D,), hidden=[]), Labels(), networks.mlp_decoder(K, (D,), []), Gaussian((D,)), Fair()
    )
    rng = np.random.default_rng(1)
    for variable in model.variables:
        variable.assign(0.7 * rng.standard_normal(variable.shape))
    return model


def exact(model, x):
    """log p(x) and the ELBO of each datum, by summing over the labels in TensorFlow."""
    kernel, bias = (v.value for v in model.decoder.trainable_variables)
    log_joint = -0.5 * tf.reduce_sum((x[:, None] - kernel - bias) ** 2, -1) - 0.5 * D * np.log(2 * np.pi) - np.log(K)
    log_q = tf.nn.log_softmax(model.posterior.head(x))
    return tf.reduce_logsumexp(log_joint, 1), tf.reduce_sum(tf.exp(log_q) * (log_joint - log_q), 1)


def test_the_bounds_are_the_exact_sums_over_the_labels(model):
    x = models.data()[:, :D]
    particles, (log_p, elbo) = models.make_particles(model, Draws(1), x), exact(model, tf.constant(x))
    np.testing.assert_allclose(particles.elbo(), elbo, rtol=1e-10)
    np.testing.assert_allclose(particles.iw_bound(), log_p, rtol=1e-10)
    for estimator in (AnalyticKL(), MonteCarloKL()):
        np.testing.assert_allclose(estimator.bound(particles), elbo, rtol=1e-10)


@pytest.mark.parametrize("estimator", [AnalyticKL(), MonteCarloKL()])
def test_theta_and_phi_follow_the_gradient_of_the_exact_sum(model, estimator):
    x = tf.constant(models.data()[:, :D])
    found = [g[0] for g in models.sampled_gradients(model, estimator, x, 1)]
    groups = [[v.value for v in group] for group in (model.generative_variables, model.inference_variables)]
    with tf.GradientTape(persistent=True) as tape:
        mean = tf.reduce_mean(exact(model, x)[1])
    for gradient, group in zip(found, groups, strict=True):
        np.testing.assert_allclose(gradient, models.flatten(tape.gradient(mean, group)), rtol=1e-8, atol=1e-12)


def test_a_mass_of_zero_gives_no_nan(model):
    model.posterior.head.bias.assign([0.0, -2000.0])
    x = tf.constant(models.data()[:, :D])
    for gradient in models.sampled_gradients(model, MonteCarloKL(), x, 1):
        assert np.isfinite(gradient).all()
    particles = models.make_particles(model, Draws(1), x)
    np.testing.assert_allclose(particles.log_mean_exp(tf.zeros([len(x), K], tf.float64)), 0.0, atol=1e-12)


@pytest.mark.parametrize("estimator", [IWAE(5), VIMCO(5), MonteCarloKL(2, divergence_samples=3)])
def test_an_estimator_that_would_not_teach_the_labels_is_refused(model, estimator):
    data = Dataset({"x_train": models.data(40)[:, :D]}, "test data", validation=0.25)
    with pytest.raises(ConfigError, match="does not teach the probabilities of enumerated latents"):
        trainer_of(model, estimator, data, models.optimizers(), batch_size=5)


def test_an_evaluation_that_would_not_weigh_the_labels_is_refused(model):
    data = Dataset({"x_train": models.data(40)[:, :D]}, "test data", validation=0.25)
    with pytest.raises(ConfigError, match="the posterior Labels enumerates latents"):
        Evaluator(model, data, jit=False).estimate(data.validation, 1)
