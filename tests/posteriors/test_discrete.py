"""Bits and one-hot variables, as posteriors and as priors, against enumeration of all their values."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.support import models, reference
from tests.support.discrete import (
    KINDS,
    binary_data,
    conditional,
    discrete_model,
    enumerated_elbos,
    every_kind,
    frequencies,
    log_masses,
)
from vi import posteriors, priors, random
from vi.errors import ConfigError
from vi.estimators import AnalyticKL, MonteCarloKL
from vi.particles import Draws
from vi.posteriors import ConditionalPosterior


@every_kind
def test_log_q_is_normalized_and_that_of_the_definition(kind, double):
    q, logits = conditional(kind)
    log_q = q.log_prob(tf.constant(kind.values[None])).numpy()
    assert log_q.shape == (models.B, len(kind.values))
    np.testing.assert_allclose(np.exp(log_q).sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(log_q, log_masses(kind, logits), rtol=1e-10)


@every_kind
def test_samples_are_hard_with_their_log_mass_and_as_frequent_as_it_says(kind):
    q, logits = conditional(kind)
    eps = q.family.noise([models.B, 20_000], random.seed(0, "train"))
    assert eps.shape == (models.B, 20_000, *kind.shape)
    z, log_q = q.sample(eps)
    assert z.shape == (models.B, 20_000, kind.latent_dim)
    for b, log_mass in enumerate(log_masses(kind, logits)):
        which = frequencies(kind, z.numpy()[b])
        assert which.any(axis=1).all()
        models.assert_mean(which, np.exp(log_mass))
        np.testing.assert_allclose(log_q[b], which @ log_mass, rtol=1e-4)
        models.assert_mean(z.numpy()[b], q.mean().numpy()[b])


@every_kind
def test_the_kl_to_the_prior_is_that_of_the_enumeration_and_the_sum_over_variables(kind, double):
    q, logits = conditional(kind)
    log_q = log_masses(kind, logits)
    expected = np.sum(np.exp(log_q) * (log_q + np.log(len(kind.values))), axis=1)
    by_variable = q.kl_per_dimension(kind.prior())
    assert by_variable.shape == (models.B, kind.shape[0])
    np.testing.assert_allclose(q.kl(kind.prior()), expected, rtol=1e-10)
    np.testing.assert_allclose(tf.reduce_sum(by_variable, 1), expected, rtol=1e-10)


@every_kind
@pytest.mark.parametrize("estimator", [AnalyticKL(), MonteCarloKL(2)])
def test_the_elbo_of_the_enumeration_is_the_expectation_of_the_bound(kind, estimator):
    model, x = discrete_model(kind), binary_data()
    models.assert_mean(models.sampled_bounds(model, estimator, x, 1000), enumerated_elbos(kind, model, x))


@every_kind
def test_the_fair_prior_has_equally_probable_values_and_samples_as_frequent(kind):
    prior = kind.prior()
    np.testing.assert_allclose(
        prior.log_prob(tf.constant(kind.values, "float32")), -np.log(len(kind.values)), rtol=1e-6
    )
    z = prior.sample(prior.noise([20_000], random.seed(0, "train"))).numpy()
    models.assert_mean(frequencies(kind, z), np.full(len(kind.values), 1 / len(kind.values)))


def test_learned_coins_are_fair_at_first_and_belong_to_the_generative_parameters():
    kind = KINDS["bernoulli"]
    fair, prior = kind.prior(), priors.Bernoulli(models.L, learned=True)
    z = tf.constant(kind.values, "float32")
    np.testing.assert_array_equal(prior.log_prob(z), fair.log_prob(z))
    logits = np.array([-2.0, 0.5, 1.0])
    prior.logits.assign(logits)
    expected = [reference.log_bernoulli(each, logits) for each in kind.values]
    np.testing.assert_allclose(prior.log_prob(z), expected, rtol=1e-6)
    samples = prior.sample(prior.noise([20_000], random.seed(0, "train"))).numpy()
    models.assert_mean(frequencies(kind, samples), np.exp(expected))
    q, q_logits = conditional(kind)
    log_q = log_masses(kind, q_logits)
    np.testing.assert_allclose(q.kl(prior), np.sum(np.exp(log_q) * (log_q - expected), axis=1), rtol=1e-5)
    model = discrete_model(dataclasses.replace(kind, prior=lambda: prior))
    assert any(v is prior.logits for v in model.generative_variables)
    with tf.GradientTape() as tape:
        value = prior.log_prob(z[:1])
    np.testing.assert_allclose(tape.gradient(value, prior.logits.value), -tf.sigmoid(prior.logits.value), rtol=1e-6)


@every_kind
def test_extreme_logits_stay_finite(kind):
    q, _ = conditional(kind, scale=1e4)
    z, log_q = q.sample(q.family.noise([models.B, models.S], random.seed(0, "train")))
    assert np.abs(q.parameters["logits"]).max() > 1e3
    with tf.GradientTape() as tape:
        tape.watch(q.parameters["logits"])
        values = [q.sample(q.family.noise([models.B, models.S], random.seed(0, "train")))[1], q.kl(kind.prior())]
        total = tf.add_n([tf.reduce_sum(v) for v in values])
    for value in (z, log_q, *values, q.log_prob(tf.constant(kind.values[None], "float32"))):
        assert np.isfinite(value).all()
    assert np.isfinite(tape.gradient(total, q.parameters["logits"])).all()


@every_kind
def test_samples_and_their_masses_are_the_same_under_xla(kind):
    q, _ = conditional(kind)
    eps = q.family.noise([models.B, 200], random.seed(0, "train"))
    compiled = tf.function(
        lambda logits, eps: ConditionalPosterior(q.family, {"logits": logits}).sample(eps), jit_compile=True
    )
    (z, log_q), (z_compiled, log_q_compiled) = q.sample(eps), compiled(q.parameters["logits"], eps)
    np.testing.assert_array_equal(z, z_compiled)
    np.testing.assert_allclose(log_q, log_q_compiled, rtol=1e-5)


@pytest.mark.parametrize("family", [posteriors.Categorical, priors.Categorical])
@pytest.mark.parametrize(("latent_dim", "categories"), [(10, 3), (10, 1)])
def test_categories_that_do_not_divide_the_latent_dimension_are_one_sentence(family, latent_dim, categories):
    with pytest.raises(ConfigError, match=rf"^categories={categories}: must .* divide latent_dim=10"):
        family(latent_dim, categories)


def test_a_mass_and_a_density_are_no_model():
    with pytest.raises(
        ConfigError, match="posterior Bernoulli is discrete, but the prior StandardNormal is continuous"
    ):
        discrete_model(dataclasses.replace(KINDS["bernoulli"], prior=lambda: priors.StandardNormal(models.L)))


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [
        (lambda: posteriors.Bernoulli(6), lambda: priors.Categorical(6, 2)),
        (lambda: posteriors.Categorical(6, 3), lambda: priors.Bernoulli(6)),
        (lambda: posteriors.Categorical(6, 3), lambda: priors.Categorical(6, 2)),
    ],
)
def test_a_prior_of_other_variables_is_no_model(posterior, prior):
    kind = dataclasses.replace(KINDS["categorical"], posterior=posterior, prior=prior)
    with pytest.raises(ConfigError, match="has other variables than the posterior"):
        discrete_model(kind)


@every_kind
def test_dreams_are_hard_and_have_their_log_mass(kind):
    model = discrete_model(kind)
    dream = models.make_particles(model, Draws(dream=2), binary_data()).dream
    assert frequencies(kind, dream.z.numpy().reshape(-1, kind.latent_dim)).any(axis=1).all()
    assert dream.log_posterior.shape == (models.B, 2)
    np.testing.assert_allclose(dream.log_prior, -np.log(len(kind.values)), rtol=1e-6)
