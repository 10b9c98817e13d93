"""Evaluation agrees with closed forms and depends on nothing that it should not."""

import numpy as np
import pytest
import tensorflow as tf

from tests import models
from vi import evaluate
from vi.data import Dataset
from vi.evaluate import Evaluator, knn_accuracy
from vi.posteriors import FullCovarianceGaussian


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


@pytest.mark.parametrize("samples", [1, 7, 10, 23])
def test_any_number_of_samples_and_of_data(samples):
    model, data = models.linear_gaussian(), models.dataset(size=1000)
    evaluator = Evaluator(model, data)
    whole, part = (evaluator.estimate(data.validation, samples, size) for size in (None, 130))
    assert whole.iw_bound.shape == (250,)
    assert part.iw_bound.shape == (130,)
    np.testing.assert_array_equal(part.iw_bound, whole.iw_bound[:130])
    np.testing.assert_array_equal(whole.kl, evaluator.estimate(data.validation, samples).kl)


def test_a_model_of_binarized_data_is_always_evaluated_on_the_same_draw():
    grey = np.random.default_rng(0).random((400, models.D)).astype(np.float32)
    data = Dataset({"x_train": grey}, "data", binarization="dynamic")
    evaluator = Evaluator(models.linear_gaussian(), data)
    first, second = (evaluator.estimate(data.validation, 3).log_likelihood for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_an_implicit_posterior_has_only_a_likelihood():
    from tests.test_contract import ImplicitPosterior

    data = models.dataset()
    estimates = Evaluator(models.linear_gaussian(ImplicitPosterior), data).estimate(data.validation, 3)
    assert np.isfinite(estimates.log_likelihood).all()
    assert (estimates.kl, estimates.iw_bound) == (None, None)


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
    blocks = [evaluator._data_block(data.validation, tf.constant(b)).numpy() for b in range(5)]
    index = [0, 99, 100, 250, 499]
    np.testing.assert_array_equal(evaluator.view(data.validation, index), np.concatenate(blocks)[index])
    assert not np.array_equal(blocks[0][:, 0], blocks[1][:, 0])


def test_means_are_the_posterior_means_in_order():
    model, data = models.linear_gaussian(), models.dataset(size=3000)
    expected = model.encode(tf.constant(data.train.x)).mean()
    np.testing.assert_allclose(Evaluator(model, data).means(data.train), expected, rtol=1e-5, atol=1e-6)


def test_nearest_neighbours_separate_what_is_separate():
    means = np.r_[np.zeros((20, 2)), np.ones((20, 2))] + 0.1 * np.random.default_rng(0).random((40, 2))
    labels = np.repeat([0, 1], 20)
    assert knn_accuracy(means, labels, means, labels) == 1
    assert evaluate.knn_accuracy(means, labels, means, 1 - labels) == 0


def test_neighbours_need_whole_number_labels_and_enough_data():
    means, labels = np.zeros((20, 2)), np.arange(20)
    assert knn_accuracy(means, labels * 0.5, means, labels) is None
    assert knn_accuracy(means[:9], labels[:9], means, labels) is None
