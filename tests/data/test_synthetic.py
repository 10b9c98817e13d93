"""Data that are made are of the model that they say."""

import numpy as np

from vi.data.synthetic import linear_gaussian, linear_gaussian_parameters, nothing


def test_linear_gaussian_data_have_the_mean_and_covariance_of_their_model():
    size = 20_000
    data = linear_gaussian(features=6, factors=2, sd=0.5, size=size, seed=3, validation=0.1)
    weights, mean = linear_gaussian_parameters(6, 2, 3)
    covariance = weights @ weights.T + 0.25 * np.eye(6)
    x = np.concatenate([data.train.x, data.validation.x])
    variance = np.diag(covariance)
    np.testing.assert_array_less(np.abs(x.mean(0) - mean), 4 * np.sqrt(variance / size))
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / size)
    np.testing.assert_array_less(np.abs(np.cov(x, rowvar=False) - covariance), 4 * error)
    assert (len(data.train), len(data.validation)) == (18_000, 2_000)
    assert np.abs(data.test.x[:1000] - x[:1000]).min() > 0


def test_the_seed_decides_the_model_and_the_data():
    one, same, other = (linear_gaussian(6, 2, 0.5, 50, seed=seed).train.x for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_no_data_are_a_feature_that_is_always_zero():
    data = nothing(size=30)
    assert data.event_shape == (1,)
    for split in (data.train, data.validation, data.test):
        assert len(split) == 30
        assert not split.x.any()
