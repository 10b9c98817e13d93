"""The three first estimators agree with each other and with closed forms, in value and in gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import models
from tests.support.extensions import ImplicitPosterior
from tests.support.training import differentiate, make_trainer
from vi.data import Dataset
from vi.errors import ConfigError
from vi.estimators import IWAE, AnalyticKL, MonteCarloKL, Reconstruction
from vi.particles import Draws
from vi.posteriors import Deterministic, DiagonalGaussian, FullCovarianceGaussian, Posterior

ESTIMATORS = {
    "analytic_kl": lambda: AnalyticKL(),
    "monte_carlo_kl": lambda: MonteCarloKL(),
    "monte_carlo_kl_own_draws": lambda: MonteCarloKL(samples=2, divergence_samples=7),
    "multi_sample": lambda: AnalyticKL(samples=25),
    "multi_sample_monte_carlo_kl": lambda: MonteCarloKL(samples=25),
}
POSTERIORS = [DiagonalGaussian, FullCovarianceGaussian]


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_has_the_elbo_as_its_expectation(name, posterior):
    model, estimator, x = models.linear_gaussian(posterior), ESTIMATORS[name](), models.data()
    models.assert_mean(models.sampled_bounds(model, estimator, x, 1000), models.exact_elbos(model, x))


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_follows_the_gradient_of_the_elbo_for_theta_and_for_phi(name, posterior):
    model, estimator, x = models.linear_gaussian(posterior), ESTIMATORS[name](), models.data()
    sampled = models.sampled_gradients(model, estimator, x, repeats=1000)
    for samples, exact in zip(sampled, models.exact_gradients(model, x), strict=True):
        models.assert_mean(samples, exact)


def test_the_exact_gradients_are_those_of_the_numpy_reference():
    model, x = models.linear_gaussian(), models.data()
    mean, covariance = models.moments(model, x)
    variance = np.array([np.diag(c) for c in covariance])
    terms = [models.oracle(model).elbo_gradients(*each) for each in zip(x, mean, variance, strict=True)]
    by_w, by_b, by_mean, by_log_variance = (np.stack(t) for t in zip(*terms, strict=True))
    theta = np.concatenate([by_w.mean(0).T.ravel(), by_b.mean(0)])
    heads = [(x[:, :, None] * by[:, None]).mean(0).ravel() for by in (by_mean, by_log_variance)]
    phi = np.concatenate([heads[0], by_mean.mean(0), heads[1], by_log_variance.mean(0)])
    for exact, expected in zip(models.exact_gradients(model, x), (theta, phi), strict=True):
        np.testing.assert_allclose(exact, expected, rtol=1e-4, atol=1e-5)


def test_the_variance_of_a_multi_sample_bound_falls_as_one_over_the_samples():
    model, x = models.linear_gaussian(), models.data()

    def variance(samples):
        return models.sampled_bounds(model, MonteCarloKL(samples), x, 1000).var(axis=0, ddof=1).mean()

    assert variance(1) / variance(16) == pytest.approx(16, rel=0.25)  # four sd of the ratio: 4 · 2 / √(1000 · B)


@pytest.mark.parametrize("estimator", [AnalyticKL(3), MonteCarloKL(3), MonteCarloKL(3, 2)])
def test_beta_weighs_the_kl_in_the_loss_and_never_in_the_bound(estimator):
    model = models.linear_gaussian()
    plain = models.make_particles(model, estimator.draws)
    beta = tf.constant([0.0, 0.5, 1.0, 4.0])
    weighted = models.make_particles(model, estimator.draws, kl_weight=beta)
    np.testing.assert_array_equal(estimator.bound(weighted), estimator.bound(plain))
    distortion = -tf.reduce_mean(plain.log_likelihood, axis=1)
    expected = distortion + beta * estimator.divergence(plain)
    np.testing.assert_allclose(estimator.losses(weighted, 0).generative, expected, rtol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("beta", [1.0, 2.0, [0.0, 0.5, 1.0, 4.0]])
def test_beta_enters_the_default_losses_through_tempered_particles(beta, precision):
    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)
    model, estimator = models.linear_gaussian(), IWAE(models.S)
    weight = beta if isinstance(beta, float) else tf.constant(beta, precision)
    particles = models.make_particles(model, estimator.draws, kl_weight=weight)
    log_ratio = particles.log_prior - particles.log_posterior
    log_weight = particles.log_likelihood + np.reshape(beta, [-1, 1]) * log_ratio
    expected = -(tf.reduce_logsumexp(log_weight, axis=1) - np.log(models.S))
    np.testing.assert_allclose(estimator.losses(particles, 0).inference, expected, rtol=1e-5)
    plain = models.make_particles(model, estimator.draws)
    np.testing.assert_array_equal(estimator.bound(particles), estimator.bound(plain))


def test_single_precision_agrees_with_double(double):
    model, x = models.linear_gaussian(), models.data(dtype="float64")
    exact = [AnalyticKL(5).bound(models.make_particles(model, Draws(5), x)).numpy()]
    weights = [v.numpy() for v in model.variables]
    noise = model.noise(Draws(5), tf.range(models.B), models.random.seed(0, "train"), 0).posterior
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    single = models.linear_gaussian()
    for variable, value in zip(single.variables, weights, strict=True):
        variable.assign(value)
    from vi.particles import Noise

    particles = single.particles(tf.constant(x, "float32"), Noise(tf.cast(noise, "float32")))
    np.testing.assert_allclose(AnalyticKL(5).bound(particles), exact[0], rtol=1e-5)


def test_a_posterior_that_is_not_reparameterized_is_refused():
    class Frozen(DiagonalGaussian):
        reparameterized = False

    model = models.linear_gaussian(Frozen)
    with pytest.raises(ConfigError, match="AnalyticKL follows gradients through z, but the posterior Frozen"):
        AnalyticKL().checked_losses(models.make_particles(model, Draws()), 0)


def test_a_pair_without_closed_form_is_one_sentence_that_names_it():
    import tensorflow_probability as tfp

    class Laplace(Posterior):
        def __init__(self, latent_dim):
            super().__init__(latent_dim)
            self.head = keras.layers.Dense(latent_dim)

        def parameters(self, features):
            return {"loc": self.head(features)[:, None]}

        def distribution(self, loc):
            base = tfp.distributions.Sample(tfp.distributions.Laplace(tf.zeros([], loc.dtype), 1.0), loc.shape[-1])
            return tfp.distributions.TransformedDistribution(base, tfp.bijectors.Shift(loc))

    model = models.linear_gaussian(Laplace)
    particles = models.make_particles(model, Draws(models.S))
    assert MonteCarloKL(models.S).bound(particles).shape == (models.B,)
    with pytest.raises(ConfigError, match="posterior Laplace to prior StandardNormal has no closed form"):
        AnalyticKL().bound(particles)


def test_estimators_that_need_a_density_refuse_an_implicit_posterior():
    particles = models.make_particles(models.linear_gaussian(ImplicitPosterior), Draws(models.S))
    for estimator in (AnalyticKL(models.S), MonteCarloKL(models.S), IWAE(models.S)):
        with pytest.raises(ConfigError, match="ImplicitPosterior"):
            estimator.bound(particles)


@pytest.mark.parametrize("batch_size", [1, 4, 13])
def test_the_exact_and_the_monte_carlo_kl_train_on_the_same_loss_at_any_batch_size(batch_size):
    """Whatever weighs the KL: β of the run, a weight of each datum's KL, a weight of each datum's loss."""

    rng = np.random.default_rng(0)
    weights = {name: rng.random(30).astype(np.float32) for name in ("weight_train", "kl_weight_train")}
    data = Dataset({"x_train": models.data(30, "float32"), **weights}, "test data", validation=0.25)

    def losses(estimator, repeats):
        trainer = make_trainer(estimator, data=data, batch_size=batch_size, beta=10.0)
        index = tf.range(batch_size)

        @tf.function
        def loss(step):
            return differentiate(trainer, index, step)[1]

        return np.array([loss(tf.constant(i)).means["generative"].numpy() for i in range(repeats)])

    exact, sampled = losses(AnalyticKL(100), 100), losses(MonteCarloKL(100, divergence_samples=10), 100)
    models.assert_mean(exact - sampled, 0.0)


def test_samples_of_their_own_for_the_kl_leave_the_likelihood_at_its_samples():
    model = models.linear_gaussian()
    estimator = MonteCarloKL(models.S, divergence_samples=7)
    noise = models.make_particles(model, estimator.draws).noise
    assert noise.posterior.shape[1] == models.S
    assert noise.divergence.shape[1] == 7
    particles = models.make_particles(model, estimator.draws)
    z, log_q = particles.posterior.sample(noise.divergence)
    expected = tf.reduce_mean(log_q - model.prior.log_prob(z), axis=1)
    np.testing.assert_allclose(estimator.divergence(particles), expected, rtol=1e-6)


def test_the_mean_log_likelihood_is_below_the_log_likelihood_of_the_mean():
    """Jensen's inequality: log p(x|·) is concave in the output, so the latter would overstate the bound."""
    from vi.likelihoods import Bernoulli

    likelihood = Bernoulli((models.D,))
    rng = np.random.default_rng(0)
    outputs = tf.constant(3 * rng.standard_normal((models.B, 25, models.D)), "float32")
    x = tf.constant(rng.integers(0, 2, (models.B, 1, models.D)), "float32")
    mean_log_likelihood = tf.reduce_mean(likelihood(outputs).log_prob(x), axis=1)
    for mean in (
        tf.reduce_mean(outputs, 1, keepdims=True),
        logit(tf.reduce_mean(tf.sigmoid(outputs), 1, keepdims=True)),
    ):
        assert np.all(mean_log_likelihood.numpy() < likelihood(mean).log_prob(x).numpy()[:, 0])
    particles = models.make_particles(models.linear_gaussian(), Draws(25))
    expected = tf.reduce_mean(particles.log_likelihood, axis=1) - particles.posterior.kl(particles.prior)
    np.testing.assert_allclose(AnalyticKL(25).bound(particles), expected, rtol=1e-6)


