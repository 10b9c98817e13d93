"""Data sets by name, and the user's arrays from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np

from vi import kinds, random
from vi.data import tables
from vi.data.archives import DAMAGES, Archive, read_npy
from vi.data.dataset import Binarization, Dataset, Validation
from vi.errors import ConfigError, SettingError
from vi.files import damage, short
from vi.kinds import Positive

DIRECTORY = "VI_DATA_DIR"
"""The environment variable that names the folder of the data if data.path is null."""


def digits(
    validation: Validation = 0.2,
    scale: Annotated[float, Positive] = 16,
    binarization: Binarization = "dynamic",
    **options: Any,
) -> Dataset:
    """Scikit-learn's 1,797 handwritten digits of 8×8 grey levels 0 … 16; a fixed sixth is the test set.

    Args:
        validation: a fraction or a count of the training data, or "test".
        scale: x is divided by it.
        binarization: "none", the grey levels; "static", drawn once; "dynamic", drawn afresh each time it is seen.
        options: `seed` and `standardize` of `Dataset`.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x, y = bunch.images.astype(np.uint8)[..., None], bunch.target
    order = random.permutation(len(x), random.seed(0, "split"))
    test, train = np.sort(order[:300]), np.sort(order[300:])
    arrays = {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}
    return Dataset(arrays, "scikit-learn's digits", validation, scale, binarization, **options)


def mnist(
    path: kinds.Path | None = None,
    validation: Validation = 10_000,
    scale: Annotated[float, Positive] = 255,
    **options: Any,
) -> Dataset:
    """MNIST, 60,000 + 10,000 images of 28×28 grey levels, from `mnist.npz` or through Keras.

    Args:
        path: a folder that holds `mnist.npz`, or the file. None is the folder of the environment variable
            VI_DATA_DIR, else Keras's cache, else a download.
        validation: a fraction or a count of the training data, or "test".
        scale: x is divided by it.
        options: `binarization`, `seed` and `standardize` of `Dataset`.
    """
    return _keras_images("mnist", path, validation=validation, scale=scale, **options)


def fashion_mnist(
    path: kinds.Path | None = None,
    validation: Validation = 10_000,
    scale: Annotated[float, Positive] = 255,
    **options: Any,
) -> Dataset:
    """Fashion-MNIST, 60,000 + 10,000 images of 28×28 grey levels, from `fashion_mnist.npz` or through Keras.

    Args:
        path: a folder that holds `fashion_mnist.npz`, or the file. None is the folder of the environment variable
            VI_DATA_DIR, else Keras's cache, else a download.
        validation: a fraction or a count of the training data, or "test".
        scale: x is divided by it.
        options: `binarization`, `seed` and `standardize` of `Dataset`.
    """
    return _keras_images("fashion_mnist", path, validation=validation, scale=scale, **options)


def binarized_mnist(
    path: kinds.Path | None = None,
    validation: Validation = "given",
    scale: Annotated[float, Positive] = 1,
    **options: Any,
) -> Dataset:
    """MNIST in the fixed binarization of Larochelle & Murray (2011), 50,000 + 10,000 + 10,000 images.

    Args:
        path: a folder that holds `binarized_mnist_larochelle.npz`, or the file; None is the folder of the environment
            variable VI_DATA_DIR.
        validation: "given", the set's own; a fraction or a count of the training data; or "test".
        scale: x is divided by it.
        options: `binarization`, `seed` and `standardize` of `Dataset`.
    """
    file = _find("binarized_mnist_larochelle.npz", path)
    names = {"x_train": "x_train", "x_validation": "x_valid", "x_test": "x_test"}
    return Dataset(_Images(_open_npz(file), names), str(file), validation, scale, **options)


def omniglot(
    path: kinds.Path | None = None,
    validation: Validation = 0.1,
    scale: Annotated[float, Positive] = 255,
    **options: Any,
) -> Dataset:
    """OMNIGLOT at 28×28, 24,345 + 8,115 images; not the split of Burda et al. (2015). Labels are characters.

    Args:
        path: a folder that holds `omniglot28_resized.npz`, or the file; None is the folder of the environment variable
            VI_DATA_DIR.
        validation: a fraction or a count of the training data, or "test".
        scale: x is divided by it.
        options: `binarization`, `seed` and `standardize` of `Dataset`.
    """
    file = _find("omniglot28_resized.npz", path)
    names = {"x_train": "x_train", "x_test": "x_test", "y_train": "char_train", "y_test": "char_test"}
    return Dataset(_Images(_open_npz(file), names), str(file), validation, scale, **options)


