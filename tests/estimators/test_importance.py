"""Importance-weighted bounds and those of other divergences, each against quadrature, in value and in gradient."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.support import models, reference
from vi.errors import ConfigError
from vi.estimators import (
    IWAE,
    MIWAE,
    PIWAE,
    AnalyticKL,
    ChiUpperBound,
    DReG,
    FDivergence,
    MonteCarloKL,
    Renyi,
    StickingTheLanding,
)
from vi.ops import log_mean_exp
from vi.particles import Batch, Draws, Noise, Particles

X = np.random.default_rng(2).standard_normal((3, 2))


def log_mean(samples, power=1.0):
    """The expectation of (1/power) log of the mean of S weights to that power."""
    return lambda log_weight, *q: (
        reference.expected_log_mean(lambda z: power * log_weight(z), *q, samples=samples) / power
    )


def mean_of(function):
    """The expectation of a function of the log weight."""
    return lambda log_weight, *q: reference.expected(lambda z: function(log_weight(z)), *q)


def elbo(log_weight, *q):
    return reference.expected(log_weight, *q)


class Exact:
    """What quadrature says: the expected bound, and what θ and φ ascend; φ nothing where only θ's is given."""

    def __init__(self, bound, *ascended):
        self.bound, self.ascended = bound, ascended or (bound, bound)


def hellinger(log_u):
    return (np.exp(0.5 * log_u) - 1) ** 2


FAMILY = {
    "iwae": (lambda: IWAE(4), Exact(log_mean(4))),
    "iwae_1": (lambda: IWAE(1), Exact(elbo)),
    "dreg": (lambda: DReG(4), Exact(log_mean(4))),
    "dreg_1": (lambda: DReG(1), Exact(elbo)),
    "miwae": (lambda: MIWAE(samples=4, outer=5), Exact(log_mean(4))),
    "piwae": (lambda: PIWAE(samples=4, outer=5), Exact(log_mean(20), log_mean(20), log_mean(4))),
    "stl": (lambda: StickingTheLanding(3), Exact(elbo)),
    "renyi": (lambda: Renyi(0.5, 4), Exact(log_mean(4, 0.5))),
    "renyi_0": (lambda: Renyi(0, 4), Exact(log_mean(4))),
    "renyi_2": (lambda: Renyi(2.0, 4), Exact(log_mean(4, -1.0))),
    "renyi_negative": (lambda: Renyi(-1.0, 4), Exact(log_mean(4, 2.0))),
    "renyi_max": (lambda: Renyi("max", 4), Exact(lambda *q: reference.expected_max(*q, samples=4))),
    "cubo": (lambda: ChiUpperBound(2, 4), Exact(log_mean(4, 2.0), log_mean(4))),
    "cubo_exponential": (
        lambda: ChiUpperBound(1.5, 4, form="exponential", offset=-3.0),
        Exact(log_mean(4, 1.5), log_mean(4), mean_of(lambda log_w: -np.exp(1.5 * (log_w + 3)) / 1.5)),
    ),
    "kl_reverse": (lambda: FDivergence("kl_reverse", 1), Exact(elbo)),
    "squared_hellinger": (
        lambda: FDivergence("squared_hellinger", 4, offset=-3.0),
        Exact(mean_of(lambda log_w: -hellinger(log_w + 3)), log_mean(4), mean_of(lambda log_w: -hellinger(log_w + 3))),
    ),
}


@pytest.mark.parametrize("name", FAMILY)
def test_each_bound_has_its_exact_expectation_and_each_group_its_exact_gradient(name):
    model = models.scalar_gaussian()
    make, exact = FAMILY[name]
    bounds = models.sampled_bounds(model, make(), X.astype("float32"), 800).mean(axis=1)
    groups = models.scalar_arrays(model)
    models.assert_mean(bounds, models.scalar_mean(exact.bound, X, *groups))
    sampled = models.sampled_gradients(model, make(), X.astype("float32"), 800)
    for place, (samples, quadrature) in enumerate(zip(sampled, exact.ascended, strict=False)):

        def mean(arrays, place=place, quadrature=quadrature):
            both = [*groups]
            both[place] = arrays
            return models.scalar_mean(quadrature, X, *both)

        models.assert_mean(samples, reference.gradient(mean, groups[place]))


