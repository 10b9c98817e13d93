"""Encoders x `[N, *event]` → features `[N, F]` and decoders z `[N, L]` → outputs `[N, *outputs]`, in Keras."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np

from vi.errors import ConfigError

layers = keras.layers


def mlp_encoder(
    event_shape: Sequence[int], hidden: Sequence[int] = (256, 128), activation: str = "relu"
) -> keras.Model:
    """Dense layers of the given widths; with none, the features are x itself."""
    body = [layers.Dense(width, activation=activation) for width in hidden]
    return keras.Sequential([keras.Input(tuple(event_shape)), layers.Flatten(), *body], name="encoder")


def mlp_decoder(
    latent_dim: int, outputs: Sequence[int], hidden: Sequence[int] = (128, 256), activation: str = "relu"
) -> keras.Model:
    """Dense layers of the given widths and a linear one; with no width, the decoder is affine."""
    body = [layers.Dense(width, activation=activation) for width in hidden]
    output = [layers.Dense(math.prod(outputs), name="output"), layers.Reshape(tuple(outputs))]
    return keras.Sequential([keras.Input((latent_dim,)), *body, *output], name="decoder")


def conv_encoder(
    event_shape: Sequence[int],
    filters: Sequence[int] = (32, 64),
    kernel_size: int = 3,
    hidden: Sequence[int] = (128,),
    activation: str = "relu",
) -> keras.Model:
    """Convolutions of stride 2, each halving height and width, then dense layers.

    Raises:
        ConfigError: a datum is not of shape (height, width, channels).
    """
    _require_image(event_shape, "encoder")
    body = [layers.Conv2D(n, kernel_size, 2, "same", activation=activation) for n in filters]
    dense = [layers.Dense(width, activation=activation) for width in hidden]
    return keras.Sequential([keras.Input(tuple(event_shape)), *body, layers.Flatten(), *dense], name="encoder")


def conv_decoder(
    latent_dim: int,
    outputs: Sequence[int],
    filters: Sequence[int] = (64, 32),
    kernel_size: int = 3,
    hidden: Sequence[int] = (128,),
    activation: str = "relu",
) -> keras.Model:
    """Dense layers, transposed convolutions of stride 2, and a linear convolution: `conv_encoder` mirrored.

    Raises:
        ConfigError: the output is not of shape (height, width, channels).
    """
    _require_image(outputs, "decoder")
    height, width = outputs[:2]
    sizes = [(-(-height // 2**i), -(-width // 2**i)) for i in range(len(filters), -1, -1)]
    body = [layers.Dense(units, activation=activation) for units in hidden]
    body += [layers.Dense(math.prod(sizes[0]) * filters[0], activation=activation)]
    body += [layers.Reshape((*sizes[0], filters[0]))]
    for number, before, after in zip(filters, sizes, sizes[1:], strict=False):
        body.append(layers.Conv2DTranspose(number, kernel_size, 2, "same", activation=activation))
        body.append(layers.Cropping2D([(0, 2 * b - a) for b, a in zip(before, after, strict=True)]))
    output = layers.Conv2D(outputs[2], kernel_size, padding="same", name="output")
    return keras.Sequential([keras.Input((latent_dim,)), *body, output], name="decoder")


def set_output_bias(decoder: keras.Model, output: np.ndarray) -> None:
    """Starts the bias of the decoder's layer "output" at `output` `[*outputs]`.

    A convolution has one bias for each channel, which gets the mean over the image.

    Raises:
        ConfigError: the decoder has no such layer.
    """
    try:
        bias = decoder.get_layer("output").bias
    except (ValueError, AttributeError):
        raise ConfigError(
            "model.output_bias=data_mean needs a decoder whose last layer with weights is named 'output'."
        ) from None
    channels = bias.shape[0]
    bias.assign(output.reshape(-1) if output.size == channels else output.reshape(-1, channels).mean(0))


def _require_image(shape: Sequence[int], key: str) -> None:
    if len(shape) != 3:
        raise ConfigError(
            f"{key}=conv: needs data of shape (height, width, channels), these are of shape {tuple(shape)}; "
            f"give images an axis of channels, or use {key}=mlp."
        )
