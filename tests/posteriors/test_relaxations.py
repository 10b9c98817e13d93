"""Relaxed and straight-through samples of discrete posteriors: their limits, densities, gradients and temperature."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

import vi
from tests.support import models, reference
from tests.support.discrete import (
    KINDS,
    D,
    K,
    N,
    binary_data,
    conditional,
    discrete_model,
    enumerated_elbos,
    every_kind,
    frequencies,
)
from tests.support.training import differentiate, trainer_of
from vi import posteriors, priors, random
from vi.data import Dataset
from vi.errors import ConfigError
from vi.estimators import IWAE, AnalyticKL, DReG, MonteCarloKL
from vi.evaluation.evaluator import Evaluator
from vi.particles import Draws
from vi.posteriors import BinaryConcrete, GumbelSoftmax
from vi.training.schedules import Annealing

STEP = tf.constant(0, tf.int64)
RELAXED = {
    "bernoulli": lambda **options: BinaryConcrete(models.L, **options),
    "categorical": lambda **options: GumbelSoftmax(N * K, K, **options),
}
every_relaxation = pytest.mark.parametrize("name", RELAXED)
every_mode = pytest.mark.parametrize("straight_through", [False, True])


def relaxed_kind(name, **options):
    """The discrete kind with its relaxation in place of its posterior."""
    return dataclasses.replace(KINDS[name], posterior=lambda: RELAXED[name](**options))


def in_training(name, features=4, scale=1.0, **options):
    """q(z|x) at a step of training for B data, and noise for S samples."""
    family = RELAXED[name](**options)
    x = scale * np.random.default_rng(0).standard_normal((models.B, features))
    q = family(tf.constant(x, family.compute_dtype), STEP)
    return q, family.noise([models.B, models.S], random.seed(0, "train"))


def outside_training(q):
    """The same q(z|x) as an evaluation has it."""
    return posteriors.ConditionalPosterior(q.family, q.parameters)


@every_mode
@pytest.mark.parametrize("temperature", [0.01, 5.0])
@every_relaxation
def test_outside_training_it_is_the_discrete_family_whatever_the_temperature(name, temperature, straight_through):
    relaxed = relaxed_kind(name, temperature=temperature, straight_through=straight_through)
    x = binary_data()
    particles = models.make_particles(discrete_model(relaxed), Draws(models.S), x)
    expected = models.make_particles(discrete_model(KINDS[name]), Draws(models.S), x)
    assert frequencies(relaxed, particles.z.numpy().reshape(-1, relaxed.latent_dim)).any(axis=1).all()
    np.testing.assert_array_equal(particles.z, expected.z)
    np.testing.assert_array_equal(particles.log_weight, expected.log_weight)


@every_mode
@every_relaxation
def test_an_evaluation_does_not_depend_on_the_temperature(name, straight_through):
    data = Dataset({"x_train": binary_data(12)}, "test data", validation=0.5)

    def estimates(kind):
        found = Evaluator(discrete_model(kind), data, jit=False).estimate(data.validation, samples=3)
        return dataclasses.astuple(found)

    expected = estimates(KINDS[name])
    for temperature in (0.01, 5.0):
        options = {"temperature": temperature, "straight_through": straight_through}
        np.testing.assert_array_equal(estimates(relaxed_kind(name, **options)), expected)


@every_relaxation
@every_mode
def test_outside_training_no_gradient_along_a_path_is_promised(name, straight_through):
    model = discrete_model(relaxed_kind(name, straight_through=straight_through))
    particles = models.make_particles(model, Draws(2), binary_data())
    assert (particles.posterior.reparameterized, particles.posterior.exact_path) == (False, False)
    with pytest.raises(ConfigError, match="not reparameterized"):
        MonteCarloKL(2).checked_losses(particles, STEP)


@every_relaxation
def test_relaxed_samples_tend_to_the_hard_ones_of_the_same_noise(name):
    q, eps = in_training(name)
    hard, _ = outside_training(q).sample(eps)

    def distance(temperature):
        at = dataclasses.replace(q, temperature=tf.constant(temperature))
        return np.abs(at.code(at.sample(eps)[0]) - hard.numpy()).mean()

    far, nearer, near = (distance(temperature) for temperature in (5.0, 0.5, 1e-4))
    assert far > 2 * nearer > 100 * near
    assert near < 1e-3


@every_relaxation
def test_relaxed_samples_round_to_hard_ones_as_often_as_these_are_probable(name):
    q, _ = in_training(name, temperature=0.7)
    kind, z = KINDS[name], q.sample(q.family.noise([models.B, 20_000], random.seed(1, "train")))[0].numpy()
    for b, log_mass in enumerate(np.exp(outside_training(q).log_prob(tf.constant(kind.values[None], "float32")))):
        variables = z[b].reshape(-1, *kind.shape)
        hard = np.eye(K)[variables.argmax(-1)].reshape(-1, N * K) if name == "categorical" else variables > 0
        models.assert_mean(frequencies(kind, hard), log_mass)


@every_relaxation
def test_straight_through_samples_are_hard_with_the_gradient_of_relaxed_ones(name):
    q, eps = in_training(name, temperature=0.7, straight_through=True)
    relaxed, _ = in_training(name, temperature=0.7)
    logits = q.parameters["logits"]
    weight = tf.random.stateless_normal([models.B, models.S, KINDS[name].latent_dim], [0, 0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        z, log_q = q.sample(eps)
        hard = tf.reduce_sum(weight * z)
        code = relaxed.code(dataclasses.replace(relaxed, parameters={"logits": logits}).sample(eps)[0])
        soft = tf.reduce_sum(weight * code)
    expected, expected_log_q = outside_training(q).sample(eps)
    np.testing.assert_array_equal(z, expected)
    np.testing.assert_array_equal(log_q, expected_log_q)
    np.testing.assert_allclose(tape.gradient(hard, logits), tape.gradient(soft, logits), rtol=1e-6)
    assert np.abs(tape.gradient(hard, logits)).max() > 0.01


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_the_density_of_one_hot_variables_is_that_of_the_concrete_distribution(temperature, double):
    """By TensorFlow Probability's density of the code exp(z), and the determinant of log."""
    q, eps = in_training("categorical", temperature=temperature)
    z, log_q = q.sample(eps)
    split = tf.reshape(z, [models.B, models.S, N, K])
    of_code = tfd.RelaxedOneHotCategorical(temperature, logits=q.parameters["logits"]).log_prob(tf.exp(split))
    np.testing.assert_allclose(log_q, tf.reduce_sum(of_code + tf.reduce_sum(split, -1), -1), rtol=1e-8)
    np.testing.assert_allclose(q.log_prob(z), log_q, rtol=1e-12)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_relaxed_bits_have_the_concrete_density_which_integrates_to_one(temperature, double):
    q, eps = in_training("bernoulli", temperature=temperature)
    z, log_q = q.sample(eps)
    of_code = tfd.RelaxedBernoulli(temperature, logits=q.parameters["logits"]).log_prob(tf.sigmoid(z))
    log_determinant = tf.math.log_sigmoid(z) + tf.math.log_sigmoid(-z)
    np.testing.assert_allclose(log_q, tf.reduce_sum(of_code + log_determinant, -1), rtol=1e-6)
    grid = np.linspace(-200, 200, 400_001)
    one = q.family.relaxation(q.parameters["logits"][0, 0, :1], q.temperature).log_prob(grid[:, None])
    np.testing.assert_allclose(np.sum(np.exp(one)) * (grid[1] - grid[0]), 1, rtol=1e-6)


