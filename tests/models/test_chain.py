"""Two stochastic layers on the contract: one tensor of latents, a posterior and a prior that are chains."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.support import models
from tests.support.chain import log_marginal, make_chain
from tests.support.training import trainer_of
from vi.data import Dataset
from vi.estimators import IWAE, AnalyticKL, DReG, MonteCarloKL, StickingTheLanding
from vi.particles import Draws
from vi.training.step import kl_metrics


def data(size):
    return np.random.default_rng(0).standard_normal((size, 3))


@pytest.mark.usefixtures("double")
def test_at_the_exact_posterior_every_weight_is_p_of_x():
    particles = models.make_particles(make_chain(), Draws(5), data(4))
    expected = np.tile(log_marginal(data(4))[:, None], [1, 5])
    np.testing.assert_allclose(particles.log_weight, expected, rtol=1e-10)
    np.testing.assert_allclose(particles.stopped().log_weight, expected, rtol=1e-10)


@pytest.mark.usefixtures("double")
def test_the_kl_of_each_layer_is_closed_given_the_layers_above():
    particles = models.make_particles(make_chain(0.3), Draws(2000), data(4))
    terms = particles.posterior.kl_terms(particles.prior, particles.z)
    assert {name: term.shape for name, term in terms.items()} == {"z2": (4, 1), "z1": (4, 2000)}
    sampled = particles.log_ratio - (terms["z2"] + terms["z1"])  # [B, S], of mean zero
    models.assert_mean(sampled.numpy().T, 0.0)
    np.testing.assert_allclose(particles.kl(), tf.reduce_mean(terms["z2"] + terms["z1"], 1), rtol=1e-4)


@pytest.mark.usefixtures("double")
def test_the_kl_of_each_layer_is_weighted_by_the_masses_in_the_row_of_metrics():
    particles = models.make_particles(make_chain(0.3), Draws(3), data(4))
    mass = tf.constant([[0.7, 0.2, 0.1]] * 4, tf.float64)
    particles = dataclasses.replace(particles, mass=mass)
    terms = particles.posterior.kl_terms(particles.prior, particles.z)
    row = {name: value.numpy() for name, value in kl_metrics(particles).items()}
    np.testing.assert_allclose(row["train/kl/z1"], tf.reduce_sum(mass * terms["z1"], 1), rtol=1e-12)
    np.testing.assert_allclose(row["train/kl/z2"], terms["z2"][:, 0], rtol=1e-12)
    np.testing.assert_allclose(row["train/kl"], row["train/kl/z1"] + row["train/kl/z2"], rtol=1e-12)
    np.testing.assert_allclose(row["train/kl"], particles.kl(), rtol=1e-12)


@pytest.mark.parametrize("estimator", [AnalyticKL(4), MonteCarloKL(4), IWAE(4), DReG(4), StickingTheLanding(4)])
def test_every_estimator_trains_and_the_kl_of_each_layer_is_logged(estimator):
    split = Dataset({"x_train": data(40).astype("float32")}, "test data", validation=0.25)
    model = make_chain(1.0)
    trainer = trainer_of(model, estimator, split, models.optimizers(0.05), batch_size=10, jit=False)
    assert trainer.run(100)
    assert abs(float(model.posterior.shift.numpy())) < 0.3
    row = trainer.averages()
    assert row["train/kl"] == pytest.approx(row["train/kl/z1"] + row["train/kl/z2"], rel=1e-5)
