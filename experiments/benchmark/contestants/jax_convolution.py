"""A convolution for JAX whose gradient by the kernel is a sum of matrix products: XLA's own is slow on CPUs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax


def _plain(x: jax.Array, kernel: jax.Array, stride: int, dilation: int, pads: tuple[int, int]) -> jax.Array:
    """A convolution, or with a dilation a transposed one."""
    dilations, axes = (dilation, dilation), ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), [pads, pads], dilations, dimension_numbers=axes)


conv = jax.custom_vjp(_plain, nondiff_argnums=(2, 3, 4))
"""The same with a gradient of our own: XLA's gradient by the kernel is slow on CPUs."""


def _conv_backward(
    stride: int, dilation: int, pads: tuple[int, int], saved: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The gradient by x, and by the kernel: a matrix product for each of its positions."""
    x, kernel = saved
    _, by_x = jax.vjp(lambda x: _plain(x, kernel, stride, dilation, pads), x)
    padded = lax.pad(x, 0.0, [(0, 0, 0), (*pads, dilation - 1), (*pads, dilation - 1), (0, 0, 0)])
    flat, height, width = g.reshape(-1, g.shape[-1]), g.shape[1], g.shape[2]

    def product(i: int, j: int) -> jax.Array:
        part = padded[:, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride]
        return part.reshape(-1, part.shape[-1]).T @ flat

    rows = range(kernel.shape[0])
    return by_x(g)[0], jnp.stack([jnp.stack([product(i, j) for j in rows]) for i in rows])


conv.defvjp(lambda x, kernel, *fixed: (conv(x, kernel, *fixed), (x, kernel)), _conv_backward)
