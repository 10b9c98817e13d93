"""Likelihoods against NumPy, at extreme outputs, and their samples against their means."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import models, reference
from vi import random
from vi.errors import ConfigError
from vi.likelihoods import Bernoulli, Gaussian, NoLikelihood

EVENT = (3, 2)
SCALES = ["fixed", "shared", "per_dimension", "output"]


def output_of(likelihood):
    shape = (models.B, models.S, *likelihood.outputs(EVENT))
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_bernoulli_log_prob_is_that_of_the_definition():
    likelihood = Bernoulli(EVENT)
    output, x = output_of(likelihood), np.random.default_rng(1).integers(0, 2, (models.B, 1, *EVENT))
    value = likelihood(tf.constant(output)).log_prob(tf.constant(x, "float32"))
    expected = [[reference.log_bernoulli(x[b, 0], output[b, s]) for s in range(models.S)] for b in range(models.B)]
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_bernoulli_is_exact_at_extreme_logits_and_on_grey_levels():
    likelihood = Bernoulli((1,))
    logits = tf.constant([[[-200.0], [200.0], [0.0]]])
    np.testing.assert_allclose(likelihood(logits).log_prob(tf.ones([1, 1, 1])), [[-200, 0, -np.log(2)]], atol=1e-6)
    grey = likelihood(logits).log_prob(tf.fill([1, 1, 1], 0.25))
    np.testing.assert_allclose(grey, [[-50, -150, -np.log(2)]], rtol=1e-6)


@pytest.mark.parametrize("form", ["relative", "softplus"])
@pytest.mark.parametrize("scale", SCALES)
def test_gaussian_log_prob_and_its_initial_scale(scale, form):
    likelihood = Gaussian(EVENT, scale=scale, sd=0.3, form=form)
    output = output_of(likelihood)
    x = np.random.default_rng(1).standard_normal((models.B, 1, *EVENT)).astype(np.float32)
    p = likelihood(tf.constant(output))
    assert len(likelihood.trainable_variables) == (scale in ("shared", "per_dimension"))
    loc = output[..., :2]
    sd = np.full_like(loc, 0.3)
    if scale == "output":
        sd = 0.3 * np.log1p(np.exp(output[..., 2:] + np.log(np.expm1(1.0))))
    if (scale, form) == ("output", "softplus"):
        sd = np.log1p(np.exp(output[..., 2:] + np.log(np.expm1(0.3))))
    expected = (-0.5 * ((x - loc) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)).sum((-2, -1))
    np.testing.assert_allclose(p.log_prob(tf.constant(x)), expected, rtol=1e-4)
    np.testing.assert_allclose(p.mean(), loc)
    np.testing.assert_allclose(p.mode(), loc)


@pytest.mark.parametrize(
    "make", [lambda: Bernoulli(EVENT), *(lambda s=s: Gaussian(EVENT, scale=s, sd=0.5) for s in SCALES)]
)
def test_samples_have_the_mean_and_the_variance_of_the_distribution(make):
    likelihood = make()
    output = tf.constant(output_of(likelihood)[:1, :1])
    p = likelihood(tf.repeat(output, 5000, axis=1))
    x = p.sample(likelihood.noise([1, 5000], random.seed(0, "train"))).numpy()[0]
    mean, variance = (value.numpy().ravel() for value in (likelihood(output).mean(), p.distribution.variance()[0, 0]))
    models.assert_mean(x.reshape(5000, -1), mean)
    models.assert_mean((x.reshape(5000, -1) - mean) ** 2, variance)


@pytest.mark.parametrize("make", [lambda: Bernoulli(EVENT), *(lambda s=s: Gaussian(EVENT, scale=s) for s in SCALES)])
def test_the_initial_output_gives_the_mean_of_the_data(make):
    likelihood = make()
    mean = np.random.default_rng(0).uniform(0.01, 0.99, EVENT)
    output = likelihood.initial_output(mean)
    assert output.shape == likelihood.outputs(EVENT)
    np.testing.assert_allclose(likelihood(tf.constant(output[None, None], "float32")).mean()[0, 0], mean, rtol=1e-5)


def test_the_initial_logits_of_constant_pixels_are_finite():
    assert np.isfinite(Bernoulli(EVENT).initial_output(np.array([[0.0, 1.0]] * 3))).all()


@pytest.mark.parametrize("form", ["relative", "softplus"])
@pytest.mark.parametrize("sd", [1e-4, 0.3, 50.0, 1e4])
def test_a_learned_scale_starts_at_sd(sd, form):
    likelihood = Gaussian((1,), scale="shared", sd=sd, form=form)
    assert not likelihood.adapts
    np.testing.assert_allclose(scale_of(likelihood), sd, rtol=1e-4)


def scale_of(likelihood):
    return likelihood(tf.zeros([1, 1, *likelihood.outputs(likelihood.event_shape)])).distribution.stddev()[0, 0]


@pytest.mark.parametrize("scale", ["shared", "per_dimension", "output"])
def test_without_sd_a_learned_scale_starts_at_the_residual(scale):
    likelihood = Gaussian(EVENT, scale=scale)
    assert likelihood.adapts
    residual = np.array([[0.1, 2.0], [30.0, 0.0], [5.0, 1.0]])
    likelihood.adapt(residual)
    overall = np.sqrt(np.mean(residual**2))
    expected = np.maximum(residual, 1e-3 * overall)  # the scale of a constant element is small, not zero
    np.testing.assert_allclose(scale_of(likelihood), overall if scale == "shared" else expected, rtol=1e-5)


@pytest.mark.parametrize("factor", [0.01, 0.1])
def test_a_learned_scale_falls_a_hundredfold_within_600_steps_of_adam(factor):
    likelihood, optimizer = Gaussian((5,), scale="shared", sd=1.0), keras.optimizers.Adam(0.001)
    x = factor * tf.constant(np.random.default_rng(0).standard_normal((64, 1, 5)), "float32")

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(likelihood(tf.zeros([64, 1, 5])).log_prob(x))
        optimizer.apply(tape.gradient(loss, likelihood.trainable_variables), likelihood.trainable_variables)

    optimizer.build(likelihood.trainable_variables)
    for _ in range(600):
        step()
    np.testing.assert_allclose(scale_of(likelihood), np.sqrt(np.mean(x**2)), rtol=0.1)


def test_a_sigmoid_mean_is_between_0_and_1_and_starts_at_the_mean_of_the_data():
    likelihood = Gaussian(EVENT, mean="sigmoid", sd=0.4)
    output, x = output_of(likelihood), np.random.default_rng(1).random((models.B, 1, *EVENT), np.float32)
    mean = 1 / (1 + np.exp(-output))
    p = likelihood(tf.constant(output))
    np.testing.assert_allclose(p.mean(), mean, rtol=1e-5)
    expected = (-0.5 * ((x - mean) / 0.4) ** 2 - np.log(0.4) - 0.5 * np.log(2 * np.pi)).sum((-2, -1))
    np.testing.assert_allclose(p.log_prob(tf.constant(x)), expected, rtol=1e-4)
    start = likelihood.initial_output(x[0, 0])[None, None]
    np.testing.assert_allclose(likelihood(tf.constant(start)).mean()[0, 0], np.clip(x[0, 0], 0.001, 0.999), rtol=1e-4)


def test_with_half_the_pixels_as_variance_the_gaussian_is_the_mean_squared_error():
    pixels = 6
    likelihood = Gaussian((pixels,), sd=float(np.sqrt(pixels / 2)))
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((models.B, 1, pixels)).astype(np.float32) for _ in range(2))
    constant = 0.5 * pixels * np.log(2 * np.pi * pixels / 2)
    loss = -likelihood(tf.constant(y)).log_prob(tf.constant(x)) - constant
    np.testing.assert_allclose(loss, ((x - y) ** 2).mean(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("scale", ["fixed", "shared", "output"])
def test_a_gaussian_of_many_elements_is_precise_in_single_precision(scale, jit):
    """784 constants of about 4 nats are not added up one by one."""
    event = (28, 28, 1)
    rng = np.random.default_rng(0)
    likelihood = Gaussian(event, scale=scale, sd=19.8)
    output = 0.1 * rng.standard_normal((2, 1, *likelihood.outputs(event)))
    x = rng.random((2, 1, *event))
    log_prob = tf.function(lambda output, x: likelihood(output).log_prob(x), jit_compile=jit)
    sd = 19.8 * np.logaddexp(0, output[..., 1:] + np.log(np.expm1(1.0))) if scale == "output" else 19.8
    exact = (-0.5 * ((x - output[..., :1]) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)).sum((-3, -2, -1))
    found = log_prob(tf.constant(output, "float32"), tf.constant(x, "float32"))
    np.testing.assert_allclose(found, exact, rtol=1e-6 if scale != "output" else 1e-5)


def test_a_likelihood_that_is_left_out_is_zero_and_describes_no_data():
    likelihood = NoLikelihood(EVENT)
    output = tf.constant(output_of(likelihood))
    value = likelihood(output).log_prob(tf.zeros([models.B, 1, *EVENT]))
    np.testing.assert_array_equal(value, np.zeros((models.B, models.S)))
    for call in (likelihood(output).mean, lambda: likelihood.noise([2], random.seed(0, "train"))):
        with pytest.raises(ConfigError, match="likelihood=none: describes no data"):
            call()
