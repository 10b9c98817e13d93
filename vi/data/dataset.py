"""Data sets: arrays are checked once, stay in memory in their own dtype, and are converted in the graph."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import keras
import numpy as np
import tensorflow as tf

from vi import random
from vi.data.archives import DAMAGES
from vi.data.scales import another_scale, standard_deviation
from vi.errors import ConfigError, SettingError
from vi.files import damage
from vi.kinds import Fraction, Positive, Seed
from vi.particles import Batch
from vi.text import plain

log = logging.getLogger(__name__)


PARTS = ("train", "validation", "test")


WEIGHTS = ("weight", "kl_weight")


ARRAYS = (*(f"{kind}_{part}" for kind in "xy" for part in PARTS), *(f"{name}_train" for name in WEIGHTS))


Binarization = Literal["none", "dynamic", "static"]
Validation = Fraction | Annotated[int, Positive] | Literal["given", "test"] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """A part of a data set.

    Attributes:
        x: `[N, *event]`, in its own dtype.
        y: labels `[N]`, or None.
        weight: a weight for each datum in the loss `[N]`, or None.
        kl_weight: the weight of each datum's KL term in the loss `[N]`, which multiplies β; or None.
        index: the position of each datum in the original array, `[N]`; None if the split is the original array.
    """

    x: np.ndarray
    y: np.ndarray | None = None
    weight: np.ndarray | None = None
    kl_weight: np.ndarray | None = None
    index: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: np.ndarray) -> Split:
        """The data with these indices."""
        y, weight, kl_weight = (
            None if array is None else array[index] for array in (self.y, self.weight, self.kl_weight)
        )
        return Split(self.x[index], y, weight, kl_weight, index if self.index is None else self.index[index])

    @functools.cached_property
    def resident(self) -> tf.Tensor:
        """`x` as a tensor on the device, in its own dtype."""
        with tf.init_scope():  # outside any graph that is being traced
            return tf.constant(self.x)


class Dataset:
    """Training, validation and test data from named arrays, checked when opened.

    Arrays `x` and `y` are taken as `x_train` and `y_train`. Labels that are text or partly missing are left out.

    Args:
        arrays: `x_train`, and optionally `x_validation`, `x_test`, labels `y_train`, `y_validation`, `y_test`, and the
            weights `weight_train` of the training data's losses and `kl_weight_train` of their KL terms. An array is
            read when it is first needed, so the test set is read only on request.
        source: the file, for error messages.
        validation: the source of the validation data. A fraction or a count takes them from the training data, drawn by
            `seed`. "given" takes the array `x_validation`, and "test" the test data. None is "given" if the arrays hold
            `x_validation`, else 0.1.
        scale: x is divided by it.
        binarization: "none"; "static", each element drawn once with its value as the probability of 1;
            "dynamic", drawn afresh each time it is seen.
        seed: of the split and of static and validation binarization; independent of the run's seed.
        standardize: whether the model sees (x − mean) / sd of the training data, for each column of a table, and with
            one mean and one sd for other data. What goes in and comes out of the model keeps the user's units.

    Attributes:
        columns: the names of the columns of a table; None if they have no names.

    Raises:
        ConfigError: an array is missing, or has the wrong dtype, shape or values.
    """

    columns: Sequence[str] | None = None

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        source: str,
        validation: Validation = None,
        scale: Annotated[float, Positive] = 1.0,
        binarization: Binarization = "none",
        seed: Seed = 0,
        standardize: bool = False,
    ):
        if standardize and binarization != "none":
            raise SettingError("standardize", True, f"needs real data, so binarization=none, not {binarization}.")
        self.standardize = standardize
        self.source, self.binarization, self.seed = source, binarization, seed
        self._arrays, self._scale = arrays, float(scale)
        self.scale = 1.0 if binarization == "static" else self._scale
        unread = sorted(set(arrays) - {self._key(name) for name in ARRAYS}, key=list(arrays).index)
        if unread:
            shown = plain(", ".join(unread[:10])) + (f" and {len(unread) - 10} others" if unread[10:] else "")
            log.warning("%s: %s are not read; the names are %s.", source, shown, ", ".join(ARRAYS))
        if validation is None:
            validation = "given" if "x_validation" in arrays else 0.1
        train = self._open("train")
        if validation == "given":
            self.train, self.validation = train, self._open("validation", like=train)
        elif validation == "test":
            self.train, self.validation = train, self._open("test", like=train)
        else:
            self.train, self.validation = self._hold_out(train, validation)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one datum."""
        return self.train.x.shape[1:]

    @property
    def has_test(self) -> bool:
        """Whether there is a test set."""
        return "x_test" in self._arrays

    @functools.cached_property
    def test(self) -> Split:
        """The test set."""
        return self._open("test", like=self.train)

    @functools.cached_property
    def binary(self) -> bool:
        """Whether the model sees only the values 0 and 1."""
        return all(map(self.is_binary, (self.train, self.validation)))

    def is_binary(self, split: Split) -> bool:
        """Whether the model sees only the values 0 and 1 in a split."""
        return self.binarization != "none" or bool(((split.x == 0) | (split.x == self.scale)).all())

    @functools.cached_property
    def hash(self) -> str:
        """A digest of the training and validation data, and of their weights."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation):
            for name, array in (("", split.x), ("weight", split.weight), ("kl_weight", split.kl_weight)):
                if array is not None:
                    digest.update(name.encode())
                    digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    @functools.cached_property
    def mean(self) -> np.ndarray:
        """The mean of the training data as the model sees them, `[*event]`."""
        return self.train.x.mean(axis=0, dtype=np.float64) / self.scale

    @functools.cached_property
    def sd(self) -> np.ndarray:
        """The standard deviation of the training data as the model sees them, `[*event]`."""
        return standard_deviation(self.train.x, self.mean * self.scale) / self.scale

    def batch(self, split: Split, index: tf.Tensor, seed: tf.Tensor) -> Batch:
        """The data `index` `[B]` of a split as the model sees them, scaled and binarized, with their weights.

        Runs inside the compiled graph. Only dynamic binarization uses `seed`.
        """
        dtype = keras.config.floatx()
        x = tf.cast(tf.gather(split.resident, index), dtype) / self.scale
        x = random.bernoulli(x, seed, dtype) if self.binarization == "dynamic" else x

        def of_data(weight: np.ndarray | None) -> tf.Tensor | None:
            return None if weight is None else tf.cast(tf.gather(weight, index), dtype)

        return Batch(x, {}, index, len(split), of_data(split.weight), of_data(split.kl_weight))

    def require_unit_interval(self, reason: str, splits: Sequence[str] = ("train", "validation")) -> None:
        """Raises ConfigError, with `reason`, unless all scaled data of these splits lie in [0, 1]."""
        if self.binarization != "none":
            return  # checked when it was opened
        for name in splits:
            self._require_unit_interval(f"x_{name}", getattr(self, name).x, reason)

    def _require_unit_interval(self, name: str, x: np.ndarray, reason: str) -> None:
        if x.min() < 0 or x.max() > self._scale:
            scaled = "" if x.min() < 0 else "set the scale of the data, or "
            advice = f"{scaled}use a likelihood of real data, such as gaussian, without binarization"
            outside = (x < 0) | (x > self._scale)
            self._refuse(name, outside, x, f"lies outside [0, scale={self._scale:g}], {reason}; {advice}")

    def _hold_out(self, train: Split, validation: float | int) -> tuple[Split, Split]:
        size = len(train)
        held_out = round(validation * size) if isinstance(validation, float) else int(validation)
        if not 0 < held_out < size:
            needed = "at least 1 must be held out, and 1 be left to train on"
            raise SettingError("validation", validation, f"holds out {held_out} of the {size} training data; {needed}.")
        order = random.permutation(size, random.seed(self.seed, "split"))
        return train.take(np.sort(order[held_out:])), train.take(np.sort(order[:held_out]))

    def _open(self, part: str, like: Split | None = None) -> Split:
        x = self._read(f"x_{part}")
        if x is None:
            why = ", which validation=given needs" if part == "validation" else ""
            held = plain(", ".join(list(self._arrays)[:10])) or "nothing that is read"
            raise ConfigError(f"{self.source}: holds no array x_{part}{why}; it holds {held}.")
        if x.ndim < 2 or x.size == 0:
            raise ConfigError(f"{self.source}: x_{part} has shape {x.shape}, but must be [N, *event], each above 0.")
        if like is not None and x.shape[1:] != like.x.shape[1:]:
            raise ConfigError(
                f"{self.source}: one datum of x_{part} has shape {x.shape[1:]}, of x_train {like.x.shape[1:]}."
            )
        if like is not None and (sentence := another_scale(f"x_{part}", x, like.x)):
            log.warning("%s: %s", self.source, sentence)
        y = self._read_labels(f"y_{part}", len(x))
        weights = [self._read_weight(f"{name}_{part}", len(x)) for name in WEIGHTS] if part == "train" else []
        if self.binarization != "none":
            self._require_unit_interval(f"x_{part}", x, "as binarization needs probabilities")
        if self.binarization == "static":
            seed = random.fold(random.seed(self.seed, "binarization"), PARTS.index(part))
            x = random.bernoulli(tf.constant(x / self._scale, tf.float32), seed, "uint8").numpy()
        return Split(x, y, *weights)

    def _read_labels(self, name: str, length: int) -> np.ndarray | None:
        """The labels; None, with a warning, if some are text or missing."""
        if self._key(name) not in self._arrays:
            return None
        try:
            y = np.asarray(self._arrays[self._key(name)])
            held = "text" if y.dtype.kind in "OSUT" else "missing values" if (y != y).any() else None
        except ValueError:  # NumPy reads no array of Python's objects
            held = "text or other objects"
        except DAMAGES:
            held = None  # `_read` raises it again
        if held is None:
            return self._read(name, length)
        log.warning("%s: %s holds %s, so pictures and probes are without labels.", self.source, name, held)
        return None

    def _read_weight(self, name: str, length: int) -> np.ndarray | None:
        weight = self._read(name, length)
        if weight is not None and weight.min() < 0:
            self._refuse(name, weight < 0, weight, "is negative")
        return weight

    def _key(self, name: str) -> str:
        """The name under which an array is held: `x` and `y` stand for `x_train` and `y_train`."""
        short = name.removesuffix("_train")
        return short if short in "xy" and name not in self._arrays else name

    def _read(self, name: str, length: int | None = None) -> np.ndarray | None:
        key = self._key(name)
        if key not in self._arrays:
            return None
        try:
            array = np.asarray(self._arrays[key])
        except DAMAGES as error:
            raise ConfigError(f"{self.source}: array {name} cannot be read: {damage(error)}.") from None
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise ConfigError(
                f"{self.source}: {name} has dtype {array.dtype}, but must be of real numbers of at most 64 bits."
            )
        if length is not None and array.shape != (length,):
            raise ConfigError(
                f"{self.source}: {name} has shape {array.shape}, but must be ({length},): one number for each datum."
            )
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            self._refuse(name, ~np.isfinite(array), array, "is not finite")
        return array.astype(np.uint8) if array.dtype == bool else array

    def _refuse(self, name: str, bad: np.ndarray, array: np.ndarray, why: str) -> None:
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ConfigError(f"{self.source}: {name}[{', '.join(map(str, first))}] = {array[first]:g} {why}.")