def test_the_quadrature_gives_the_closed_form_elbo_and_rises_to_log_p():
    model = models.scalar_gaussian()
    groups = models.scalar_arrays(model)
    values = [models.scalar_mean(log_mean(s), X, *groups) for s in (1, 2, 4, 8, 64, 2**18)]
    assert values[0] == pytest.approx(models.exact_elbos(model, X.astype("float32")).mean(), rel=1e-5)
    assert np.all(np.diff(values) > 0)
    assert values[-1] < np.mean([models.oracle(model).log_marginal(x) for x in X]) < values[-1] + 0.001


def test_elbo_iwae_of_twice_the_samples_and_log_p_are_in_this_order():
    model, x = models.linear_gaussian(), models.data()
    bounds = [models.sampled_bounds(model, e, x, 400).mean(axis=1) for e in (MonteCarloKL(6), IWAE(6), IWAE(12))]
    bounds.append(np.full(400, np.mean([models.oracle(model).log_marginal(each) for each in x])))
    for lower, higher in itertools.pairwise(bounds):
        assert (higher - lower).mean() > 5 * (higher - lower).std() / np.sqrt(400)


def test_exp_of_n_cubo_is_unbiased_for_the_moment_of_the_weights():
    model = models.scalar_gaussian()
    x, estimator = X.astype("float32"), ChiUpperBound(1.5, 4)
    sampled = np.exp(1.5 * models.sampled_bounds(model, estimator, x, 3000)).mean(axis=1)
    moment = mean_of(lambda log_w: np.exp(1.5 * log_w))
    models.assert_mean(sampled, models.scalar_mean(moment, X, *models.scalar_arrays(model)))


def test_the_log_of_cubo_is_above_log_p_for_many_samples_and_below_its_limit():
    model = models.scalar_gaussian()
    groups = models.scalar_arrays(model)
    log_p = np.mean([models.oracle(model).log_marginal(x) for x in X])
    few, many = (models.scalar_mean(log_mean(s, 2.0), X, *groups) for s in (1, 4096))
    limit = np.mean([models.scalar_mean(lambda *q: 0.5 * np.log(mean_of(lambda w: np.exp(2 * w))(*q)), X, *groups)])
    assert few < log_p < many < limit + 1e-9


def particles(samples=models.S, **options):
    return models.make_particles(models.linear_gaussian(), Draws(samples), **options)


def test_one_sample_makes_every_importance_weighted_bound_the_elbo():
    one = particles(1)
    for estimator in (IWAE(1), DReG(1), MIWAE(1, 1), PIWAE(1, 1), StickingTheLanding(1), Renyi(0.3), Renyi("max")):
        np.testing.assert_allclose(estimator.bound(one), one.log_weight[:, 0], rtol=1e-5)


def test_renyi_tends_to_iwae_the_elbo_and_the_largest_weight(double):
    some = particles()
    np.testing.assert_allclose(Renyi(0).bound(some), IWAE().bound(some), rtol=1e-12)
    half_variance = some.log_weight.numpy().var(axis=1) / 2  # the first order in 1 − α
    for alpha in (0.999, 1.001):
        slope = (Renyi(alpha).bound(some) - MonteCarloKL().bound(some)) / (1 - alpha)
        np.testing.assert_allclose(slope, half_variance, rtol=0.01)
    np.testing.assert_allclose(Renyi(-1e5).bound(some), Renyi("max").bound(some), atol=1e-4)
    values = [Renyi(alpha).bound(some).numpy() for alpha in (-50, -1, 0, 0.5, 2, 50)]
    assert np.all(np.diff(values, axis=0) < 0)


@pytest.mark.parametrize("alpha", [1, 1.0, 0.9995])
def test_renyi_at_1_names_the_elbo(alpha):
    with pytest.raises(ConfigError, match=rf"^alpha={alpha}: .* at 1 the bound is the ELBO, as MonteCarloKL gives it"):
        Renyi(alpha)


