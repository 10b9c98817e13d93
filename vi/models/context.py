"""Calls of the parts of a model, with the context arrays that they read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf

from vi.errors import ConfigError
from vi.likelihoods import Likelihood
from vi.particles import Batch
from vi.posteriors import Posterior
from vi.priors import Prior


def once(variables: Iterable[keras.Variable]) -> list[keras.Variable]:
    """The variables without duplicates, in order of their first occurrence."""
    return list({id(v): v for v in variables}.values())


def read(component: Posterior | Likelihood | Prior | keras.Layer, batch: Batch | None) -> dict[str, tf.Tensor]:
    """The arrays of a batch that a component reads, by name.

    Raises:
        ConfigError: the batch has no such array.
    """
    found = {}
    for name in getattr(component, "reads", ()):
        value = None if batch is None else batch.index if name == "index" else batch.context.get(name)
        if value is None:
            known = ", ".join(batch.context) if batch is not None and batch.context else "none"
            raise ConfigError(
                f"{type(component).__name__} reads {name}, which the data do not have; they have {known}."
            )
        found[name] = value
    return found


def call(network: keras.Layer, x: tf.Tensor, context: Sequence[tf.Tensor], training: bool) -> tf.Tensor:
    """A network's output, in training or in inference mode."""
    return network([x, *context] if context else x, training=training)


def spread(value: tf.Tensor, lead: Sequence[int]) -> tf.Tensor:
    """Repeats the row of each datum S times: `[B·S, ...]` from `[B, ...]`. No change if `lead` has no sample axis."""
    if len(lead) != 2:
        return value
    spread = tf.broadcast_to(value[:, None], [lead[0], lead[1], *value.shape[1:]])
    return tf.reshape(spread, [-1, *value.shape[1:]])