def test_reconstruction_is_the_expected_log_likelihood_of_any_posterior():
    for posterior in (DiagonalGaussian, Deterministic):
        particles = models.make_particles(models.linear_gaussian(posterior), Draws(models.S))
        estimator = Reconstruction(models.S)
        expected = tf.reduce_mean(particles.log_likelihood, axis=1)
        np.testing.assert_array_equal(estimator.bound(particles), expected)
        np.testing.assert_array_equal(estimator.losses(particles, 0).inference, -expected)


def logit(p):
    return tf.math.log(p) - tf.math.log1p(-p)


@pytest.mark.parametrize("estimator", [AnalyticKL, MonteCarloKL])
def test_the_kl_of_each_latent_sums_to_the_kl(estimator):
    particles = models.make_particles(models.linear_gaussian(), Draws(models.S))
    split = estimator(models.S).divergence_per_dimension(particles)
    assert split.shape == (models.B, models.L)
    np.testing.assert_allclose(tf.reduce_sum(split, axis=1), estimator().divergence(particles), rtol=1e-5)


def test_the_kl_of_each_latent_takes_the_samples_for_the_kl_alone():
    model, estimator = models.linear_gaussian(), MonteCarloKL(2, divergence_samples=7)
    particles = models.make_particles(model, estimator.draws)
    total = tf.reduce_sum(estimator.divergence_per_dimension(particles), axis=1)
    np.testing.assert_allclose(total, estimator.divergence(particles), rtol=1e-5)