@pytest.mark.parametrize(
    ("alpha", "kind"), [(0, "lower"), (0.5, "lower"), (3, "lower"), (-1, "estimate"), ("max", "estimate")]
)
def test_renyi_says_whether_it_bounds(alpha, kind):
    assert Renyi(alpha).kind == kind


@pytest.mark.parametrize("estimator", [MIWAE(samples=2, outer=3), PIWAE(samples=2, outer=3)])
def test_outer_and_inner_samples_are_not_confused(estimator):
    assert estimator.draws.posterior == 6
    some = particles(6)
    grouped = some.log_weight.numpy().reshape(models.B, 3, 2)  # M bounds of S = 2
    means = np.log(np.exp(grouped).mean(axis=2)).mean(axis=1)
    np.testing.assert_allclose(-estimator.objective(some, 0).inference, means, rtol=1e-5)
    whole = means if type(estimator) is MIWAE else np.log(np.exp(grouped).mean(axis=(1, 2)))
    np.testing.assert_allclose(estimator.bound(some), whole, rtol=1e-5)
    np.testing.assert_allclose(-estimator.objective(some, 0).generative, whole, rtol=1e-5)


def test_dreg_follows_the_weighted_objective_for_any_beta():
    """Its gradient by φ at β is that of the β-weighted importance bound, in expectation."""
    model, x = models.scalar_gaussian(), X.astype("float32")
    dreg = models.sampled_gradients(model, DReG(4), x, 3000, kl_weight=3.0)
    iwae = models.sampled_gradients(model, IWAE(4), x, 3000, kl_weight=3.0)
    np.testing.assert_allclose(dreg[0], iwae[0], rtol=1e-3, atol=1e-4)
    models.assert_mean(dreg[1] - iwae[1], np.zeros_like(iwae[1][0]))


@pytest.mark.parametrize("estimator", [StickingTheLanding(5), DReG(5), StickingTheLanding(5, importance_weighted=True)])
def test_at_the_true_posterior_the_path_derivative_has_no_variance(estimator, double):
    model, x = models.linear_gaussian(), models.data()
    models.make_posterior_exact(model)
    np.testing.assert_allclose(models.sampled_gradients(model, estimator, x, 10)[1], 0, atol=1e-12)
    assert models.sampled_gradients(model, IWAE(5), x, 10)[1].std(axis=0).max() > 0.01


def test_importance_weighted_sticking_the_landing_is_biased_for_phi_as_documented():
    model, x = models.scalar_gaussian(), X.astype("float32")
    biased = models.sampled_gradients(model, StickingTheLanding(4, importance_weighted=True), x, 800)
    iwae = models.sampled_gradients(model, IWAE(4), x, 800)
    np.testing.assert_allclose(biased[0], iwae[0], rtol=1e-3, atol=1e-4)
    with pytest.raises(AssertionError, match="allowed deviation"):
        models.assert_mean(biased[1] - iwae[1], np.zeros_like(iwae[1][0]))


OF_WEIGHTS_THEMSELVES = ("cubo_exponential", "squared_hellinger")
MEMBERS = {name: make for name, (make, _) in FAMILY.items() if name not in OF_WEIGHTS_THEMSELVES}


@pytest.mark.parametrize("name", MEMBERS)
def test_large_weights_do_not_overflow_and_float32_agrees_with_float64(name):
    estimator = MEMBERS[name]()
    log_weight = np.random.default_rng(0).normal(-500, 200, (models.B, estimator.draws.posterior))

    def bound(precision):
        values, zeros = tf.constant(log_weight, precision), tf.zeros(log_weight.shape, precision)
        return estimator.bound(
            Particles(values, Batch(values), Noise(zeros), None, None, zeros, values, zeros, zeros)
        ).numpy()

    assert np.all(np.isfinite(bound("float32")))
    np.testing.assert_allclose(bound("float32"), bound("float64"), rtol=1e-5)


