"""The allowed values of settings: the kinds that constructors use in `Annotated[...]`, and the test of a plain value.

    def __init__(self, samples: Annotated[int, Positive] = 1, form: Literal["log", "exponential"] = "log"): ...

Such a constructor is the only declaration of its settings. `vi-train` reads it without importing the module.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar


@dataclasses.dataclass(frozen=True)
class Kind:
    """A set of plain values: `test` is True for its members, and `allowed` completes the sentence "must be …"."""

    allowed: str
    test: Callable[[Any], bool]

    def __or__(self, other: Kind) -> Kind:
        return Kind(f"{self.allowed}, or {other.allowed}", lambda v: self.test(v) or other.test(v))


@dataclasses.dataclass(frozen=True)
class Range:
    """A range of numbers, for `Annotated[int, …]` and `Annotated[float, …]`; it includes `low` and `high`."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def of(self, number: type) -> Kind:
        """The numbers of this type, int or float, that lie in the range."""
        test, noun = (_is_whole, "a whole number") if number is int else (_is_number, "a finite number")
        return Kind(f"{noun}{self._limits(number)}", lambda v: test(v) and v in self)

    def _limits(self, number: type) -> str:
        low, above = self.low, self.above
        if number is int and above is not None:
            low, above = above + 1, None
        if low is not None and self.high is not None:
            return f" from {_text(low)} to {_text(self.high)}"
        lower = [f" of at least {_text(low)}"] if low is not None else []
        lower += [f" above {_text(above)}"] if above is not None else []
        upper = [f"at most {_text(self.high)}"] if self.high is not None else []
        upper += [f"below {_text(self.below)}"] if self.below is not None else []
        return "".join(lower) + "".join(f"{' and' if lower or i else ''} {limit}" for i, limit in enumerate(upper))


class AtLeast(Range):
    """The numbers that are not below `low`."""

    def __init__(self, low: float):
        super().__init__(low=low)


class Between(Range):
    """The numbers from `low` to `high`, both included."""

    def __init__(self, low: float, high: float):
        super().__init__(low=low, high=high)


LARGEST = 2**63
"""Whole numbers are smaller than this."""


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def is_list(value: Any) -> bool:
    """Whether a value is a list, and not a text."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def _text(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def _widths(least: int) -> Kind:
    noun = "at least one positive whole number" if least else "positive whole numbers"
    return Kind(
        f"a list of {noun}, such as [256]",
        lambda v: is_list(v) and len(v) >= least and all(_is_whole(width) and width > 0 for width in v),
    )


ANYTHING = Kind("anything", lambda v: True)
PER_LAYER = "one value for all layers, or a list with one for each"
ACTIVATIONS = (
    *("celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish"),
    *("hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid"),
    *("silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax"),
    *("squareplus", "swish", "tanh", "tanh_shrink", "threshold"),
)

Positive = Range(above=0)
NonNegative = Range(low=0)
Decay = Range(low=0, below=1)
"""The decay rate of a moving average."""

T = TypeVar("T")
PerLayer = Annotated[T | Sequence[T], PER_LAYER]
Fraction = Annotated[float, Kind("a fraction between 0 and 1", lambda v: isinstance(v, float) and 0 < v < 1)]
Seed = Annotated[int, Between(0, 2**31 - 1)]
Widths = Annotated[Sequence[int], _widths(0)]
Filters = Annotated[Sequence[int], _widths(1)]
Text = Annotated[str, Kind("a text", lambda v: isinstance(v, str) and v != "")]
Path = Annotated[str, Kind("a path", lambda v: isinstance(v, str) and v != "")]
Activation = Annotated[str, Kind(f"a Keras activation, one of {', '.join(ACTIVATIONS)}", lambda v: v in ACTIVATIONS)]
Schedule = Annotated[
    Callable[[Any], Any],
    Kind("a Keras schedule with its _target_", lambda v: isinstance(v, Mapping) and isinstance(v.get("_target_"), str)),
]

_PLAIN = {
    int: Range().of(int),
    float: Range().of(float),
    bool: Kind("true or false", lambda v: isinstance(v, bool)),
    str: Kind("a text", lambda v: isinstance(v, str)),
    type(None): Kind("null", lambda v: v is None),
}
_LISTS = (list, tuple, Sequence, set, frozenset)


def kind_of(annotation: Any) -> Kind:
    """The plain values that an annotation allows; `ANYTHING` if it sets no limit."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _marked(arguments[0], arguments[1:])
    if origin in (typing.Union, types.UnionType):
        kinds = [kind_of(each) for each in arguments]
        return ANYTHING if ANYTHING in kinds else functools.reduce(Kind.__or__, kinds)
    if origin is Literal:
        *names, last = (str(v).lower() if isinstance(v, bool) else str(v) for v in arguments)
        return Kind(" or ".join(filter(None, [", ".join(names), last])), lambda v: any(v == w for w in arguments))
    if origin in _LISTS or annotation in _LISTS:
        element = kind_of(arguments[0]) if arguments else ANYTHING
        return Kind(_list_of(element), lambda v: is_list(v) and all(map(element.test, v)))
    return _PLAIN.get(annotation, ANYTHING)


def _marked(base: Any, marks: Sequence[Any]) -> Kind:
    for mark in marks:
        if isinstance(mark, Kind):
            return mark
        if isinstance(mark, Range):
            return functools.reduce(Kind.__or__, (_ranged(each, mark) for each in typing.get_args(base) or (base,)))
        if mark is PER_LAYER:
            return _per_layer(kind_of(typing.get_args(base)[0]))
    return kind_of(base)


def _ranged(base: Any, limits: Range) -> Kind:
    return limits.of(base) if base in (int, float) else kind_of(base)


def _per_layer(one: Kind) -> Kind:
    return Kind(
        f"{one.allowed}, or a list with one such value for each layer",
        lambda v: one.test(v) or (is_list(v) and len(v) > 0 and all(map(one.test, v))),
    )


def _list_of(element: Kind) -> str:
    if element is ANYTHING:
        return "a list"
    return f"a list, each element {element.allowed}"
