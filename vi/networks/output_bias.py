"""Where the bias of a decoder's output starts."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from vi.errors import ConfigError


def set_output_bias(decoder: keras.Model, initial_output: Callable[[np.ndarray], np.ndarray], mean: np.ndarray) -> None:
    """Starts the bias of the decoder's layer "output" where its distribution has the mean `[*event]` of the data.

    A convolution has one bias for each channel, which starts at the mean of the channel.

    Args:
        decoder: whose bias is set.
        initial_output: the output `[*outputs]` that belongs to a mean, `Likelihood.initial_output`.
        mean: of the data.

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