@pytest.mark.parametrize(("groups", "sizes"), [(None, [1, 1, 1]), (1, [3]), (3, [1, 1, 1])])
def test_free_bits_are_the_larger_of_lambda_and_the_mean_kl_of_each_group(groups, sizes):
    """Σ max(λ, mean over the batch of the KL of a group) (Kingma et al., 2016)."""
    model = models.linear_gaussian()
    particles = models.make_particles(model, Draws(models.S))
    split = particles.posterior.kl_per_dimension(model.prior).numpy().mean(axis=0)
    means = [part.sum() for part in np.split(split, np.cumsum(sizes)[:-1])]
    bits = float(np.median(means)) * 1.01  # at least one group is below
    estimator = AnalyticKL(models.S, free_bits=bits, groups=groups)
    expected = np.sum(np.maximum(means, bits)) - tf.reduce_mean(particles.log_likelihood)
    np.testing.assert_allclose(tf.reduce_mean(estimator.losses(particles, 0).inference), expected, rtol=1e-5)
    np.testing.assert_array_equal(estimator.bound(particles), AnalyticKL(models.S).bound(particles))


def test_a_latent_below_its_free_bits_gets_no_gradient_of_the_kl():
    model, x = models.linear_gaussian(), tf.constant(models.data())
    split = tf.reduce_mean(model.encode(x).kl_per_dimension(model.prior), axis=0).numpy()
    bits = float(np.sort(split)[:2].mean())  # between the smallest and the second
    noise = model.noise(Draws(), tf.range(models.B), models.random.seed(0, "train"), 0)

    def gradient(estimator, beta):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(estimator.losses(model.particles(x, noise, beta), 0).inference)
        return tape.gradient(loss, model.posterior.trainable_variables[1].value).numpy()  # of the mean's bias, [L]

    of_kl = gradient(AnalyticKL(free_bits=bits), 1.0) - gradient(AnalyticKL(), 0.0)
    plain = gradient(AnalyticKL(), 1.0) - gradient(AnalyticKL(), 0.0)
    np.testing.assert_allclose(of_kl, np.where(split > bits, plain, 0.0), rtol=1e-3, atol=1e-6)


