"""Likelihoods against NumPy, at extreme outputs, and their samples against their means."""

import numpy as np
import pytest
import tensorflow as tf

from tests import models, reference
from vi import random
from vi.likelihoods import Bernoulli, Gaussian

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


@pytest.mark.parametrize("scale", SCALES)
def test_gaussian_log_prob_and_its_initial_scale(scale):
    likelihood = Gaussian(EVENT, scale=scale, sd=0.3)
    output = output_of(likelihood)
    x = np.random.default_rng(1).standard_normal((models.B, 1, *EVENT)).astype(np.float32)
    p = likelihood(tf.constant(output))
    assert len(likelihood.trainable_variables) == (scale in ("shared", "per_dimension"))
    loc = output[..., :2]
    sd = np.full_like(loc, 0.3)
    if scale == "output":
        sd = np.log1p(np.exp(output[..., 2:] + np.log(np.expm1(0.3))))
    expected = (-0.5 * ((x - loc) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)).sum((-2, -1))
    np.testing.assert_allclose(p.log_prob(tf.constant(x)), expected, rtol=1e-4)
    np.testing.assert_allclose(p.mean(), loc)
    np.testing.assert_allclose(p.mode(), loc)


@pytest.mark.parametrize(
    "make", [lambda: Bernoulli(EVENT), *(lambda s=s: Gaussian(EVENT, scale=s, sd=0.5) for s in SCALES)]
)
def test_samples_have_the_mean_of_the_distribution(make):
    likelihood = make()
    output = tf.constant(output_of(likelihood)[:1, :1])
    p = likelihood(tf.repeat(output, 5000, axis=1))
    x = p.sample(likelihood.noise([1, 5000], random.seed(0, "train"))).numpy()[0]
    models.assert_mean(x.reshape(5000, -1), likelihood(output).mean().numpy().ravel())


@pytest.mark.parametrize("make", [lambda: Bernoulli(EVENT), *(lambda s=s: Gaussian(EVENT, scale=s) for s in SCALES)])
def test_the_initial_output_gives_the_mean_of_the_data(make):
    likelihood = make()
    mean = np.random.default_rng(0).uniform(0.01, 0.99, EVENT)
    output = likelihood.initial_output(mean)
    assert output.shape == likelihood.outputs(EVENT)
    np.testing.assert_allclose(likelihood(tf.constant(output[None, None], "float32")).mean()[0, 0], mean, rtol=1e-5)


def test_the_initial_logits_of_constant_pixels_are_finite():
    assert np.isfinite(Bernoulli(EVENT).initial_output(np.array([[0.0, 1.0]] * 3))).all()


@pytest.mark.parametrize("sd", [1e-4, 0.3, 50.0, 1e4])
def test_a_learned_scale_starts_at_sd(sd):
    scale = Gaussian((1,), scale="shared", sd=sd)(tf.zeros([1, 1, 1])).distribution.stddev()
    np.testing.assert_allclose(scale, sd, rtol=1e-4)
