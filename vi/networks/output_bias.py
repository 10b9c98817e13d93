"""The initial bias of a decoder's output."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from vi.errors import ConfigError


def set_output_bias(decoder: keras.Model, initial_output: Callable[[np.ndarray], np.ndarray], mean: np.ndarray) -> None:
    """Sets the bias of the layer "output" so that the decoder's distribution has the mean `[*event]` of the data.

    A convolution has one bias for each channel, the last axis of the outputs. It is set from the mean of the channel.

    Args:
        decoder: the decoder.
        initial_output: the output `[*outputs]` for a mean, `Likelihood.initial_output`.
        mean: the mean of the data.

    Raises:
        ConfigError: the decoder has no such layer, or its biases are not those of the numbers or channels of an output.
    """
    try:
        layer = decoder.get_layer("output")
        size = layer.bias.shape[0]
    except (ValueError, AttributeError):
        raise ConfigError(
            "model.output_bias=data_mean needs a decoder whose last layer with weights is named 'output'."
        ) from None
    whole = initial_output(mean)
    output = whole if whole.size == size else _of_channels(initial_output, mean, size)
    if output is None or getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ConfigError(
            f"model.output_bias=data_mean: the layer 'output' of the decoder has {size} biases, which are neither one "
            "for each number of an output nor one for each channel in its last axis; use model.output_bias=zeros."
        )
    layer.bias.assign(output.reshape(-1))


def _of_channels(
    initial_output: Callable[[np.ndarray], np.ndarray], mean: np.ndarray, channels: int
) -> np.ndarray | None:
    """The output of each channel for the mean of the channel; None if the outputs have no such channels.

    An output whose last axis is not that of the channels can have one channel, as images `[H, W]`.
    """
    last = initial_output(mean).shape[-1] == channels
    axes = tuple(range(mean.ndim - 1)) if last else None
    output = initial_output(np.broadcast_to(mean.mean(axis=axes), mean.shape))
    output = output.reshape(-1, channels) if last else output.reshape(-1, 1)
    return output[0] if (last or channels == 1) and (output == output[0]).all() else None
