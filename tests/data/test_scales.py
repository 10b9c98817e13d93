"""The scale of data is remarked where it defeats a training, and nowhere else."""

import os

import numpy as np
import pytest

from vi import data
from vi.data import Dataset
from vi.data.scales import another_scale, remarks

RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal((500, 4))


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (NORMAL * [1, 0.01, 1e4, 3], "run from 0.00938 (column 1) to 1.02e+04 (column 2), so the wide columns decide"),
        (RNG.poisson(1e6, (500, 3)), "column 2 has mean 1e+06"),
        (1e6 + NORMAL, "has mean 1e+06 and standard deviation"),
        (300 * NORMAL[:, [0] * 20], "column 0 has mean"),
        (255 * RNG.random((50, 4, 4, 1)), "there is an element of mean"),
    ],
)
def test_a_scale_that_defeats_the_initial_weights_is_one_remark(x, sentence):
    (found,) = remarks(x)
    assert sentence in found
    assert "data.standardize=true" in found


@pytest.mark.parametrize(
    "x", [NORMAL, NORMAL * [1, 0.01, 5, 3], NORMAL * [1, 0, 1, 1], RNG.integers(0, 2, (50, 8, 8, 1)), 3 + 20 * NORMAL]
)
def test_other_data_are_not_remarked(x):
    assert list(remarks(x)) == []


def test_the_divisor_counts():
    x = 255 * RNG.random((50, 4, 4, 1))
    assert list(remarks(x, 255)) == []


def test_a_test_set_on_another_scale_is_named(caplog):
    x = RNG.random((60, 4, 4, 1))
    dataset = Dataset({"x_train": 255 * x, "x_test": x}, "own.npz")
    assert caplog.text == ""
    assert len(dataset.test) == 60
    assert "own.npz: x_test has mean 0.5" in caplog.text
    assert "but in x_train 130 and 75.3" in caplog.text


def test_a_column_on_another_scale_is_named():
    for x, column in ((NORMAL * [1, 1, 100, 1], 2), (np.add(NORMAL, [0, 50, 0, 0]), 1)):
        assert another_scale("x_validation", x, NORMAL).startswith(f"column {column} of x_validation has mean")
    assert another_scale("x_validation", NORMAL[:3], NORMAL) is None


@pytest.mark.skipif("VI_DATA_DIR" not in os.environ, reason="VI_DATA_DIR is not set")
@pytest.mark.parametrize("name", ["digits", "mnist", "binarized_mnist", "omniglot", "fashion_mnist", "linear_gaussian"])
def test_honest_test_sets_are_not_named(name, caplog):
    dataset = getattr(data, name)()
    assert len(dataset.test)
    assert caplog.text == ""
    if name != "linear_gaussian":
        assert list(remarks(dataset.train.x, dataset.scale)) == []