def test_capacity_is_the_distance_of_the_kl_from_its_schedule():
    """β |KL − C| with C of the step (Burgess et al., 2018, eq. 8)."""
    rising = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 5.0)
    particles = models.make_particles(models.linear_gaussian(), Draws(models.S), kl_weight=3.0)
    divergence = particles.posterior.kl(particles.prior).numpy()
    for capacity, step, expected in ((2.0, 7, 2.0), (rising, 0, 0.0), (rising, 4, 2.0), (rising, 99, 5.0)):
        estimator = AnalyticKL(models.S, capacity=capacity)
        loss = estimator.losses(particles, tf.constant(step, tf.int64)).inference
        penalty = loss + tf.reduce_mean(particles.log_likelihood, axis=1)
        np.testing.assert_allclose(penalty, 3 * np.abs(divergence - expected), rtol=1e-4)
        np.testing.assert_array_equal(estimator.bound(particles), AnalyticKL(models.S).bound(particles))


def test_penalties_that_cannot_be_are_one_sentence():
    with pytest.raises(ConfigError, match=r"^free_bits=0\.5: is one penalty and capacity another"):
        AnalyticKL(free_bits=0.5, capacity=2.0)
    particles = models.make_particles(models.linear_gaussian(), Draws())
    with pytest.raises(ConfigError, match=r"groups=2 must divide the 3 latents"):
        AnalyticKL(free_bits=0.5, groups=2).losses(particles, 0)
    particles = models.make_particles(models.linear_gaussian(FullCovarianceGaussian), Draws())
    with pytest.raises(ConfigError, match="does not split into latent dimensions"):
        MonteCarloKL(free_bits=0.5).losses(particles, 0)
    assert MonteCarloKL(free_bits=0.5, groups=1).losses(particles, 0).inference.shape == (models.B,)


@pytest.mark.parametrize("samples", [0, -3, 2.5])
def test_a_number_of_samples_that_is_none_is_refused_by_every_estimator(samples):
    with pytest.raises(ConfigError, match=rf"^samples={samples}: must be a whole number of at least 1\.$"):
        MonteCarloKL(samples)


def test_a_constructor_that_forgets_the_samples_is_one_sentence():
    class Mine(IWAE):
        def __init__(self, power=2):
            self.power = power

    with pytest.raises(ConfigError, match=r"^Mine: its __init__ must call super\(\).__init__\(samples\)\.$"):
        _ = Mine().draws