def arrays(path: kinds.Path, label: str | None = None, **options: Any) -> Dataset:
    """Your own data: an `.npz` with the arrays of a `Dataset`, an `.npy`, which is its `x_train`, or a table.

    Args:
        path: the file. A table is a `.csv` or `.parquet` file with the names of its columns.
        label: the column of a table that holds the labels.
        options: `validation`, `scale`, `binarization`, `seed` and `standardize` of `Dataset`.
    """
    file = short(Path(path).expanduser())
    if not file.is_file():
        found = "is a directory" if file.is_dir() else f"there is no such file{_from_here(file)}"
        raise SettingError("path", file, f"{found}; an .npz, .npy, .csv or .parquet file is needed.")
    if file.suffix.lower() in tables.SUFFIXES:
        held, columns = tables.read_table(file, label)
        dataset = Dataset(held, str(file), **options)
        dataset.columns = columns
        return dataset
    if label is not None:
        raise SettingError("label", label, f"needs a table, .csv or .parquet; labels of {file} are its array y_train.")
    if file.suffix == ".npy":
        try:
            x = read_npy(file)
        except DAMAGES as error:
            raise SettingError("path", file, f"cannot be read as an .npy file of numbers ({damage(error)}).") from None
        return Dataset({"x_train": x}, str(file), **options)
    return Dataset(_open_npz(file), str(file), **options)


class _Images(Mapping):
    """Arrays of an archive under other names. Images `[N, h, w]` get a channel axis. An array is read on access."""

    def __init__(self, archive: Mapping[str, np.ndarray], names: Mapping[str, str]):
        self.archive = archive
        self.names = {name: key for name, key in names.items() if key in archive}

    def __getitem__(self, name: str) -> np.ndarray:
        array = np.asarray(self.archive[self.names[name]])
        return array[..., None] if name.startswith("x_") and array.ndim == 3 else array

    def __iter__(self):
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _keras_images(name: str, path: str | None, **options) -> Dataset:
    keys = ("x_train", "y_train", "x_test", "y_test")
    names = dict(zip(keys, keys, strict=True))
    directory = os.environ.get(DIRECTORY)
    if directory and not path and not Path(directory).expanduser().is_dir():
        raise ConfigError(f"{DIRECTORY}={directory}: there is no such folder{_from_here(Path(directory))}.")
    if path or (directory and Path(directory).expanduser().joinpath(f"{name}.npz").is_file()):
        file = _find(f"{name}.npz", path)
        return Dataset(_Images(_open_npz(file), names), str(file), **options)
    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:
        found = f"{name}.npz is not in Keras's cache, and the download failed ({' '.join(str(error).split())})"
        raise SettingError("path", path, f"{found}; {_needed(f'{name}.npz')}") from None
    return Dataset(_Images(dict(zip(keys, (*train, *test), strict=True)), names), f"Keras's {name}", **options)


def _find(file_name: str, path: str | None) -> Path:
    """The file of a data set, at a path or in the folder that the environment variable names."""
    directory = os.environ.get(DIRECTORY)
    if not path and not directory:
        raise SettingError("path", None, _needed(file_name))
    place = short(Path(path or str(directory)).expanduser())
    file = place / file_name if place.is_dir() else place
    if file.is_file():
        return file
    found = f"holds no {file_name}" if place.is_dir() else f"there is no such folder with {file_name}"
    sentence = f"{found}{_from_here(place)}."
    raise SettingError("path", place, sentence) if path else ConfigError(f"{DIRECTORY}={place}: {sentence}")


def _needed(file_name: str) -> str:
    return f"must be the folder of {file_name}, unless the environment variable {DIRECTORY} names this folder."


def _from_here(path: Path) -> str:
    """The directory of a relative path, for the end of a sentence; empty for an absolute path."""
    return "" if path.is_absolute() else f" in {Path.cwd()}"


def _open_npz(file: Path) -> Mapping[str, np.ndarray]:
    try:
        return Archive(file)
    except DAMAGES:
        raise SettingError(
            "path", file, "cannot be read as an .npz file; it has another format, or is damaged."
        ) from None
