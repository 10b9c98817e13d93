"""Statistics of parts of the samples merge into the statistics of all."""

import numpy as np

from vi.evaluation.statistics import Statistics

VALUES = np.random.default_rng(0).normal(size=(3, 7, 4))  # log p(x|z), log q − log p, log w: [K, S, B]


def statistics(values):
    top = values[2].max(0)
    weights = np.exp(values[2] - top)
    mean = values.mean(1)
    square = ((values - mean[:, None]) ** 2).sum(1)
    return Statistics(values.shape[1], mean, square, top, np.stack([weights.sum(0), (weights**2).sum(0)]))


def test_merged_statistics_are_those_of_the_union():
    merged = statistics(VALUES[:, :2]).merge(statistics(VALUES[:, 2:]))
    for name, expected in vars(statistics(VALUES)).items():
        np.testing.assert_allclose(getattr(merged, name), expected, rtol=1e-12, atol=1e-12, err_msg=name)


def test_estimates_are_the_textbook_formulas():
    weights = np.exp(VALUES[2])
    variance = VALUES.var(1, ddof=1) / 7
    bound = np.log(weights.mean(0))
    size = weights.sum(0) ** 2 / (weights**2).sum(0)
    mean = VALUES.mean(1)
    expected = [mean[0], variance[0], mean[1], variance[1], variance[2], bound, size]
    np.testing.assert_allclose(statistics(VALUES).estimates(), expected, rtol=1e-10)
