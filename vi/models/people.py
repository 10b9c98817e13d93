"""What people give to a model, as tensors of its shapes, and what a model tells people about itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from vi.errors import ConfigError
from vi.particles import Batch
from vi.text import plain

if TYPE_CHECKING:
    from vi.models.latent import LatentVariableModel


def wants_numpy(x: Any) -> bool:
    """Whether what is made of x is a NumPy array: x is an array, a list or a table, not a tensor or a batch."""
    return not isinstance(x, Batch) and not tf.is_tensor(x)


def as_batch(x: Any, event: tuple[int, ...], dtype: str, columns: Sequence[str] | None = None) -> Batch:
    """The batch itself, or a batch of bare data x `[B, *event]`; images `[B, h, w]` get the channel of the event.

    If `columns` are given, a data frame gives these columns, in this order.

    Raises:
        ConfigError: x has another shape, lacks a column, or is not of numbers.
    """
    if isinstance(x, Batch):
        return x
    if wants_numpy(x):
        x = tf.convert_to_tensor(_numbers(x, dtype, columns))
    if len(event) == 3 and event[-1] == 1 and x.shape.rank == 3:
        x = x[..., None]
    if not x.shape[1:].is_compatible_with(event) or x.shape.rank == 0:
        needed = ", ".join(map(str, ("B", *event)))
        raise ConfigError(
            f"x of shape {tuple(x.shape)}: the model takes data of shape {event}, so x must be of shape ({needed})."
        )
    return Batch.of(x)


def _numbers(x: Any, dtype: str, columns: Sequence[str] | None) -> np.ndarray:
    """An array, a list or a data frame as an array of numbers."""
    if hasattr(x, "columns") and hasattr(x, "iloc") and columns is not None:
        names = [str(name) for name in x.columns]
        if missing := [name for name in columns if name not in names]:
            raise ConfigError(f"x: lacks the column {plain(missing[0])}; the model takes {plain(', '.join(columns))}.")
        x = x.iloc[:, [names.index(name) for name in columns]]
    try:
        numbers = np.asarray(x, dtype)
    except (ValueError, TypeError):
        raise ConfigError(f"x: must be numbers, but the {plain(type(x).__name__)} holds something else.") from None
    if np.isnan(numbers).any():
        raise ConfigError("x: holds NaN; the model takes finite numbers.")
    return numbers


def count_variables(variables: Iterable[keras.Variable]) -> int:
    """The number of elements of the variables."""
    return sum(math.prod(v.shape) for v in variables)


def describe(model: LatentVariableModel) -> str:
    """A line for each part of a model, with its class, shapes and parameters."""
    event, latents = model.likelihood.event_shape, (model.latent_dim,)
    parts = {
        "encoder": (model.encoder, f"x {event}"),
        "posterior": (model.posterior, f"z {latents}"),
        "decoder": (model.decoder, f"z {latents}"),
        "likelihood": (model.likelihood, f"x {event}"),
        "prior": (model.prior, f"z {latents}"),
    }
    lines = []
    for name, (part, shape) in parts.items():
        size = count_variables(part.trainable_variables)
        of = "of" if name in ("posterior", "likelihood", "prior") else "takes"
        lines.append(f"  {name:10} {type(part).__name__} {of} {shape}, {size:,} parameters")
    total = count_variables([*model.generative_variables, *model.inference_variables])
    standardized = ", of standardized data" if model.standardization is not None else ""
    return "\n".join([f"{type(model).__name__} with {total:,} parameters{standardized}", *lines])
