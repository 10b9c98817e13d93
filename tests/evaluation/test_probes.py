"""The probes of the latents."""

import numpy as np
import pytest

from vi.evaluation.probes import are_classes, knn_accuracy, logistic_accuracy


def test_nearest_neighbours_separate_what_is_separate():
    means = np.r_[np.zeros((20, 2)), np.ones((20, 2))] + 0.1 * np.random.default_rng(0).random((40, 2))
    labels = np.repeat([0, 1], 20)
    assert knn_accuracy(means, labels, means, labels) == 1
    assert knn_accuracy(means, labels, means, 1 - labels) == 0


def test_neighbours_need_enough_data():
    means, labels = np.zeros((20, 2)), np.arange(20)
    assert knn_accuracy(means[:9], labels[:9], means, labels) is None


def test_logistic_regression_is_linear_and_needs_two_classes():
    rng = np.random.default_rng(0)
    means, labels = rng.standard_normal((400, 2)).astype(np.float32), np.arange(400) % 3
    means[:, 0] += 10 * labels
    assert logistic_accuracy(means, labels, means, labels) > 0.99
    ring = (np.linalg.norm(means - [10, 0], axis=1) < 1).astype(int)
    assert logistic_accuracy(means, ring, means, ring) < logistic_accuracy(means, labels, means, labels)
    assert logistic_accuracy(means, 0 * labels, means, labels) is None
    assert logistic_accuracy(0 * means, labels, 0 * means, labels) == pytest.approx(1 / 3, abs=0.01)


def test_logistic_regression_learns_from_the_training_data_alone():
    means = np.random.default_rng(0).standard_normal((400, 2)).astype(np.float32)
    labels = (means[:, 0] > 0).astype(int)
    assert logistic_accuracy(means, labels, means, 1 - labels) < 0.05


def test_classes_are_whole_numbers_and_few():
    assert are_classes(np.arange(100))
    assert not are_classes(np.arange(101))
    assert not are_classes(np.ones(3))
    assert not are_classes(None)
