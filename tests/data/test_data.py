"""Data are checked when opened, split once, and seen by the model exactly as the config says."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.support.models import assert_mean
from vi import data, random
from vi.data import Dataset
from vi.errors import ConfigError

X = np.arange(40, dtype=np.float32).reshape(20, 2) / 40
NEEDS_DATA = pytest.mark.skipif("VI_DATA_DIR" not in os.environ, reason="VI_DATA_DIR is not set")


def archive(tmp_path, **arrays):
    file = tmp_path / "own.npz"
    np.savez(file, **arrays)
    return str(file)


def test_a_fraction_or_a_count_is_held_out_by_the_data_seed_and_nothing_is_lost():
    for validation, count in ((0.25, 5), (7, 7)):
        dataset = Dataset({"x_train": X, "y_train": np.arange(20)}, "file", validation=validation)
        assert len(dataset.validation) == count
        together = np.concatenate([dataset.train.x, dataset.validation.x])
        np.testing.assert_array_equal(together[np.argsort(together[:, 0])], X)
        np.testing.assert_array_equal(dataset.train.x, X[dataset.train.y])
    same, other = (Dataset({"x_train": X}, "file", validation=0.25, seed=seed).validation.x for seed in (0, 1))
    np.testing.assert_array_equal(same, Dataset({"x_train": X}, "file", validation=0.25).validation.x)
    assert not np.array_equal(same, other)


def test_validation_may_be_given_or_be_the_test_set():
    arrays = {"x_train": X, "x_validation": X[:3], "x_test": X[:4]}
    given = Dataset(arrays, "file", validation="given")
    assert (len(given.train), len(given.validation), len(given.test)) == (20, 3, 4)
    assert len(Dataset(arrays, "file", validation="test").validation) == 4


def test_a_validation_set_of_its_own_is_used_unless_the_config_says_otherwise():
    arrays = {"x_train": X, "x_validation": X[:3]}
    assert len(Dataset(arrays, "file").validation) == 3
    assert len(Dataset({"x_train": X}, "file").validation) == 2
    assert len(Dataset(arrays, "file", validation=0.25).validation) == 5


def test_arrays_of_other_names_are_said_not_to_be_read(caplog):
    Dataset({"x_train": X, "x_valid": X}, "own.npz")
    assert "own.npz: x_valid are not read; the names are x_train, x_validation, x_test, y_train" in caplog.text


def test_the_test_set_is_not_read_unless_it_is_asked_for():
    class Arrays(dict):
        def __getitem__(self, name):
            assert name != "x_test"
            return super().__getitem__(name)

    dataset = Dataset(Arrays(x_train=X, x_test=X), "file")
    with pytest.raises(AssertionError):
        _ = dataset.test


def test_the_model_sees_scaled_data_in_the_order_of_the_index():
    dataset = Dataset({"x_train": (255 * X).astype(np.uint8), "x_test": X}, "file", validation="test", scale=255)
    assert dataset.train.resident.dtype == tf.uint8
    x = dataset.batch(dataset.train, tf.constant([3, 0, 3]), random.seed(0, "train")).x
    np.testing.assert_allclose(x, (255 * X).astype(np.uint8)[[3, 0, 3]] / np.float32(255))


def test_dynamic_binarization_draws_afresh_and_static_once():
    grey = np.tile(np.array([[0, 51, 204, 255]], np.uint8), [4000, 1])
    dynamic = Dataset({"x_train": grey}, "file", scale=255, binarization="dynamic")
    index = tf.range(3000)
    draws = [dynamic.batch(dynamic.train, index, random.fold(random.seed(0, "train"), t)).x.numpy() for t in (0, 1)]
    assert not np.array_equal(*draws)
    for draw in draws:
        assert set(np.unique(draw)) == {0.0, 1.0}
        assert (draw[:, 0].max(), draw[:, 3].min()) == (0, 1)
        assert_mean(draw[:, 1:3], [0.2, 0.8])
    static = Dataset({"x_train": grey}, "file", scale=255, binarization="static")
    assert static.train.x.dtype == np.uint8
    draws = [static.batch(static.train, index, random.fold(random.seed(0, "train"), t)).x.numpy() for t in (0, 1)]
    np.testing.assert_array_equal(*draws)
    assert_mean(draws[0][:, 1:3], [0.2, 0.8])


def test_static_binarization_draws_each_part_apart_and_takes_any_scale():
    grey = np.full((500, 20), 128, np.uint8)
    arrays = {"x_train": grey, "x_validation": grey, "x_test": grey}
    dataset = Dataset(arrays, "file", scale=300, binarization="static", validation="given")
    parts = [split.x for split in (dataset.train, dataset.validation, dataset.test)]
    for part in parts:
        assert_mean(part.reshape(-1, 1), 128 / 300)
    agreement = np.mean(parts[0] == parts[1])
    p = 128 / 300
    assert agreement == pytest.approx(p**2 + (1 - p) ** 2, abs=4 * 0.5 / np.sqrt(grey.size))
    assert dataset.scale == 1
    small = Dataset({"x_train": grey / 512}, "file", scale=0.5, binarization="static")
    small.require_unit_interval("as Bernoulli needs")


@pytest.mark.parametrize(("binarization", "binary"), [("none", False), ("static", True), ("dynamic", True)])
def test_it_knows_whether_the_model_sees_only_0_and_1(binarization, binary):
    dataset = Dataset({"x_train": (255 * X).astype(np.uint8)}, "file", scale=255, binarization=binarization)
    assert dataset.binary == binary
    assert Dataset({"x_train": np.eye(4)}, "file", validation=1).binary


REFUSED = {
    "no_training_data": ({"x_test": X}, {}, "file: holds no array x_train; it holds x_test."),
    "text": (
        {"x_train": np.array([["a"], ["b"]])},
        {},
        "file: x_train has dtype <U1, but must be of real numbers of at most 64 bits.",
    ),
    "one_axis": ({"x_train": np.ones(5)}, {}, "x_train has shape (5,), but must be [N, *event]"),
    "empty": ({"x_train": np.ones((0, 3))}, {}, "x_train has shape (0, 3)"),
    "nan": ({"x_train": np.where(X[7, 1] == X, np.nan, X)}, {}, "file: x_train[7, 1] = nan is not finite."),
    "labels": (
        {"x_train": X, "y_train": np.ones(3)},
        {},
        "y_train has shape (3,), but must be (20,): one number for each datum.",
    ),
    "weights": (
        {"x_train": X, "weight_train": np.r_[np.ones(19), -1]},
        {},
        "weight_train[19] = -1 is negative.",
    ),
    "too_many": ({"x_train": X}, {"validation": 20}, "validation=20: holds out 20 of the 20 training data"),
    "too_few": ({"x_train": X}, {"validation": 0.001}, "validation=0.001: holds out 0 of the 20"),
    "not_given": ({"x_train": X}, {"validation": "given"}, "file: holds no array x_validation"),
    "other_shape": (
        {"x_train": X, "x_validation": X[:, :1]},
        {"validation": "given"},
        "one datum of x_validation has shape (1,), of x_train (2,)",
    ),
    "no_probability": (
        {"x_train": X + 1},
        {"binarization": "dynamic"},
        "x_train[0, 1] = 1.025 lies outside [0, scale=1], as binarization needs probabilities; set the ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_said_with_the_file_the_array_and_the_first_bad_index(name):
    arrays, options, message = REFUSED[name]
    with pytest.raises(ConfigError) as error:
        Dataset(arrays, "file", **options)
    assert message in str(error.value)


def test_grey_levels_outside_0_to_1_are_refused_as_probabilities():
    with pytest.raises(ConfigError, match=r"x_train\[0, 1\] = 2 lies outside \[0, scale=1\], as Bernoulli"):
        Dataset({"x_train": np.tile([[0, 2]], [9, 1])}, "file").require_unit_interval("as Bernoulli needs")


def test_arrays_of_ones_own_of_any_shape_and_numeric_type(tmp_path):
    for x in (np.ones((9, 3), bool), np.ones((9, 4, 5), np.float16), np.ones((9, 2, 3, 4, 1), np.int64)):
        dataset = data.arrays(archive(tmp_path, x_train=x, y_train=np.arange(9)), validation=2)
        assert dataset.event_shape == x.shape[1:]
        seen = dataset.batch(dataset.train, tf.range(2), random.seed(0, "train")).x
        assert (seen.dtype, seen.shape[0]) == (tf.float32, 2)
        np.save(tmp_path / "own.npy", x)
        assert len(data.arrays(str(tmp_path / "own.npy"), validation=2).train) == 7


def test_missing_and_damaged_files_are_named(tmp_path, monkeypatch):
    damaged = tmp_path / "mnist.npz"
    damaged.write_bytes(b"PK\x03\x04 this is no archive")
    truncated = tmp_path / "truncated.npz"
    truncated.write_bytes(Path(archive(tmp_path, x_train=np.random.default_rng(0).random((100, 9)))).read_bytes()[:900])
    (tmp_path / "text.npy").write_text("no array")
    np.savez(tmp_path / "objects.npz", x_train=np.array([{}, {}], dtype=object))
    cases = [
        (lambda: data.arrays("/nowhere.npz"), "path=/nowhere.npz: there is no such file"),
        (lambda: data.mnist(str(damaged)), f"path={damaged}: cannot be read as an .npz file"),
        (lambda: data.arrays(str(truncated)), f"path={truncated}: cannot be read"),
        (lambda: data.arrays(str(tmp_path / "text.npy")), "cannot be read as an .npy file"),
        (lambda: data.arrays(str(tmp_path / "objects.npz")), "array x_train cannot be read"),
        (lambda: data.fashion_mnist(str(tmp_path)), f"path={tmp_path}: holds no fashion_mnist.npz"),
        (lambda: data.omniglot(None), "path=None: must be the folder of omniglot28_resized.npz"),
    ]
    monkeypatch.delenv("VI_DATA_DIR", raising=False)
    for call, message in cases:
        with pytest.raises(ConfigError) as error:
            call()
        assert message in str(error.value)


def test_a_damaged_array_inside_an_archive_is_named(tmp_path):
    file = Path(archive(tmp_path, x_train=np.random.default_rng(0).random((100, 9))))
    content = bytearray(file.read_bytes())
    content[3000:3100] = bytes(100)
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="array x_train cannot be read"):
        data.arrays(str(file))


def test_numbers_that_tensorflow_does_not_have_are_refused():
    with pytest.raises(ConfigError, match="must be of real numbers of at most 64 bits"):
        Dataset({"x_train": np.ones((9, 2), np.longdouble)}, "file")


def test_a_path_that_is_typed_must_hold_the_file_and_the_environment_may_not(tmp_path, monkeypatch):
    import keras

    images, labels = np.zeros((20, 28, 28), np.uint8), np.zeros(20, np.uint8)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: ((images, labels), (images, labels)))
    monkeypatch.setenv("VI_DATA_DIR", str(tmp_path))
    assert data.mnist(None, validation=5).source == "Keras's mnist"
    with pytest.raises(ConfigError, match=r"holds no mnist\.npz"):
        data.mnist(str(tmp_path))
    monkeypatch.setenv("VI_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"^VI_DATA_DIR=.*nowhere: there is no such folder\.$"):
        data.mnist(None)
    monkeypatch.setenv("VI_DATA_DIR", str(tmp_path))
    np.savez(tmp_path / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert data.mnist(None, validation=5).source == str(tmp_path / "mnist.npz")


def test_absent_and_offline_is_one_sentence(monkeypatch):
    import keras

    def offline():
        raise Exception("URL fetch failure on https://example.org: None --\n [Errno -2] Name not known")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", offline)
    monkeypatch.delenv("VI_DATA_DIR", raising=False)
    with pytest.raises(ConfigError, match=r"path=None: mnist\.npz is not in Keras's cache"):
        data.mnist(None)


def test_the_embedded_digits():
    dataset = data.digits(binarization="none")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (1198, 299, 300)
    assert dataset.event_shape == (8, 8, 1)
    assert dataset.train.x.dtype == np.uint8
    assert sorted(np.unique(dataset.train.y)) == list(range(10))


@NEEDS_DATA
@pytest.mark.parametrize(
    ("name", "options", "sizes"),
    [
        ("mnist", {"validation": 10_000, "scale": 255}, (50_000, 10_000)),
        ("fashion_mnist", {"validation": "test", "scale": 255}, (60_000, 10_000)),
        ("binarized_mnist", {"validation": "given"}, (50_000, 10_000)),
        ("omniglot", {"validation": 0.1, "scale": 255}, (21_911, 2_434)),
    ],
)
def test_the_image_sets(name, options, sizes):
    dataset = getattr(data, name)(os.environ["VI_DATA_DIR"], **options)
    assert (len(dataset.train), len(dataset.validation)) == sizes
    assert dataset.event_shape == (28, 28, 1)
    assert dataset.train.x.dtype == np.uint8
    dataset.require_unit_interval("")
    assert dataset.binary == (name == "binarized_mnist")
    assert (dataset.train.y is None) == (name == "binarized_mnist")


def test_x_and_y_stand_for_the_training_data(caplog, tmp_path):
    dataset = data.arrays(archive(tmp_path, x=np.ones((9, 5)), y=np.arange(9), x_test=np.ones((2, 5))))
    assert dataset.event_shape == (5,) == dataset.test.x.shape[1:]
    assert sorted([*dataset.train.y, *dataset.validation.y]) == list(range(9))
    assert "not read" not in caplog.text


@pytest.mark.parametrize(
    "y", [np.array(["a", "b"] * 10), np.array(["a", None] * 10, dtype=object), np.r_[np.arange(19.0), np.nan]]
)
def test_labels_that_are_text_or_missing_are_left_out_and_said_once(caplog, tmp_path, y):
    for arrays in ({"x_train": X, "y_train": y}, np.load(archive(tmp_path, x_train=X, y_train=y))):
        caplog.clear()
        assert Dataset(arrays, "file").train.y is None
        assert caplog.text.count("so pictures and probes are without labels") == 1
