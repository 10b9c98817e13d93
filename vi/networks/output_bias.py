"""The initial bias of a decoder's output."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from vi.errors import ConfigError


def set_output_bias(decoder: keras.Model, initial_output: Callable[[np.ndarray], np.ndarray], mean: np.ndarray) -> None:
    """Sets the bias of the layer "output" so that the decoder's distribution has the mean `[*event]` of the data.

    A convolution has one bias for each channel. It is set from the mean of the channel.

    Args:
        decoder: the decoder.
        initial_output: the output `[*outputs]` for a mean, `Likelihood.initial_output`.
        mean: the mean of the data.

    Raises:
        ConfigError: the decoder has no such layer.
    """
    try:
        bias = decoder.get_layer("output").bias
    except (ValueError, AttributeError):
        raise ConfigError(
            "model.output_bias=data_mean needs a decoder whose last layer with weights is named 'output'."
        ) from None
    output = initial_output(mean)
    if output.size != bias.shape[0]:
        output = initial_output(np.broadcast_to(mean.mean(axis=(0, 1)), mean.shape))[0, 0]
    bias.assign(output.reshape(-1))
