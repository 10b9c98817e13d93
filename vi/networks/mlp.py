"""Dense encoders x `[N, *event]` → features `[N, F]` and decoders z `[N, L]` → outputs `[N, *outputs]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from vi.kinds import Activation, Widths

layers = keras.layers


def mlp_encoder(
    event_shape: Sequence[int], hidden: Widths = (256, 128), activation: Activation = "relu", offset: float = 0.0
) -> keras.Model:
    """Dense layers on x − offset; without a layer, the features are x − offset itself.

    Args:
        event_shape: the shape of one datum.
        hidden: widths of the layers; [] for none.
        activation: of every layer.
        offset: is subtracted from x.
    """
    body = [layers.Dense(width, activation=activation) for width in hidden]
    return keras.Sequential([*input_layers(event_shape, offset), layers.Flatten(), *body], name="encoder")


def mlp_decoder(
    latent_dim: int, outputs: Sequence[int], hidden: Widths = (128, 256), activation: Activation = "relu"
) -> keras.Model:
    """Dense layers and a linear one; without the former, the decoder is affine.

    Args:
        latent_dim: L.
        outputs: the shape of the output for one z.
        hidden: widths of the layers before the linear one; [] for none.
        activation: of every layer but the linear one.
    """
    body = [layers.Dense(width, activation=activation) for width in hidden]
    output = [layers.Dense(math.prod(outputs), name="output"), layers.Reshape(tuple(outputs))]
    return keras.Sequential([keras.Input((latent_dim,)), *body, *output], name="decoder")


def input_layers(event_shape: Sequence[int], offset: float) -> list[Any]:
    """The layers that take x and give x − offset."""
    return [keras.Input(tuple(event_shape)), *([layers.Rescaling(1.0, -offset)] if offset else [])]


def no_decoder(latent_dim: int, outputs: Sequence[int]) -> keras.Model:
    """z itself, for models that describe no data."""
    return keras.Sequential([keras.Input((latent_dim,)), layers.Identity()], name="decoder")