@every_relaxation
def test_the_weights_of_the_relaxed_prior_have_mean_one(name):
    q, _ = in_training(name, temperature=0.8, scale=0.3)
    z, log_q = q.sample(q.family.noise([models.B, 20_000], random.seed(1, "train")))
    prior = q.against(KINDS[name].prior())
    models.assert_mean(np.exp(prior.log_prob(z) - log_q).T, np.ones(models.B))
    z = prior.sample(KINDS[name].prior().noise([1, 20_000], random.seed(1, "train")))
    np.testing.assert_allclose(tf.reduce_mean(q.code(z)), 1 / K if name == "categorical" else 0.5, atol=0.01)
    models.assert_mean(np.exp(q.log_prob(z) - prior.log_prob(z)).T, np.ones(models.B))


@every_mode
@every_relaxation
def test_the_kl_in_closed_form_is_that_of_the_discrete_distributions(name, straight_through):
    q, _ = in_training(name, straight_through=straight_through)
    expected = outside_training(q).kl_per_dimension(KINDS[name].prior())
    np.testing.assert_array_equal(q.kl_per_dimension(q.against(KINDS[name].prior())), expected)


@pytest.mark.parametrize("temperature", [1e-3, 1.0])
@every_relaxation
def test_low_temperatures_and_extreme_logits_stay_finite(name, temperature):
    q, eps = in_training(name, scale=1e3, temperature=temperature)
    logits = q.parameters["logits"]
    assert np.abs(logits).max() > 300
    with tf.GradientTape() as tape:
        tape.watch(logits)
        q = dataclasses.replace(q, parameters={"logits": logits})
        z, log_q = q.sample(eps)
        log_weight = q.against(KINDS[name].prior()).log_prob(z) - log_q
        total = tf.reduce_sum(log_weight) + tf.reduce_sum(q.code(z)) + tf.reduce_sum(q.stopped().log_prob(z))
    for value in (z, log_weight, tape.gradient(total, logits)):
        assert np.isfinite(value).all()


