"""Posterior families against NumPy, in both precisions."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests.support import models, reference
from vi import random
from vi.errors import ConfigError
from vi.posteriors import (
    Bernoulli,
    BinaryConcrete,
    Categorical,
    Deterministic,
    DiagonalGaussian,
    FullCovarianceGaussian,
    GumbelSoftmax,
    LocationScale,
)
from vi.priors import Density, StandardNormal

FAMILIES = {
    "log_variance": lambda: DiagonalGaussian(models.L),
    "log_sd": lambda: DiagonalGaussian(models.L, scale="log_sd"),
    "full_covariance": lambda: FullCovarianceGaussian(models.L),
}
ALL = FAMILIES | {
    "location_scale": lambda: LocationScale(models.L, base="laplace", base_scale=0.5),
    "bernoulli": lambda: Bernoulli(models.L),
    "categorical": lambda: Categorical(models.L, categories=3),
    "binary_concrete": lambda: BinaryConcrete(models.L),
    "gumbel_softmax": lambda: GumbelSoftmax(models.L, categories=3),
}
BASES = {
    "normal": scipy.stats.norm,
    "laplace": scipy.stats.laplace,
    "logistic": scipy.stats.logistic,
    "gumbel": scipy.stats.gumbel_r,
}


def conditional(name, features=4):
    """q(z|x) for B data, and noise for S samples."""
    family = ALL[name]()
    x = np.random.default_rng(0).standard_normal((models.B, features))
    q = family(tf.constant(x, family.compute_dtype))
    return q, family.noise([models.B, models.S], random.seed(0, "train"))


@pytest.mark.parametrize("name", FAMILIES)
def test_log_q_of_a_sample_is_the_density_at_it(name, double):
    q, eps = conditional(name)
    z, log_q = q.sample(eps)
    assert z.shape == (models.B, models.S, models.L)
    assert log_q.shape == (models.B, models.S)
    np.testing.assert_allclose(log_q, q.log_prob(z), rtol=1e-10)
    mean, covariance = q.distribution.mean().numpy()[:, 0], q.distribution.covariance().numpy()[:, 0]
    for b in range(models.B):
        expected = [reference.log_normal(each, mean[b], covariance[b]) for each in z.numpy()[b]]
        np.testing.assert_allclose(log_q[b], expected, rtol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_samples_have_the_mean_and_covariance_of_q(name):
    family = FAMILIES[name]()
    q = family(tf.random.stateless_normal([1, 4], [0, 0]))
    z = q.sample(family.noise([1, 20_000], random.seed(0, "train")))[0].numpy()[0]
    models.assert_mean(z, q.mean().numpy()[0])
    centred = z - q.mean().numpy()[0]
    outer = (centred[:, :, None] * centred[:, None]).reshape(len(z), -1)
    models.assert_mean(outer, q.distribution.covariance().numpy().ravel())


@pytest.mark.parametrize("name", FAMILIES)
def test_the_kl_to_the_standard_normal_is_the_closed_form(name, double):
    q, _ = conditional(name)
    prior = StandardNormal(models.L)
    mean, covariance = q.distribution.mean().numpy()[:, 0], q.distribution.covariance().numpy()[:, 0]
    zero, one = np.zeros(models.L), np.eye(models.L)
    expected = [reference.kl_gaussians(m, c, zero, one) for m, c in zip(mean, covariance, strict=True)]
    np.testing.assert_allclose(q.kl(prior), expected, rtol=1e-9)


def test_the_kl_of_a_diagonal_gaussian_splits_into_dimensions():
    q, _ = conditional("log_variance")
    by_dimension = q.kl_per_dimension(StandardNormal(models.L))
    assert by_dimension.shape == (models.B, models.L)
    np.testing.assert_allclose(tf.reduce_sum(by_dimension, 1), q.kl(StandardNormal(models.L)), rtol=1e-6)


def test_the_kl_of_a_full_covariance_does_not_split():
    q, _ = conditional("full_covariance")
    with pytest.raises(ConfigError, match="FullCovarianceGaussian to StandardNormal does not split"):
        q.kl_per_dimension(StandardNormal(models.L))


@pytest.mark.parametrize("name", ALL)
def test_a_stopped_copy_is_equal_and_passes_gradients_to_z_only(name):
    family = ALL[name]()
    features = tf.constant(np.random.default_rng(0).standard_normal((models.B, 4)), "float32")
    z = tf.ones([models.B, models.S, models.L])
    with tf.GradientTape() as tape:
        tape.watch([features, z])
        q = family(features)
        value = q.stopped().log_prob(z)
    np.testing.assert_array_equal(value, q.log_prob(z))
    variables = [v.value for v in family.trainable_variables]
    to_features, to_z, *to_weights = tape.gradient(value, [features, z, *variables])
    assert to_features is None
    assert all(g is None for g in to_weights)
    assert np.abs(to_z).min() > 0


class Shifted(DiagonalGaussian):
    """Has a weight beside its head, as a flow has."""

    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        self.shift = self.add_weight(shape=(latent_dim,), initializer="ones")

    def distribution(self, loc, scale_diag):
        return super().distribution(loc=loc + tf.convert_to_tensor(self.shift), scale_diag=scale_diag)


@pytest.mark.parametrize("jit", [True, False])
def test_a_stopped_copy_stops_weights_beside_the_head_too(jit):
    family = Shifted(models.L)
    q, z = family(tf.ones([models.B, 4])), tf.zeros([models.B, models.S, models.L])

    @tf.function(jit_compile=jit)
    def gradients(stop):
        with tf.GradientTape() as tape:
            tape.watch(z)
            q = family(tf.ones([models.B, 4]))
            q = q.stopped() if stop else q
            value = q.log_prob(z)
        return value, *tape.gradient(value, [family.shift.value, z], unconnected_gradients="zero")

    (value, to_shift, to_z), (plain, to_shift_plain, _) = gradients(True), gradients(False)
    np.testing.assert_allclose(value, plain, rtol=1e-6)
    np.testing.assert_allclose(value, q.log_prob(z), rtol=1e-5)
    assert np.abs(to_shift).max() == 0
    assert np.abs(to_shift_plain).min() > 0
    assert np.abs(to_z).min() > 0
    with tf.GradientTape() as tape:
        kl = q.stopped().kl(StandardNormal(models.L))
    assert tape.gradient(kl, family.shift.value) is None


def test_the_factor_of_a_full_covariance_is_triangular_with_a_softplus_diagonal():
    family, features = FullCovarianceGaussian(models.L), tf.constant(np.random.default_rng(0).standard_normal((5, 4)))
    factor = family(features).parameters["scale_tril"].numpy()[:, 0]
    raw = family.scale_head(features).numpy()
    np.testing.assert_array_equal(np.triu(factor, 1), 0)
    of_head = np.sort(np.logaddexp(0, raw), axis=1)
    diagonal = np.diagonal(factor, axis1=1, axis2=2)
    for b in range(5):  # each diagonal entry is the softplus of one output of the head
        assert np.isclose(diagonal[b][:, None], of_head[b], rtol=1e-5).any(axis=1).all()


def test_a_mean_without_closed_form_is_a_sample_mean():
    import tensorflow_probability as tfp

    class LogNormal(DiagonalGaussian):
        def distribution(self, **parameters):
            gaussian = tfp.distributions.MultivariateNormalDiag(**parameters)
            bijector = tfp.bijectors.Exp()(gaussian.bijector)
            return tfp.distributions.TransformedDistribution(gaussian.distribution, bijector)

    q = LogNormal(2)(tf.zeros([1, 3]))  # exp of a standard normal
    sd = np.sqrt((np.e - 1) * np.e)
    np.testing.assert_allclose(q.mean()[0], np.exp(0.5), atol=4 * sd / np.sqrt(1000))
    np.testing.assert_array_equal(q.mean(), q.mean())


@pytest.mark.parametrize("name", ALL)
def test_single_precision_agrees_with_double(name):
    q, eps = conditional(name)
    wide = {key: tf.cast(value, "float64") for key, value in q.parameters.items()}
    double = type(q)(q.family, wide)
    (z, log_q), (z_double, log_q_double) = q.sample(eps), double.sample(tf.cast(eps, "float64"))
    np.testing.assert_allclose(z, z_double, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(log_q, log_q_double, rtol=1e-4, atol=1e-5)


def test_extreme_parameters_stay_finite():
    family = DiagonalGaussian(1)
    for log_variance in (-80.0, 80.0):
        q = type(conditional("log_sd")[0])(
            family, {"loc": tf.zeros([1, 1, 1]), "scale_diag": tf.exp([[[log_variance / 2]]])}
        )
        z, log_q = q.sample(tf.ones([1, 1, 1]))
        assert np.isfinite(z).all()
        np.testing.assert_allclose(log_q, [[-0.5 - 0.5 * np.log(2 * np.pi) - log_variance / 2]], rtol=1e-5)


def test_the_standard_normal_prior_has_its_density_and_samples_are_the_noise():
    prior = StandardNormal(models.L)
    z = prior.noise([models.B, models.S], random.seed(0, "train"))
    np.testing.assert_array_equal(prior.sample(z), z)
    expected = [[reference.log_normal(s, np.zeros(models.L), np.eye(models.L)) for s in b] for b in z.numpy()]
    np.testing.assert_allclose(prior.log_prob(z), expected, rtol=1e-5)


@pytest.mark.parametrize("base", BASES)
def test_the_base_distribution_of_the_noise_is_a_choice(base, double):
    family = LocationScale(models.L, base=base, base_scale=0.5)
    q = family(tf.constant(np.random.default_rng(0).standard_normal((models.B, 4))))
    eps = family.noise([models.B, models.S], random.seed(0, "train"))
    z, log_q = q.sample(eps)
    loc, scale = (q.parameters[name].numpy() for name in ("loc", "scale_diag"))
    np.testing.assert_allclose(z, loc + scale * eps.numpy(), rtol=1e-12)
    np.testing.assert_allclose(log_q, BASES[base].logpdf(z, loc, 0.5 * scale).sum(-1), rtol=1e-9)
    np.testing.assert_allclose(q.log_prob(z), log_q, rtol=1e-9)
    noise = family.noise([2000], random.seed(1, "train")).numpy().ravel()
    assert scipy.stats.kstest(noise, BASES[base](scale=0.5).cdf).pvalue > 1e-3


def test_a_normal_base_of_scale_one_is_the_diagonal_gaussian():
    general, gaussian = LocationScale(models.L, base="normal"), DiagonalGaussian(models.L)
    features = tf.constant(np.random.default_rng(0).standard_normal((models.B, 4)), "float32")
    general(features), gaussian(features)
    general.set_weights(gaussian.get_weights())
    eps = gaussian.noise([models.B, models.S], random.seed(0, "train"))
    for one, other in zip(general(features).sample(eps), gaussian(features).sample(eps), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    prior = StandardNormal(models.L)
    np.testing.assert_allclose(general(features).kl(prior), gaussian(features).kl(prior), rtol=1e-5)


def test_another_base_has_no_kl_in_closed_form_and_says_what_to_use():
    q = LocationScale(models.L, base="laplace")(tf.ones([models.B, 4]))
    with pytest.raises(
        ConfigError, match=r"LocationScale to prior StandardNormal has no closed form; .*monte_carlo_kl"
    ):
        q.kl(StandardNormal(models.L))


def test_a_point_mass_is_its_code_for_every_sample_and_has_no_density():
    family = Deterministic(models.L, activation="sigmoid")
    features = tf.constant(np.random.default_rng(0).standard_normal((models.B, 4)), "float32")
    with tf.GradientTape() as tape:
        q = family(features)
        z, log_q = q.sample(family.noise([models.B, models.S], random.seed(0, "train")))
    assert log_q is None
    assert z.shape == (models.B, models.S, models.L)
    kernel, bias = (v.numpy() for v in family.trainable_variables)
    code = 1 / (1 + np.exp(-(features.numpy() @ kernel + bias)))
    np.testing.assert_allclose(z, np.repeat(code[:, None], models.S, 1), rtol=1e-5)
    np.testing.assert_allclose(q.mean(), code, rtol=1e-5)
    for refused in (lambda: q.kl(StandardNormal(models.L)), lambda: q.log_prob(z)):
        with pytest.raises(ConfigError, match=r"Deterministic is a point mass: .* use estimator=reconstruction"):
            refused()
    assert all(np.abs(g).max() > 0 for g in tape.gradient(z, [v.value for v in family.trainable_variables]))


def test_an_unnormalized_density_is_a_prior_known_by_its_log_density_alone():
    prior = Density(models.L, lambda z: -tf.reduce_sum(tf.abs(z), axis=-1))
    z = tf.random.stateless_normal([models.B, models.S, models.L], [0, 0])
    np.testing.assert_allclose(prior.log_prob(z), -np.abs(z.numpy()).sum(-1), rtol=1e-6)
    q = DiagonalGaussian(models.L)(tf.ones([models.B, 4]))
    with pytest.raises(ConfigError, match=r"is known only by its log density.*estimator=monte_carlo_kl"):
        q.kl(prior)
    with pytest.raises(ConfigError, match="cannot be sampled"):
        prior.sample(tf.zeros([5, models.L]))


@pytest.mark.parametrize("wrong", [lambda z: z, lambda z: tf.reduce_sum(z), lambda z: 0.0])
def test_a_log_density_of_the_wrong_shape_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"the log density gives .* but must give a number for each z"):
        Density(models.L, wrong).log_prob(tf.zeros([models.B, models.S, models.L]))
