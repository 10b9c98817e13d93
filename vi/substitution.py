"""Values that stand in for variables while networks are called, and what the networks would assign meanwhile."""

from __future__ import annotations

import contextvars
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import keras
import tensorflow as tf

Pair = tuple[keras.Variable, tf.Tensor]
"""A variable and a value."""

_innermost: contextvars.ContextVar[Substitution | None] = contextvars.ContextVar("substitution", default=None)


class Substitution(keras.StatelessScope):
    """Within it, variables read as other values, and an assignment changes no variable.

    Substitutions nest: an inner one adds to the outer one. (A `keras.StatelessScope` inside another hides it.) An inner
    one hands its assignments, and the losses that layers add, to the outer one when it ends.

    Args:
        values: the variables with the values that stand in for them.

    Attributes:
        updates: the assignments that were made within it, the last one of each variable.
    """

    def __init__(self, values: Iterable[Pair] = ()):
        self._outer = _innermost.get()
        known = self._outer._values if self._outer else {}
        self._values: dict[int, Pair] = {**known, **{id(pair[0]): pair for pair in values}}
        self._updates: dict[int, Pair] = {}
        super().__init__(list(self._values.values()), collect_losses=True)

    @property
    def updates(self) -> tuple[Pair, ...]:
        """The assignments that were made within it, the last one of each variable."""
        return tuple(self._updates.values())

    def add_update(self, update: Pair) -> None:
        """Called by Keras for an assignment."""
        super().add_update(update)
        self._updates[id(update[0])] = self._values[id(update[0])] = update

    def __enter__(self) -> Self:
        self._token = _innermost.set(self)
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        _innermost.reset(self._token)
        if self._outer is not None and error is None:
            for update in self._updates.values():
                self._outer.add_update(update)
            self._outer.losses.extend(self.losses)


def current() -> tuple[Pair, ...]:
    """All variables that read as another value here, with it."""
    innermost = _innermost.get()
    return () if innermost is None else tuple(innermost._values.values())


@tf.custom_gradient
def alias(value: tf.Tensor) -> tuple[tf.Tensor, object]:
    """The same value as a tensor of its own: a gradient by the alias exists, and reaches nothing before it.

    (`tf.identity` would lead the gradient on to the variable, and `tf.stop_gradient` would leave none by the alias.)
    """
    return tf.identity(value), tf.zeros_like
