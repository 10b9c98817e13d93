"""The model: one order of axes, everything deterministic in the noise, every variable in one group."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import models
from tests.support.discrete import KINDS, discrete_model
from tests.support.extensions import ImplicitPosterior
from vi import posteriors, priors, random
from vi.errors import ConfigError
from vi.likelihoods import Gaussian
from vi.models import LatentVariableModel
from vi.particles import Draws, Noise
from vi.posteriors import FullCovarianceGaussian
from vi.priors import StandardNormal


def test_shapes_are_batch_samples_latent():
    model, draws = models.linear_gaussian(), Draws(posterior=5, divergence=7, prior=2, dream=8)
    particles = models.make_particles(model, draws)
    noise = particles.noise
    assert noise.posterior.shape == (models.B, 5, models.L)
    assert noise.divergence.shape == (models.B, 7, models.L)
    assert noise.prior.shape == (models.B, 2, models.L)
    assert noise.dream.prior.shape == (models.B, 8, models.L)
    assert noise.dream.likelihood.shape == (models.B, 8, models.D)
    assert particles.x.shape == (models.B, 1, models.D)
    assert particles.z.shape == (models.B, 5, models.L)
    for density in (
        particles.log_likelihood,
        particles.log_prior,
        particles.log_posterior,
        particles.log_weight,
    ):
        assert density.shape == (models.B, 5)
    dream = particles.dream
    assert dream.x.shape == (models.B, 8, models.D)
    assert dream.z.shape == (models.B, 8, models.L)
    for density in (dream.log_likelihood, dream.log_prior, dream.log_posterior):
        assert density.shape == (models.B, 8)


def test_noise_is_drawn_for_what_is_asked_and_nothing_else():
    noise = models.make_particles(models.linear_gaussian(), Draws()).noise
    assert (noise.divergence, noise.prior, noise.dream) == (None, None, None)


def test_the_number_of_other_draws_does_not_change_the_samples():
    model = models.linear_gaussian()
    few, many = (models.make_particles(model, d).z for d in (Draws(5), Draws(5, 3, 2, 1)))
    np.testing.assert_array_equal(few, many)


def test_the_same_noise_gives_the_same_particles_bit_for_bit():
    model = models.linear_gaussian()
    x, eps = tf.constant(models.data()), tf.random.stateless_normal([models.B, models.S, models.L], [1, 2])
    first, second = (model.particles(x, Noise(eps)) for _ in range(2))
    np.testing.assert_array_equal(first.log_weight, second.log_weight)
    assert not np.array_equal(first.log_weight, model.particles(x, Noise(2 * eps)).log_weight)


def test_log_densities_are_those_of_the_numpy_reference():
    model = models.linear_gaussian(FullCovarianceGaussian)
    particles, oracle = models.make_particles(model, Draws(models.S)), models.oracle(model)
    x, z = models.data(), particles.z.numpy()
    noise = oracle.sd**2 * np.eye(models.D)
    for b in range(models.B):
        for s in range(models.S):
            mean = oracle.w @ z[b, s] + oracle.b
            expected = models.reference.log_normal(x[b], mean, noise)
            np.testing.assert_allclose(particles.log_likelihood[b, s], expected, rtol=1e-4)
            expected = models.reference.log_normal(z[b, s], np.zeros(models.L), np.eye(models.L))
            np.testing.assert_allclose(particles.log_prior[b, s], expected, rtol=1e-4)


def test_dreams_are_draws_from_the_model_and_pass_no_gradient():
    model = models.linear_gaussian()
    oracle = models.oracle(model)
    noise = model.noise(Draws(dream=3000), tf.range(2), random.seed(0, "train"), 0)
    with tf.GradientTape() as tape:
        dream = model.particles(tf.zeros([2, models.D]), noise).dream
        total = tf.reduce_sum(dream.x) + tf.reduce_sum(dream.z)
    variables = [v.value for v in model.generative_variables]
    assert all(g is None for g in tape.gradient(total, variables))
    x = dream.x.numpy().reshape(-1, models.D)
    models.assert_mean(x, oracle.b)
    centred = x - oracle.b
    covariance = oracle.w @ oracle.w.T + oracle.sd**2 * np.eye(models.D)
    models.assert_mean((centred[:, :, None] * centred[:, None]).reshape(len(x), -1), covariance.ravel())
    q = model.encode(dream.x[1])
    np.testing.assert_allclose(q.log_prob(dream.z[1][:, None])[:, 0], dream.log_posterior[1], rtol=1e-4)


def test_every_variable_is_in_one_group():
    model = models.linear_gaussian()
    groups = [id(v) for v in model.generative_variables + model.inference_variables]
    assert len(groups) == len(set(groups)) == len(model.variables)
    assert {id(v) for v in model.variables} == set(groups)


def test_particles_of_an_implicit_posterior_have_no_log_weight():
    particles = models.make_particles(models.linear_gaussian(ImplicitPosterior), Draws(models.S))
    assert particles.log_posterior is None
    with pytest.raises(ConfigError, match="ImplicitPosterior is implicit: it has no density"):
        _ = particles.log_weight


def test_what_people_call():
    model = models.linear_gaussian()
    x = tf.constant(models.data())
    assert model.encode(x).mean().shape == (models.B, models.L)
    assert model.decode(tf.zeros([2, 3, models.L])).mean().shape == (2, 3, models.D)
    assert model.generate(7).shape == (7, models.D)
    assert model.reconstruct(x).shape == x.shape
    np.testing.assert_array_equal(model.generate(7, seed=1), model.generate(7, seed=1))
    assert not np.array_equal(model.generate(7, seed=1), model.generate(7, seed=0))


def test_numpy_arrays_come_back_where_numpy_arrays_went_in():
    model, x = models.linear_gaussian(), models.data().astype(np.float64)
    q, z = model.encode(x), np.zeros((2, models.L))
    eps = np.zeros((models.B, 2, models.L))
    given = [q.mean(), q.stddev(), q.quantile(0.5), model.decode(z).mean(), model.decode(z).mode()]
    given += [model.reconstruct(x), model.reconstruct(x, eps=eps), model.generate(eps=z)]
    given += [*q.sample(eps), q.log_prob(eps), q.kl(model.prior), q.kl_per_dimension(model.prior)]
    given += [model.decode(z).log_prob(x[:2]), model.decode(z).sample(x[:2])]
    for value in given:
        assert isinstance(value, np.ndarray)
    tensors = model.encode(tf.constant(x, tf.float32))
    np.testing.assert_array_equal(given[0], tensors.mean())
    assert all(map(tf.is_tensor, (tensors.mean(), tensors.stddev(), tensors.quantile(0.5), model.generate(2))))


FAMILIES = {
    "diagonal": (models.DiagonalGaussian, StandardNormal),
    "full covariance": (FullCovarianceGaussian, StandardNormal),
    "Laplace": (functools.partial(posteriors.LocationScale, base="laplace"), StandardNormal),
    "bits": (posteriors.Bernoulli, priors.Bernoulli),
    "one-hot": tuple(functools.partial(room.Categorical, categories=3) for room in (posteriors, priors)),
    "relaxed bits": (posteriors.BinaryConcrete, priors.Bernoulli),
    "point": (posteriors.Deterministic, StandardNormal),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_distribution_of_an_array_has_no_axis_for_samples(family):
    posterior, prior = FAMILIES[family]
    model, x = models.linear_gaussian(posterior, prior=prior), models.data()
    of_array, of_tensor = (model.encode(each) for each in (x, tf.constant(x)))
    q = of_array.distribution
    assert (q.batch_shape, q.event_shape) == ((models.B,), (model.latent_dim,))
    assert q.sample(5, seed=0).shape == (5, models.B, model.latent_dim)
    assert of_tensor.distribution.batch_shape == (models.B, 1)
    if family != "point":
        z, log_q = of_tensor.sample(model.posterior.noise([models.B, 1], random.seed(0, "people")))
        np.testing.assert_allclose(q.log_prob(z[:, 0]), log_q[:, 0], rtol=1e-4)
        np.testing.assert_allclose(of_array.log_prob(z.numpy()[:, 0]), log_q[:, 0], rtol=1e-4)
        np.testing.assert_allclose(of_array.log_prob(z.numpy()), log_q, rtol=1e-4)


@pytest.mark.parametrize("posterior", [None, FullCovarianceGaussian])
def test_standard_deviations_and_quantiles_are_those_of_q(posterior):
    model = models.linear_gaussian(*[posterior] if posterior else [])
    q = model.encode(models.data())
    mean, sd = q.mean(), q.stddev()
    np.testing.assert_allclose(sd, q.distribution.stddev(), rtol=1e-6)
    error = 5 * 2.1 / np.sqrt(1000) if posterior else 1e-4  # the quantile of 1,000 samples; sd of a 5% quantile is 2.1
    np.testing.assert_allclose((q.quantile(0.05) - mean) / sd, -1.6449, atol=error)
    with pytest.raises(ConfigError, match=r"probability=5: must be from 0 to 1"):
        q.quantile(5)


def test_data_and_latents_of_a_wrong_width_are_answered_in_words():
    model, wrong = models.linear_gaussian(), np.zeros((5, models.D + 1), np.float32)
    for x in (wrong, tf.constant(wrong), wrong[0]):
        for call in (model.encode, model.reconstruct):
            with pytest.raises(ConfigError, match=r"x of shape \((5, )?7,?\): the model takes data of shape \(6,\)"):
                call(x)
    with pytest.raises(ConfigError, match=r"z of shape \(2, 7\): the model has 3 latents"):
        model.decode(np.zeros((2, 7)))


def test_a_model_prints_its_parts_with_shapes_and_parameters():
    lines = str(models.linear_gaussian()).splitlines()
    assert lines[0] == "LatentVariableModel with 66 parameters"
    assert "posterior  DiagonalGaussian of z (3,), 42 parameters" in lines[2]
    assert [line.split()[0] for line in lines[1:]] == ["encoder", "posterior", "decoder", "likelihood", "prior"]


def test_people_may_bring_their_own_noise():
    model, x = models.linear_gaussian(), tf.constant(models.data())
    eps = tf.random.stateless_normal([models.B, models.S, models.L], [0, 0])
    images = model.reconstruct(x, eps=eps)
    assert images.shape == (models.B, models.S, models.D)
    np.testing.assert_array_equal(images, model.reconstruct(x, eps=eps))
    q = model.encode(x).distribution
    z = q.mean() + q.stddev() * eps
    np.testing.assert_allclose(images, model.decode(z).mean(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(x, eps=0 * eps)[:, 0], model.decode(q.mean()).mean()[:, 0], rtol=1e-4)
    z = tf.random.stateless_normal([7, models.L], [0, 1])
    np.testing.assert_array_equal(model.generate(eps=z), model.decode(z).mean())


class Late(Gaussian):
    """A likelihood that makes a random layer when it is first used."""

    dropout = None

    def distribution(self, output):
        if self.dropout is None:
            self.dropout = keras.layers.Dropout(0.5)
        return super().distribution(self.dropout(output, training=True))

    def log_prob(self, output, x):
        return self.distribution(output).log_prob(x)


def test_a_random_layer_that_is_made_at_the_first_use_is_a_function_of_the_noise():
    plain = models.linear_gaussian()
    model = LatentVariableModel(plain.encoder, plain.posterior, plain.decoder, Late((models.D,)), plain.prior)
    x = tf.constant(models.data())

    def particles(step):
        noise = model.noise(Draws(), tf.range(models.B), random.seed(0, "train"), step)
        return model.particles(x, noise._replace(posterior=tf.zeros([models.B, 1, models.L])), 1.0, tf.constant(step))

    np.testing.assert_array_equal(particles(0).log_likelihood, particles(0).log_likelihood)
    assert (particles(0).log_likelihood.numpy() != particles(1).log_likelihood.numpy()).any()
    assert particles(0).updates == ()


def test_the_z_and_the_x_of_a_dream_have_noise_of_their_own():
    dream = models.linear_gaussian().noise(Draws(dream=4), tf.range(models.B), random.seed(0, "train"), 0).dream
    of_z, of_x = (noise.numpy().ravel() for noise in dream)
    assert not np.isin(of_z, of_x).any()


def test_what_is_generated_is_decoded_from_draws_of_the_prior():
    model = discrete_model(KINDS["bernoulli"])
    uniform = np.array([[0.1, 0.9, 0.4], [0.7, 0.2, 0.6]], np.float32)
    np.testing.assert_allclose(model.generate(eps=uniform), model.decode((uniform < 0.5).astype(np.float32)).mean())


def test_dreams_have_no_noise_of_the_posterior():
    dream = models.make_particles(models.linear_gaussian(), Draws(dream=3)).dream
    assert dream.noise.posterior is None


class NotIndependent(Gaussian):
    """A likelihood that forgets that its event is the whole datum."""

    def distribution(self, output):
        return super().distribution(output).distribution

    def log_prob(self, output, x):
        return self.distribution(output).log_prob(x)


def test_a_likelihood_without_its_event_is_named():
    plain = models.linear_gaussian()
    with pytest.raises(ConfigError, match=r"the likelihood NotIndependent: .* wrap it in tfd\.Independent"):
        LatentVariableModel(plain.encoder, plain.posterior, plain.decoder, NotIndependent((models.D,)), plain.prior)