@every_mode
@every_relaxation
def test_single_precision_agrees_with_double(name, straight_through):
    q, eps = in_training(name, temperature=0.5, straight_through=straight_through)
    wide = {"parameters": tf.nest.map_structure(lambda t: tf.cast(t, "float64"), q.parameters)}
    double = dataclasses.replace(q, **wide, temperature=tf.cast(q.temperature, "float64"))
    for single, exact in zip(q.sample(eps), double.sample(tf.cast(eps, "float64")), strict=True):
        np.testing.assert_allclose(single, exact, rtol=1e-4, atol=1e-5)


@every_mode
@every_relaxation
def test_samples_are_the_same_under_xla(name, straight_through):
    q, eps = in_training(name, straight_through=straight_through)
    compiled = tf.function(lambda p, eps: dataclasses.replace(q, parameters=p).sample(eps), jit_compile=True)
    for value, expected in zip(compiled(q.parameters, eps), q.sample(eps), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (0.7, [0.7, 0.7, 0.7]),
        (Annealing(rate=1e-3, minimum=0.5), [1.0, np.exp(-0.5), 0.5]),
        (keras.optimizers.schedules.PolynomialDecay(1.0, 1000, 0.5), [1.0, 0.75, 0.5]),
        (keras.optimizers.schedules.ExponentialDecay(1.0, 500, 0.5), [1.0, 0.5, 0.5**20]),
    ],
    ids=["number", "annealing", "linear", "exponential"],
)
def test_the_temperature_follows_its_schedule_in_training(schedule, expected):
    model = discrete_model(relaxed_kind("categorical", temperature=schedule))
    data = Dataset({"x_train": binary_data(40)}, "test data", validation=0.25)
    optimizers = {group: keras.optimizers.Adam() for group in ("generative", "inference")}
    trainer = trainer_of(model, AnalyticKL(), data, optimizers, batch_size=models.B)
    index = tf.range(models.B)
    for step, temperature in zip([0, 500, 10_000], expected, strict=True):
        step = tf.constant(step, tf.int64)
        particles = differentiate(trainer, index, step)[0]
        np.testing.assert_allclose(particles.posterior.temperature, temperature, rtol=1e-5)


@every_mode
@every_relaxation
def test_dreams_are_judged_by_the_discrete_posterior_also_in_training(name, straight_through):
    model, x = discrete_model(relaxed_kind(name, straight_through=straight_through)), binary_data()
    noise = model.noise(Draws(dream=2), tf.range(models.B), random.seed(0, "train"), 0)
    training, outside = (model.particles(x, noise, step=step).dream for step in (STEP, None))
    np.testing.assert_array_equal(training.log_posterior, outside.log_posterior)


@every_mode
@every_relaxation
def test_the_elbo_outside_training_is_that_of_the_enumeration(name, straight_through):
    kind, x = relaxed_kind(name, straight_through=straight_through), binary_data()
    model = discrete_model(kind)
    models.assert_mean(models.sampled_bounds(model, AnalyticKL(), x, 200), enumerated_elbos(kind, model, x))


def one_bit(temperature=0.6):
    """A model of one relaxed bit, and its ELBO in training as a function of the data: a sum over a fine grid of z."""
    kind = dataclasses.replace(
        KINDS["bernoulli"],
        posterior=lambda: BinaryConcrete(1, temperature),
        prior=lambda: priors.Bernoulli(1),
        values=reference.binary_vectors(1),
    )
    model = discrete_model(kind)

    def elbo(x):
        z = tf.linspace(-60.0, 60.0, 6001)[None, :, None]
        logits = model.encode(x).parameters["logits"]

        def log_density(logits):  # of z such that sigmoid(z) is binary Concrete
            t = logits - temperature * z
            return (np.log(temperature) + t - 2 * tf.nn.softplus(t))[..., 0]

        log_q, log_prior = log_density(logits), log_density(0.0)
        log_likelihood = model.decode(tf.broadcast_to(tf.sigmoid(z), [len(x), 6001, 1])).log_prob(x[:, None])
        return tf.reduce_sum(tf.exp(log_q) * (log_likelihood + log_prior - log_q), axis=1) * 120 / 6000

    return model, elbo


