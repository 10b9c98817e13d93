"""Dense encoders x `[N, *event]` → features `[N, F]` and decoders z `[N, L]` → outputs `[N, *outputs]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

layers = keras.layers


def mlp_encoder(
    event_shape: Sequence[int], hidden: Sequence[int] = (256, 128), activation: str = "relu", offset: float = 0.0
) -> keras.Model:
    """Dense layers of the given widths on x − offset; with none, the features are x − offset itself."""
    body = [layers.Dense(width, activation=activation) for width in hidden]
    return keras.Sequential([*input_layers(event_shape, offset), layers.Flatten(), *body], name="encoder")


def mlp_decoder(
    latent_dim: int, outputs: Sequence[int], hidden: Sequence[int] = (128, 256), activation: str = "relu"
) -> keras.Model:
    """Dense layers of the given widths and a linear one; with no width, the decoder is affine."""
    body = [layers.Dense(width, activation=activation) for width in hidden]
    output = [layers.Dense(math.prod(outputs), name="output"), layers.Reshape(tuple(outputs))]
    return keras.Sequential([keras.Input((latent_dim,)), *body, *output], name="decoder")


def input_layers(event_shape: Sequence[int], offset: float) -> list[Any]:
    """The layers that take x and give x − offset."""
    return [keras.Input(tuple(event_shape)), *([layers.Rescaling(1.0, -offset)] if offset else [])]


def no_decoder(latent_dim: int, outputs: Sequence[int]) -> keras.Model:
    """z itself, for models that describe no data."""
    return keras.Sequential([keras.Input((latent_dim,)), layers.Identity()], name="decoder")
