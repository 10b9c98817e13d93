"""Evaluation agrees with closed forms and depends on nothing that it should not."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.support import models, reference
from tests.support.extensions import ImplicitPosterior
from vi import random
from vi.data import Dataset
from vi.evaluation.chunks import Layout, Limits
from vi.evaluation.evaluator import Evaluator
from vi.evaluation.statistics import Statistics
from vi.particles import Draws
from vi.posteriors import FullCovarianceGaussian


def validated_on(x):
    """A data set of which x is all the validation data."""
    return Dataset({"x_train": models.data(4), "x_validation": x}, "data", validation="given")


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("posterior", [models.DiagonalGaussian, FullCovarianceGaussian])
def test_estimates_agree_with_the_exact_elbo_and_with_its_terms(posterior, jit):
    model, data = models.linear_gaussian(posterior), models.dataset(size=1000)
    estimates = Evaluator(model, data, jit).estimate(data.validation, samples=1)
    x = data.validation.x
    models.assert_mean(estimates.log_likelihood - estimates.kl - models.exact_elbos(model, x), 0)
    models.assert_mean(estimates.kl - model.encode(tf.constant(x)).kl(model.prior).numpy(), 0)
    np.testing.assert_allclose(estimates.iw_bound, estimates.log_likelihood - estimates.kl, rtol=1e-4, atol=1e-4)


def test_the_importance_weighted_bound_rises_with_the_samples_to_log_p():
    model, data = models.linear_gaussian(), models.dataset(size=400)
    scale_kernel, scale_bias = model.posterior.trainable_variables[2:]
    scale_kernel.assign(0 * scale_kernel)
    scale_bias.assign(0 * scale_bias + 1)  # q is wider than the posterior, so the weights have all moments
    exact = np.array([models.oracle(model).log_marginal(x) for x in data.validation.x])
    evaluator = Evaluator(model, data)
    bounds = {s: evaluator.estimate(data.validation, s).iw_bound for s in (1, 4, 16, 10_000)}
    means = [b.mean() for b in bounds.values()]
    assert means == sorted(means)
    assert means[-1] < exact.mean() + 0.01
    models.assert_mean(np.exp(bounds[10_000] - exact), 1)  # the estimate of p(x) itself is unbiased


def test_a_run_traces_its_evaluation_once_for_each_number_of_samples(monkeypatch):
    model, data = models.linear_gaussian(), models.dataset(size=1000)
    calls, particles = [], model.particles
    monkeypatch.setattr(model, "particles", lambda *given: calls.append(given) or particles(*given))
    evaluator = Evaluator(model, data, jit=False)
    for size in (None, 30, 130):
        for samples in (1, 20):
            evaluator.estimate(data.validation, samples, size)
    assert len(calls) == 2


@pytest.mark.parametrize("samples", [1, 7, 10, 23])
def test_any_number_of_samples_and_of_data(samples):
    model, data = models.linear_gaussian(), models.dataset(size=1000)
    evaluator = Evaluator(model, data)
    whole, part = (evaluator.estimate(data.validation, samples, size) for size in (None, 130))
    assert whole.iw_bound.shape == (250,)
    assert part.iw_bound.shape == (130,)
    np.testing.assert_array_equal(part.iw_bound, whole.iw_bound[:130])
    np.testing.assert_array_equal(whole.kl, evaluator.estimate(data.validation, samples).kl)


def by_hand(model, data, samples, size):
    """All fields of the estimates in NumPy, `[8, N]`, from the noise in its blocks alone."""
    (mean, covariance), p, rows = models.moments(model, data.validation.x), models.oracle(model), []
    width = min(samples, 10)

    @functools.cache
    def noise(block, i):
        seed = random.fold(random.seed(data.seed, "validation"), block)
        return model.noise(Draws(width), tf.range(100), seed, tf.constant(i)).posterior.numpy().astype(np.float64)

    for n in range(size):
        values = []
        for s in range(samples):
            z = mean[n] + np.linalg.cholesky(covariance[n]) @ noise(n // 100, s // width)[n % 100, s % width]
            likelihood = reference.log_normal(data.validation.x[n], p.w @ z + p.b, p.sd**2 * np.eye(models.D))
            prior = reference.log_normal(z, 0, np.eye(models.L))
            values.append([likelihood, reference.log_normal(z, mean[n], covariance[n]) - prior])
        likelihood, kl = np.array(values).T
        elbo_variance = reference.mean_and_variance(likelihood - kl)[1]
        terms = [*reference.mean_and_variance(likelihood), *reference.mean_and_variance(kl), elbo_variance]
        exact_kl = reference.kl_gaussians(mean[n], covariance[n], np.zeros(models.L), np.eye(models.L))
        rows.append([*terms, *reference.importance(likelihood - kl), exact_kl])
    return np.transpose(rows)


@pytest.mark.parametrize(("posterior", "jit"), [(models.DiagonalGaussian, True), (FullCovarianceGaussian, False)])
def test_every_estimate_agrees_with_slow_numpy(posterior, jit):
    model, data = models.linear_gaussian(posterior), validated_on(models.data(102))
    expected = by_hand(model, data, 13, 102)
    found = dataclasses.astuple(Evaluator(model, data, jit).estimate(data.validation, 13))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_in_double_precision_they_agree_to_its_rounding(double):
    model, data = models.linear_gaussian(), validated_on(models.data(5))
    found = dataclasses.astuple(Evaluator(model, data).estimate(data.validation, 23))
    np.testing.assert_allclose(found, by_hand(model, data, 23, 5), rtol=1e-10, atol=1e-12)


def test_no_estimate_depends_on_the_size_of_a_chunk():
    model, data = models.linear_gaussian(), validated_on(models.data(330))
    for samples in (1, 43):
        whole = Evaluator(model, data, jit=False, chunk=10**6).estimate(data.validation, samples)
        for chunk in (1, 3500, 20_000):
            part = Evaluator(model, data, jit=False, chunk=chunk).estimate(data.validation, samples)
            for a, b in zip(dataclasses.astuple(part), dataclasses.astuple(whole), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_memory_grows_with_the_chunk_only():
    model, data, shapes = models.linear_gaussian(), validated_on(models.data(330)), []
    particles = model.particles
    model.particles = lambda x, noise: (shapes.append(noise.posterior.shape[:2]), particles(x, noise))[1]
    evaluator = Evaluator(model, data, jit=False, chunk=3000)
    for samples, shape in ((1, (400, 1)), (7, (400, 7)), (5000, (100, 30))):
        for size in (1, 330):
            evaluator.estimate(data.validation, samples, size)
        assert set(shapes) == {shape}
        shapes.clear()


def test_large_events_are_evaluated_in_parts_of_a_block_with_the_same_numbers(monkeypatch):
    model, data, shapes = models.linear_gaussian(), validated_on(models.data(330)), []
    whole = {samples: Evaluator(model, data).estimate(data.validation, samples) for samples in (1, 23)}
    monkeypatch.setattr("vi.evaluation.chunks.ELEMENTS", 70 * models.D)
    particles = model.particles
    model.particles = lambda x, noise: (shapes.append(noise.posterior.shape[:2]), particles(x, noise))[1]
    for jit, samples, shape in ((True, 1, (50, 1)), (False, 1, (50, 1)), (True, 23, (5, 10))):
        part = Evaluator(model, data, jit).estimate(data.validation, samples)
        assert set(shapes) == {shape}
        for a, b in zip(dataclasses.astuple(part), dataclasses.astuple(whole[samples]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        shapes.clear()


@pytest.mark.parametrize("samples", [1, 7, 5000])
@pytest.mark.parametrize("elements", [784, 3 * 64**2, 100_000, 10**6])
def test_a_chunk_decodes_no_more_than_32_mebibytes_or_ten_samples_of_one_datum(elements, samples):
    layout = Layout.of(330, samples, Limits.of(elements))
    pairs = layout.data * layout.across * layout.width
    assert 4 * pairs * elements <= 2**25 or pairs <= 10
    assert layout.rows(101) * layout.data >= 101


@pytest.mark.parametrize(("size", "samples"), [(179, 1), (1000, 1), (10_000, 1), (330, 50), (1000, 1000), (1000, 5000)])
@pytest.mark.parametrize("gpus", [[], ["a GPU"]])
def test_chunks_take_what_the_device_takes_and_are_full(size, samples, gpus, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    layout = Layout.of(size, samples, Limits.of(784))
    pairs, wanted = layout.data * layout.across * layout.width, math.ceil(size / 100) * 100 * samples
    assert min(wanted, 100_000 if gpus else 2000) <= pairs <= (200_000 if gpus else 8000)
    assert layout.rows(size) * layout.columns(samples) * pairs <= 1.25 * wanted


def test_a_device_out_of_memory_takes_smaller_chunks_with_the_same_estimates():
    model, data, shapes = models.linear_gaussian(), validated_on(models.data(330)), []
    whole = Evaluator(model, data, jit=False).estimate(data.validation, 50)
    particles = model.particles

    def limited(x, noise):
        shapes.append(noise.posterior.shape[:2])
        if math.prod(shapes[-1]) > 1500:
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return particles(x, noise)

    model.particles = limited
    part = Evaluator(model, data, jit=False, chunk=10_000).estimate(data.validation, 50)
    assert shapes[0] == (200, 50)
    assert shapes[-1] == (100, 10)
    for a, b in zip(dataclasses.astuple(part), dataclasses.astuple(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    model.particles = lambda x, noise: limited(x, noise._replace(posterior=tf.repeat(noise.posterior, 200, 1)))
    with pytest.raises(tf.errors.ResourceExhaustedError):
        Evaluator(model, data, jit=False).estimate(data.validation, 50)


def test_monte_carlo_variances_are_those_of_estimates_of_the_same_datum():
    model, size = models.linear_gaussian(), 2000
    data = validated_on(np.repeat(models.data(1), size, axis=0))
    estimates = Evaluator(model, data).estimate(data.validation, 200)
    elbo, inverse = estimates.log_likelihood - estimates.kl, 1 / estimates.effective_sample_size
    for values, variance in (
        (estimates.log_likelihood, estimates.log_likelihood_variance),
        (estimates.kl, estimates.kl_variance),
        (elbo, estimates.elbo_variance),
        (estimates.iw_bound, inverse - 1 / 200),
    ):
        assert values.var(ddof=1) == pytest.approx(variance.mean(), rel=4 * np.sqrt(2 / size))


def test_statistics_of_large_numbers_lose_no_digits():
    values = 1e7 + np.random.default_rng(0).standard_normal((3, 4, 20))
    weights = np.exp(values[2] - 1e7)

    def statistics(part):
        mean, top = values[:, :, part].mean(-1), values[2, :, part].max(-1)
        square = ((values[:, :, part] - mean[..., None]) ** 2).sum(-1)
        scaled = np.exp(values[2, :, part] - top[:, None])
        return Statistics(scaled.shape[1], mean, square, top, np.stack([scaled.sum(1), (scaled**2).sum(1)]))

    parts = [statistics(slice(*ends)) for ends in ((0, 3), (3, 4), (4, 20))]
    found = functools.reduce(Statistics.merge, parts).estimates()
    np.testing.assert_allclose(found[1], values[0].var(axis=-1, ddof=1) / 20, rtol=1e-6)
    np.testing.assert_allclose(found[5] - 1e7, np.log(weights.mean(1)), atol=1e-7)
    np.testing.assert_allclose(found[6], weights.sum(1) ** 2 / (weights**2).sum(1), rtol=1e-7)


def test_weights_of_zero_count_as_such():
    model, data = models.linear_gaussian(), validated_on(models.data(3))
    log_prob, kept = model.prior.log_prob, Evaluator(model, data, jit=False).estimate(data.validation, 40)
    model.prior.log_prob = lambda z: tf.where(z[..., 0] > 0, log_prob(z), -np.inf)
    some = Evaluator(model, data, jit=False).estimate(data.validation, 40)
    assert np.isfinite(some.iw_bound).all()
    assert (some.iw_bound < kept.iw_bound).all()
    assert (some.effective_sample_size < 40).all()
    model.prior.log_prob = lambda z: log_prob(z) - np.inf
    assert (Evaluator(model, data, jit=False).estimate(data.validation, 40).iw_bound == -np.inf).all()


def test_progress_ends_at_one():
    model, data, told = models.linear_gaussian(), validated_on(models.data(250)), []
    Evaluator(model, data, jit=False, chunk=1).estimate(data.validation, 25, progress=told.append)
    np.testing.assert_allclose(told, np.arange(1, 10) / 9)


def test_a_model_of_binarized_data_is_always_evaluated_on_the_same_draw():
    grey = np.random.default_rng(0).random((400, models.D)).astype(np.float32)
    data = Dataset({"x_train": grey}, "data", binarization="dynamic")
    evaluator = Evaluator(models.linear_gaussian(), data)
    first, second = (evaluator.estimate(data.validation, 3).log_likelihood for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_an_implicit_posterior_has_only_a_likelihood():
    data = models.dataset()
    estimates = Evaluator(models.linear_gaussian(ImplicitPosterior), data).estimate(data.validation, 3)
    assert np.isfinite(estimates.log_likelihood).all()
    assert np.isfinite(estimates.log_likelihood_variance).all()
    others = (estimates.kl, estimates.kl_variance, estimates.elbo_variance, estimates.iw_bound)
    assert (*others, estimates.effective_sample_size) == (None,) * 5


def test_a_model_that_has_diverged_is_not_taken_for_implicit():
    model, data = models.linear_gaussian(), models.dataset()
    for variable in model.variables:
        variable.assign(np.nan * variable)
    estimates = Evaluator(model, data).estimate(data.validation, 3)
    assert np.isnan(estimates.kl).all()
    assert np.isnan(estimates.iw_bound).all()


def test_people_see_the_binarization_that_is_evaluated():
    grey = np.random.default_rng(0).random((1000, models.D)).astype(np.float32)
    data = Dataset({"x_train": grey}, "data", binarization="dynamic", validation=0.5)
    evaluator = Evaluator(models.linear_gaussian(), data)
    blocks = [evaluator._blocks.data(data.validation, tf.constant(b)).x.numpy() for b in range(5)]
    index = [0, 99, 100, 250, 499]
    np.testing.assert_array_equal(evaluator.view(data.validation, index), np.concatenate(blocks)[index])
    assert not np.array_equal(blocks[0][:, 0], blocks[1][:, 0])


def test_means_are_the_posterior_means_in_order():
    model, data = models.linear_gaussian(), models.dataset(size=3000)
    expected = model.encode(tf.constant(data.train.x)).mean()
    np.testing.assert_allclose(Evaluator(model, data).means(data.train), expected, rtol=1e-5, atol=1e-6)
