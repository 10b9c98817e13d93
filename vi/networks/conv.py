"""Convolutional encoders x `[N, *event]` → features `[N, F]` and decoders z `[N, L]` → outputs `[N, *outputs]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import keras
import tensorflow as tf

from vi.errors import ConfigError, SettingError
from vi.kinds import Activation, Filters, PerLayer, Positive, Widths
from vi.networks.mlp import input_layers

layers = keras.layers


def conv_encoder(
    event_shape: Sequence[int],
    filters: Filters = (32, 64),
    kernel_size: PerLayer[Annotated[int, Positive]] = 3,
    strides: PerLayer[Annotated[int, Positive]] = 2,
    padding: PerLayer[Literal["same", "valid"]] = "same",
    hidden: Widths = (128,),
    activation: Activation = "relu",
    offset: float = 0.0,
) -> keras.Model:
    """Convolutions of x − offset, then dense layers.

    Args:
        event_shape: (height, width, channels), or (height, width) of images with one channel.
        filters: of each convolution.
        kernel_size: of all convolutions, or of each.
        strides: of all, or of each.
        padding: "same" or "valid", of all or of each.
        hidden: widths of the dense layers; [] for none.
        activation: of every layer.
        offset: is subtracted from x.

    Raises:
        ConfigError: a datum is not an image, or the length of a list is not the number of convolutions.
    """
    _require_image(event_shape, "encoder")
    each = _each(filters, kernel_size=kernel_size, strides=strides, padding=padding)
    _sizes(event_shape, each)
    body = [layers.Conv2D(number, activation=activation, **one) for number, one in zip(filters, each, strict=True)]
    dense = [layers.Dense(width, activation=activation) for width in hidden]
    inputs = [*input_layers(event_shape, offset), *_reshaped(event_shape, (*event_shape[:2], 1))]
    return keras.Sequential([*inputs, *body, layers.Flatten(), *dense], name="encoder")


def conv_decoder(
    latent_dim: int,
    outputs: Sequence[int],
    filters: Filters = (64, 32),
    kernel_size: PerLayer[Annotated[int, Positive]] = 3,
    strides: PerLayer[Annotated[int, Positive]] = 2,
    padding: PerLayer[Literal["same", "valid"]] = "same",
    output_kernel_size: Annotated[int, Positive] = 3,
    hidden: Widths = (128,),
    projection: bool = True,
    activation: Activation = "relu",
) -> keras.Model:
    """Dense layers, transposed convolutions and a linear convolution: `conv_encoder` mirrored.

    Each transposed convolution inverts the shape change of the matching convolution, so the output size is exact.

    Args:
        latent_dim: L.
        outputs: (height, width, channels), or (height, width) of images with one channel.
        filters: of each transposed convolution.
        kernel_size: of all transposed convolutions, or of each.
        strides: of all, or of each.
        padding: "same" or "valid", of all or of each.
        output_kernel_size: of the last, linear convolution.
        hidden: widths of the dense layers; [] for none.
        projection: true adds a dense layer that gives the input image of the first transposed convolution, with as many
            channels as its filters. false reshapes the last dense layer, or z, to this image.
        activation: of every layer but the last.

    Raises:
        ConfigError: the output is not an image, the length of a list is not the number of transposed convolutions, or
            the numbers to reshape do not fill an image.
    """
    _require_image(outputs, "decoder")
    each = _each(filters, kernel_size=kernel_size, strides=strides, padding=padding)
    sizes = _sizes(outputs, each[::-1])[::-1]
    pixels = math.prod(sizes[0])
    widths = [*hidden, pixels * filters[0]] if projection else list(hidden)
    units = widths[-1] if widths else latent_dim
    if units % pixels:
        found = f"{units} numbers do not fill an image of {sizes[0][0]}×{sizes[0][1]}"
        cure = "change hidden, or set projection=true"
        raise SettingError("projection", False, f"{found}, which the first transposed convolution takes; {cure}.")
    body = [layers.Dense(width, activation=activation) for width in widths]
    body += [layers.Reshape((*sizes[0], units // pixels))]
    for number, one, before, after in zip(filters, each, sizes[:-1], sizes[1:], strict=True):
        body += _transposed(number, activation, one, before, after)
    channels = outputs[2] if len(outputs) == 3 else 1
    output = NarrowConv2D(channels, output_kernel_size, padding="same", name="output")
    return keras.Sequential([keras.Input((latent_dim,)), *body, output, *_reshaped(outputs, outputs)], name="decoder")


class NarrowConv2D(keras.layers.Conv2D):
    """`Conv2D` with few filters, stride 1 and padding `same`, faster on CPUs: weights and values are the same."""

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The sum over the kernel's rows. The rows are the filters of a convolution along the rows of the image.

        CPUs compute 16 filters at a time, so one filter takes as long as 16.
        """
        rows, columns, channels, filters = kernel.shape
        if rows * filters > 16 or tf.config.list_physical_devices("GPU"):
            return super().convolution_op(inputs, kernel)
        shape = (1, columns, channels, rows * filters)
        along_rows = keras.ops.reshape(keras.ops.transpose(kernel, (1, 2, 0, 3)), shape)
        terms = super().convolution_op(inputs, along_rows)  # [N, height, width, rows · filters]
        terms = tf.pad(terms, [[0, 0], [(rows - 1) // 2, rows // 2], [0, 0], [0, 0]])
        each = enumerate(tf.split(terms, rows, axis=-1))
        return tf.add_n([term[:, row : row + inputs.shape[1]] for row, term in each])


def _each(filters: Sequence[int], **settings: Any) -> list[dict[str, Any]]:
    """The settings of each convolution, from values for all convolutions or lists with a value for each."""
    for name, value in settings.items():
        if isinstance(value, Sequence) and not isinstance(value, str) and len(value) != len(filters):
            convolutions = f"the {len(filters)} convolutions of filters={list(filters)}"
            raise SettingError(name, list(value), f"must be one value, or one for each of {convolutions}.")
    lists = {
        name: [value] * len(filters) if isinstance(value, str | int) else list(value)
        for name, value in settings.items()
    }
    return [{name: values[i] for name, values in lists.items()} for i in range(len(filters))]


def _sizes(image: Sequence[int], each: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """The height and width of an image, before the first convolution and after each."""
    sizes = [(image[0], image[1])]
    for one in each:
        margin = 0 if one["padding"] == "same" else one["kernel_size"] - 1
        height, width = (-(-(side - margin) // one["strides"]) for side in sizes[-1])
        if min(height, width) < 1:
            left = f"the {sizes[-1][0]}×{sizes[-1][1]} pixels that are left of an image of {image[0]}×{image[1]}"
            raise SettingError("kernel_size", one["kernel_size"], f"exceeds {left}, and padding=valid adds none.")
        sizes.append((height, width))
    return sizes


def _transposed(
    filters: int, activation: str, one: dict[str, Any], before: tuple[int, int], after: tuple[int, int]
) -> list[Any]:
    """A transposed convolution from one size to another; with padding `same`, its output is cropped to the size."""
    if one["padding"] == "same":
        convolution = layers.Conv2DTranspose(filters, activation=activation, **one)
        surplus = [(0, one["strides"] * b - a) for b, a in zip(before, after, strict=True)]
        return [convolution] if surplus == [(0, 0), (0, 0)] else [convolution, layers.Cropping2D(surplus)]
    missing = tuple(a - (b - 1) * one["strides"] - one["kernel_size"] for b, a in zip(before, after, strict=True))
    return [layers.Conv2DTranspose(filters, activation=activation, output_padding=missing, **one)]


def _reshaped(image: Sequence[int], shape: Sequence[int]) -> list[Any]:
    """A layer that adds or removes the channel axis of an image without one; no layer for other images."""
    return [layers.Reshape(tuple(shape))] if len(image) == 2 else []


def _require_image(shape: Sequence[int], kind: str) -> None:
    if len(shape) not in (2, 3):
        raise ConfigError(
            f"conv_{kind} needs data of shape (height, width, channels), these are of shape {tuple(shape)}; give "
            f"images an axis of channels, or use mlp_{kind}."
        )
