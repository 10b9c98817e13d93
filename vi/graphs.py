"""Functions of tensors as graphs of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


class Graph:
    """A function of tensors as a graph of TensorFlow, which XLA compiles if `jit`.

    AutoGraph allows Python's `if` and `while` on tensors. It rewrites the source of every function on the way, which
    takes seconds, and vi has no such statements. So AutoGraph is used only if a component cannot be traced without it.

    Attributes:
        function: the function of TensorFlow.
    """

    def __init__(self, function: Callable[..., Any], jit: bool = False):
        self._converted = tf.function(function, jit_compile=jit)
        self.function = tf.function(function, jit_compile=jit, autograph=False)

    def __call__(self, *arguments: Any) -> Any:
        """The value of the function."""
        return self._attempt(lambda: self.function(*arguments))

    def trace(self, *arguments: Any) -> Any:
        """The concrete function for arguments, which may be specifications of tensors."""
        return self._attempt(lambda: self.function.get_concrete_function(*arguments))

    def _attempt(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except TypeError:  # raised if Python asks a tensor for its truth or its number
            if self.function is self._converted:
                raise
        self.function = self._converted
        return work()
