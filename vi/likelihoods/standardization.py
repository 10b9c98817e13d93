"""The change of units between the user's data and standardized data."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd


class Standardization(keras.Layer):
    """x ↦ (x − shift) / scale, with numbers that are kept with the model and never trained.

    A table, whose event has one axis, has a shift and a scale for each column. Other data have one of each.

    Args:
        event_shape: the shape of one datum.
    """

    def __init__(self, event_shape: tuple[int, ...]):
        super().__init__(trainable=False)
        self.event_shape = tuple(event_shape)
        shape = self.event_shape if len(self.event_shape) == 1 else ()
        self.shift = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="shift")
        self.scale = self.add_weight(shape=shape, initializer="ones", trainable=False, name="scale")

    def adapt(self, mean: np.ndarray, sd: np.ndarray) -> None:
        """Sets shift and scale from the mean and the standard deviation of each element `[*event]`.

        The scale of a constant column is 1.
        """
        if len(self.event_shape) != 1:
            overall = mean.mean()
            mean, sd = overall, np.sqrt(np.mean(sd**2 + (mean - overall) ** 2))
        self.shift.assign(mean)
        self.scale.assign(np.where(sd > 0, sd, 1.0))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Standardized data from data in the user's units, both `[..., *event]`."""
        return (x - tf.convert_to_tensor(self.shift)) / tf.convert_to_tensor(self.scale)

    def restore(self, x: tf.Tensor) -> tf.Tensor:
        """Data in the user's units from standardized data."""
        return tf.convert_to_tensor(self.shift) + tf.convert_to_tensor(self.scale) * x

    def log_density(self) -> tf.Tensor:
        """−Σ log scale over the event: log p(x) minus the log density of standardized x, a scalar, in nats."""
        repeats = math.prod(self.event_shape) / math.prod(self.scale.shape)
        return -repeats * tf.reduce_sum(tf.math.log(tf.convert_to_tensor(self.scale)))

    def restore_distribution(self, p: tfd.Distribution) -> tfd.Distribution:
        """The distribution of x in the user's units, for x ~ p in standardized units."""
        shift, scale = tf.convert_to_tensor(self.shift), tf.convert_to_tensor(self.scale)
        return tfd.TransformedDistribution(p, tfb.Chain([tfb.Shift(shift), tfb.Scale(scale)]))
