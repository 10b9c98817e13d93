"""W3 with JAX by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark.contestants.jax_convolution import conv
from experiments.benchmark.contestants.jax_steps import Training

LATENTS = 16
DOWN = [(5, 32, 1, (2, 2)), (5, 32, 2, (1, 2)), (5, 64, 1, (2, 2)), (5, 64, 2, (1, 2)), (7, 64, 1, (0, 0))]
UP = [
    *((7, 64, 1, (6, 6)), (5, 64, 1, (2, 2)), (5, 64, 2, (3, 2))),
    *((5, 32, 1, (2, 2)), (5, 32, 2, (3, 2)), (5, 32, 1, (2, 2))),
]
"""The size of the kernel, the channels, the stride and the padding of each convolution."""
Layer = tuple[jax.Array, jax.Array]
Weights = dict[str, list[Layer]]


def _layer(key: jax.Array, *shape: int) -> Layer:
    """A kernel with Glorot's uniform initial weights, as Keras has them, and a bias of zeros."""
    return jax.nn.initializers.glorot_uniform()(key, shape), jnp.zeros(shape[-1])


def _weights(key: jax.Array) -> Weights:
    keys = iter(jax.random.split(key, 20))
    down = [
        _layer(next(keys), size, size, inner, n)
        for (size, n, _, _), inner in zip(DOWN, (1, *(n for _, n, _, _ in DOWN[:-1])), strict=True)
    ]
    up = [
        _layer(next(keys), size, size, inner, n)
        for (size, n, _, _), inner in zip(UP, (16, 64, 64, 64, 32, 32), strict=True)
    ]
    head = _layer(next(keys), 64, LATENTS + LATENTS * (LATENTS + 1) // 2)
    return {"down": down, "head": [head], "up": up, "output": [_layer(next(keys), 5, 5, 32, 1)]}


def _bound(weights: Weights, x: jax.Array, eps: jax.Array) -> jax.Array:
    """The mean over a batch of images `[B, 784]` of log p(x|z) + log p(z) − log q(z|x)."""
    x = x.reshape(-1, 28, 28, 1)
    h = x - 0.5
    for (kernel, bias), (_, _, stride, padding) in zip(weights["down"], DOWN, strict=True):
        h = jax.nn.leaky_relu(conv(h, kernel, stride, 1, padding) + bias, 0.2)
    kernel, bias = weights["head"][0]
    parameters = h.reshape(len(h), -1) @ kernel + bias
    loc, entries = parameters[:, :LATENTS], parameters[:, LATENTS:]
    factor = jnp.zeros([len(x), LATENTS, LATENTS]).at[:, *np.tril_indices(LATENTS)].set(entries)
    diagonal = jax.nn.softplus(jnp.diagonal(factor, axis1=1, axis2=2)) + 1e-5
    factor = jnp.where(np.eye(LATENTS, dtype=bool), diagonal[:, None], factor)
    z = loc + jnp.einsum("bij,bj->bi", factor, eps)
    log_ratio = 0.5 * jnp.sum(eps**2 - z**2, axis=1) + jnp.sum(jnp.log(diagonal), axis=1)
    h = z[:, None, None]
    for (kernel, bias), (_, _, stride, padding) in zip(weights["up"], UP, strict=True):
        h = jax.nn.leaky_relu(conv(h, kernel, 1, stride, padding) + bias, 0.2)
    kernel, bias = weights["output"][0]
    logits = conv(h, kernel, 1, 1, (2, 2)) + bias
    log_likelihood = jnp.sum(x * logits - jax.nn.softplus(logits), axis=(1, 2, 3))
    return jnp.mean(log_likelihood + log_ratio)


def steps(options: dict[str, Any]) -> Training:
    """W3."""
    return Training(options, _weights, _bound, (LATENTS,), binarize=True)
