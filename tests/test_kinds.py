"""What a setting may hold: each kind admits its values, refuses others, and completes the sentence "must be …"."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import keras
import pytest

from vi import kinds
from vi.kinds import AtLeast, Between, Decay, NonNegative, PerLayer, Positive, Range, Schedule, kind_of

SCHEDULE = {"_target_": "keras.optimizers.schedules.CosineDecay"}
CASES = {
    "a whole number": (int, [0, -3], [1.5, True, "1", None, [1]]),
    "a finite number": (float, [0, -3.5, 1e300], [math.inf, math.nan, True, "1", None]),
    "true or false": (bool, [True, False], ["yes", None]),
    "a whole number of at least 1": (Annotated[int, Positive], [1, 7], [0, -1, 1.0, True]),
    "a whole number of at least 2": (Annotated[int, AtLeast(2)], [2], [1]),
    "a whole number from 2 to 5": (Annotated[int, Between(2, 5)], [2, 5], [1, 6]),
    "a finite number above 0": (Annotated[float, Positive], [1, 0.1], [0, -1.0, math.inf]),
    "a finite number of at least 0": (Annotated[float, NonNegative], [0, 0.1], [-1]),
    "a finite number of at least 0 and below 1": (Annotated[float, Decay], [0, 0.99], [1, -0.1]),
    "a finite number above 0 and at most 1": (Annotated[float, Range(above=0, high=1)], [1, 0.5], [0, 1.5]),
    "a finite number above 0, or null": (Annotated[float | None, Positive], [1, None], [0, "1"]),
    "a finite number above 0, or a Keras schedule with its _target_": (
        Annotated[float, Positive] | Schedule,
        [1, SCHEDULE],
        [0, {"a": 3}],
    ),
    "a finite number, or max": (float | Literal["max"], [0, "max"], ["min"]),
    "auto, true or false": (Literal["auto", True, False], ["auto", True, False], ["yes", 2]),
    "a list of positive whole numbers, such as [256]": (kinds.Widths, [[], [3, 4]], [3, [0], ["a"], "ab"]),
    "a list of at least one positive whole number, such as [256]": (kinds.Filters, [[3]], [[], [0]]),
    "a list, each element a finite number": (Sequence[float], [[], [1, 2.5]], [1, ["a"]]),
    "a whole number of at least 1, or a list with one such value for each layer": (
        PerLayer[Annotated[int, Positive]],
        [3, [1, 2]],
        [0, [], [0]],
    ),
    "a fraction between 0 and 1": (kinds.Fraction, [0.5], [0.0, 1.0, 1]),
    "a path": (kinds.Path, ["a/b"], ["", 3]),
    "anything": (Any, [None, 3, {}], []),
}


@pytest.mark.parametrize("allowed", CASES)
def test_a_kind_admits_its_values_and_says_what_they_are(allowed):
    annotation, right, wrong = CASES[allowed]
    kind = kind_of(annotation)
    assert kind.allowed == allowed
    assert [value for value in right if not kind.test(value)] == []
    assert [value for value in wrong if kind.test(value)] == []


def test_every_activation_of_keras_is_known():
    names = {name for name in dir(keras.activations) if not name.startswith("_")}
    assert set(kinds.ACTIVATIONS) == names - {"get", "serialize", "deserialize"}
