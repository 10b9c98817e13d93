"""The memory that a TensorFlow graph needs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

ALIASES = ("Identity", "Reshape", "ExpandDims", "Squeeze", "StopGradient", "PreventGradient")
"""Operations whose result shares the memory of their first input."""
KEPT = ("Const", "Placeholder", "ReadVariableOp")
"""Operations whose results are in memory before the graph runs."""


def peak_bytes(graph: tf.Graph) -> int:
    """The largest number of bytes in tensors alive at the same time, if operations run in the order of the graph."""
    owner: dict[Any, Any] = {}  # the tensor that first used the memory of each tensor
    last_use: dict[Any, int] = {}
    operations = graph.get_operations()
    for time_, operation in enumerate(operations):
        for tensor in operation.outputs:
            shared = operation.type in ALIASES and len(operation.inputs) > 0
            owner[tensor.ref()] = owner[operation.inputs[0].ref()] if shared else tensor.ref()
        for tensor in (*operation.inputs, *operation.outputs):
            last_use[owner[tensor.ref()]] = time_
    freed: dict[int, int] = {}
    live = peak = 0
    for time_, operation in enumerate(operations):
        for tensor in operation.outputs:
            if owner[tensor.ref()] != tensor.ref() or operation.type in KEPT:
                continue
            size = (tensor.shape.num_elements() or 0) * tensor.dtype.size
            live += size
            freed[last_use[tensor.ref()]] = freed.get(last_use[tensor.ref()], 0) + size
        peak = max(peak, live)
        live -= freed.pop(time_, 0)
    return peak
