"""Gives variables other values while networks are called, and records what the networks assign."""

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
    """A scope in which variables read as other values, and assignments are recorded but change no variable.

    Substitutions nest: an inner one adds to the outer one. (A nested `keras.StatelessScope` would hide the outer one.)
    When an inner one ends, it passes its assignments and the losses of layers to the outer one.

    Args:
        values: each variable with the value that replaces it.

    Attributes:
        updates: the last assignment of each variable within the scope.
    """

    def __init__(self, values: Iterable[Pair] = ()):
        self._outer = _innermost.get()
        known = self._outer._values if self._outer else {}
        self._values: dict[int, Pair] = {**known, **{id(pair[0]): pair for pair in values}}
        self._updates: dict[int, Pair] = {}
        super().__init__(list(self._values.values()), collect_losses=True)

    @property
    def updates(self) -> tuple[Pair, ...]:
        """The last assignment of each variable within the scope."""
        return tuple(self._updates.values())

    def add_update(self, update: Pair) -> None:
        """Called by Keras for an assignment. A weight then reads as the new value, with its gradient."""
        variable, value = update
        read = _assigned(variable.value, value) if variable.trainable else value
        super().add_update((variable, read))
        self._values[id(variable)] = variable, read
        self._updates[id(variable)] = update

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
    """All variables that read as another value here, each with this value."""
    innermost = _innermost.get()
    return () if innermost is None else tuple(innermost._values.values())


@tf.custom_gradient
def _assigned(weight: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, object]:
    """The value, with a gradient that goes to the weight as if the value had been assigned to it."""
    return tf.identity(value), lambda gradient: (gradient, None)


@tf.custom_gradient
def alias(value: tf.Tensor) -> tuple[tf.Tensor, object]:
    """A copy of the value as a separate tensor. The gradient by the copy exists, and does not go on to the original.

    `tf.identity` would pass the gradient on to the variable. With `tf.stop_gradient` there would be no gradient by the
    copy.
    """
    return tf.identity(value), tf.zeros_like