@pytest.mark.parametrize("estimator", [MonteCarloKL(2), MonteCarloKL(1, 2)])
def test_relaxed_samples_follow_the_gradient_of_the_elbo_of_the_relaxed_model(estimator):
    model, elbo = one_bit()
    x = tf.constant(binary_data())
    groups = (model.generative_variables, model.inference_variables)
    with tf.GradientTape(persistent=True) as tape:
        exact = tf.reduce_mean(elbo(x))
    for sampled, group in zip(models.sampled_gradients(model, estimator, x, 500), groups, strict=True):
        models.assert_mean(sampled, models.flatten(tape.gradient(exact, [v.value for v in group])))


def test_estimators_with_stopped_weights_have_the_same_relaxed_gradient():
    model, _ = one_bit()
    x = tf.constant(binary_data())
    iwae, dreg = (models.sampled_gradients(model, estimator(3), x, 500) for estimator in (IWAE, DReG))
    for one, other in zip(iwae, dreg, strict=True):
        models.assert_mean(one - other, np.zeros_like(one[0]))


def test_a_prior_of_other_variables_is_one_sentence():
    with pytest.raises(
        ConfigError, match=r"BinaryConcrete can only relax a prior of .* its kind, which Categorical is not"
    ):
        in_training("bernoulli")[0].against(priors.Categorical(models.L, 3))
    other = dataclasses.replace(KINDS["categorical"], prior=lambda: priors.Categorical(N * K, categories=2))
    with pytest.raises(ConfigError, match="prior Categorical has other variables than the posterior"):
        discrete_model(other)


@every_kind
def test_a_posterior_that_is_not_relaxed_is_the_same_in_training(kind):
    q, _ = conditional(kind)
    features = tf.constant(np.random.default_rng(0).standard_normal((models.B, 4)), "float32")
    assert type(q.family(features, STEP)) is posteriors.ConditionalPosterior
    np.testing.assert_array_equal(q.family(features, STEP).parameters["logits"], q.parameters["logits"])
    assert D not in (models.B, models.S, kind.latent_dim)


@pytest.mark.parametrize("name", ["categorical", "bernoulli"])
def test_the_kl_of_each_relaxed_variable_sums_to_the_kl(name):
    kind = relaxed_kind(name, temperature=0.7)
    model = discrete_model(kind)
    noise = model.noise(Draws(models.S), tf.range(models.B), random.seed(0, "train"), 0)
    particles = model.particles(tf.constant(binary_data()), noise, 1.0, tf.constant(0))
    split = MonteCarloKL(models.S).divergence_per_dimension(particles)
    np.testing.assert_allclose(tf.reduce_sum(split, axis=1), MonteCarloKL().divergence(particles), rtol=1e-4)


@pytest.mark.parametrize("straight_through", [False, True])
def test_in_training_no_elbo_is_logged_of_relaxed_samples(straight_through):
    kind = relaxed_kind("bernoulli", straight_through=straight_through)
    data = Dataset({"x_train": binary_data(40)}, "test data", validation=0.25)
    optimizers = {group: keras.optimizers.SGD() for group in ("generative", "inference")}
    trainer = trainer_of(discrete_model(kind), AnalyticKL(), data, optimizers, batch_size=models.B)
    assert {"train/bound", "train/nll"} <= set(trainer.metric_names)
    assert ({"train/elbo", "train/kl"} <= set(trainer.metric_names)) is straight_through


@pytest.mark.slow
def test_the_bound_of_a_run_with_relaxed_samples_is_an_estimate(tmp_path):
    tiny = ["logger=none", "trainer.epochs=1", "trainer.evaluate_every=1", "trainer.validation_samples=2"]
    bits = ["posterior=binary_concrete", "prior=bernoulli", "model.latent_dim=5"]
    for straight_through, kind in ((False, "estimate"), (True, "lower")):
        own = f"posterior.straight_through={str(straight_through).lower()}"
        run = vi.train([*tiny, *bits, own], directory=tmp_path / kind)
        assert run.summary["kind"] == kind