def test_log_mean_exp_neither_overflows_nor_underflows():
    for shift in (-1e4, 0.0, 1e4):
        x = tf.constant([[shift, shift + 1.0]])
        assert log_mean_exp(x, axis=1).numpy()[0] == pytest.approx(shift + np.log((1 + np.e) / 2), rel=1e-6)


def test_f_divergences_are_named_by_the_functions_of_tensorflow_probability():
    import tensorflow_probability as tfp

    from vi.estimators.divergences import csiszar_functions

    assert {"kl_forward", "kl_reverse", "amari_alpha", "jensen_shannon", "t_power"} <= set(csiszar_functions())
    some = particles()
    expected = -tf.reduce_mean(tfp.vi.amari_alpha(some.log_weight + 7.0, alpha=0.5), axis=1)
    np.testing.assert_allclose(FDivergence("amari_alpha", 5, offset=-7.0, alpha=0.5).bound(some), expected, rtol=1e-6)
    with pytest.raises(ConfigError, match=r"^function=kl: must be one of amari_alpha, "):
        FDivergence("kl")
    with pytest.raises(ConfigError, match=r"^function=t_power: missing a required argument: 't'"):
        FDivergence("t_power")


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_in_log_form_phi_follows_the_cubo_gradient_with_an_error_of_order_1_over_S(beta):
    """β weighs log p(z) and log q(z|x) in the weights; q(z|x), over which the expectation is, stays."""
    model, x = models.scalar_gaussian(), 0.3 * X  # q not far off: the weights are not of a few samples
    theta, phi = models.scalar_arrays(model)

    def cubo(arrays):
        def tempered(log_weight, mean, sd):
            def power(z):
                log_ratio = -0.5 * z**2 + 0.5 * ((z - mean) / sd) ** 2 + np.log(sd)
                return 2 * (log_weight(z) + (beta - 1) * log_ratio)

            return 0.5 * np.log(reference.expected(lambda z: np.exp(power(z)), mean, sd))

        return models.scalar_mean(tempered, x, theta, arrays)

    exact = -reference.gradient(cubo, phi)
    sampled = models.sampled_gradients(model, ChiUpperBound(2, 2000), x.astype("float32"), 100, kl_weight=beta)[1]
    models.assert_mean(sampled, exact)


def test_phi_of_cubo_comes_nearer_to_the_posterior_also_from_afar():
    """Where the estimate of a few samples falls as q moves away, so that to descend it would lead there."""
    model, x = models.scalar_gaussian(), X.astype("float32")
    loc_bias = model.posterior.trainable_variables[1]
    loc_bias.assign(loc_bias + 4.0)
    towards = models.exact_gradients(model, x)[1]  # of the ELBO: minus that of KL(q ‖ p(z|x))
    steps = models.sampled_gradients(model, ChiUpperBound(2, 5), x, 300)[1] @ towards
    assert steps.mean() > 5 * steps.std() / np.sqrt(300)


def test_settings_that_would_do_nothing_are_refused():
    with pytest.raises(ConfigError, match=r"^offset=-90\.0: must be left out for form=log"):
        ChiUpperBound(offset=-90.0)
    with pytest.raises(ConfigError, match=r"^groups=3: is a setting of free bits"):
        AnalyticKL(groups=3)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ChiUpperBound(samples=1), r"^samples=1: must be at least 2 for form=log"),
        (lambda: ChiUpperBound(form="exponential"), r"^offset=None: must be set for form=exp"),
        (lambda: FDivergence("kl_forward"), r"^offset=None: must be set for function=kl_forward"),
    ],
)
def test_settings_that_would_teach_phi_nothing_are_refused(make, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make()


def test_far_from_its_offset_an_f_divergence_has_no_gradient_in_single_precision():
    log_weight = tf.constant([[-100.0, -99.0]])
    for offset, taught in ((0.0, False), (-100.0, True)):
        with tf.GradientTape() as tape:
            tape.watch(log_weight)
            particles = Particles(
                None, Batch(log_weight), Noise(log_weight), None, None, None, log_weight, *2 * [0 * log_weight]
            )
            bound = FDivergence("kl_forward", 2, offset).bound(particles)
        assert bool(np.any(tape.gradient(bound, log_weight))) is taught
