"""Global latents on the contract: a row is the data set, and a minibatch is scaled up within the likelihood."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import models, regression
from tests.support.training import trainer_of
from vi import random
from vi.data import Dataset
from vi.errors import ConfigError
from vi.estimators import IWAE, AnalyticKL, MonteCarloKL, Renyi, StickingTheLanding
from vi.particles import Batch, Draws

LINEAR = [AnalyticKL(2), MonteCarloKL(2), StickingTheLanding(2)]


@pytest.fixture
def model(double):
    return regression.Regression()


@pytest.mark.parametrize("estimator", LINEAR)
def test_minibatches_average_to_the_loss_and_gradient_of_all_data(model, estimator):
    """Over all minibatches of two of six data, with the same noise, to rounding."""
    data, phi = regression.make_data(6), [v.value for v in model.inference_variables]
    noise = model.noise(Draws(2), tf.range(6), random.seed(0, "train"), 0)

    def loss_and_gradient(rows):
        with tf.GradientTape() as tape:
            particles = model.particles(Batch(tf.constant(data[list(rows)]), size=6), noise)
            loss = estimator.checked_losses(particles, tf.constant(0)).inference[0]
        gradient = tape.gradient(loss, phi, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return np.concatenate([[loss.numpy()], models.flatten(gradient)])

    parts = [loss_and_gradient(rows) for rows in itertools.combinations(range(6), 2)]
    np.testing.assert_allclose(np.mean(parts, axis=0), loss_and_gradient(range(6)), rtol=1e-10)


@pytest.mark.parametrize("estimator", [IWAE(4), Renyi(0.5, 4), StickingTheLanding(4, importance_weighted=True)])
def test_what_is_not_linear_in_the_weights_is_refused_on_a_part_of_the_data(model, estimator):
    data = Dataset({"x_train": regression.make_data(80)}, "test data", validation=0.25)
    with pytest.raises(ConfigError, match=r"is biased for global latents on a part of the data.* all 60 data"):
        trainer_of(model, estimator, data, models.optimizers(), batch_size=6)
    assert trainer_of(model, estimator, data, models.optimizers(), batch_size=60, jit=False).run(1)


def test_minibatches_reach_the_exact_posterior_and_evidence(model):
    data = Dataset({"x_train": regression.make_data(80)}, "test data", validation=0.25)
    rate = keras.optimizers.schedules.PolynomialDecay(0.05, 1500, 1e-4)
    trainer = trainer_of(model, StickingTheLanding(4), data, models.optimizers(rate), batch_size=20)
    assert trainer.run(1500)
    trainer.averages()
    assert trainer.run(300)
    mean, covariance, log_evidence = regression.exact_posterior(data.train.x)
    q, sd = model.encode(None).distribution, np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(q.mean()[0, 0], mean, atol=0.2 * sd.min())
    np.testing.assert_allclose(q.covariance()[0, 0], covariance, atol=0.15 * sd.max() ** 2)
    bound = trainer.averages()["train/bound"]  # per datum
    assert bound == pytest.approx(log_evidence / 60, abs=0.1)
