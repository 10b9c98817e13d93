"""W3 with JAX by hand: the steps of a round are one `lax.scan`, compiled once; the weights' buffers are donated."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from experiments.benchmark.contestants.jax_convolution import conv

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


def _bound(weights: Weights, key: jax.Array, grey: jax.Array) -> jax.Array:
    """The mean over a batch of grey images `[B, 28, 28, 1]` of log p(x|z) + log p(z) − log q(z|x)."""
    of_data, of_latents = jax.random.split(key)
    x = (jax.random.uniform(of_data, grey.shape) < grey / 255.0).astype(jnp.float32)
    h = x - 0.5
    for (kernel, bias), (_, _, stride, padding) in zip(weights["down"], DOWN, strict=True):
        h = jax.nn.leaky_relu(conv(h, kernel, stride, 1, padding) + bias, 0.2)
    kernel, bias = weights["head"][0]
    parameters = h.reshape(len(h), -1) @ kernel + bias
    loc, entries = parameters[:, :LATENTS], parameters[:, LATENTS:]
    factor = jnp.zeros([len(x), LATENTS, LATENTS]).at[:, *np.tril_indices(LATENTS)].set(entries)
    diagonal = jax.nn.softplus(jnp.diagonal(factor, axis1=1, axis2=2)) + 1e-5
    factor = jnp.where(np.eye(LATENTS, dtype=bool), diagonal[:, None], factor)
    eps = jax.random.normal(of_latents, loc.shape)
    z = loc + jnp.einsum("bij,bj->bi", factor, eps)
    log_ratio = 0.5 * jnp.sum(eps**2 - z**2, axis=1) + jnp.sum(jnp.log(diagonal), axis=1)
    h = z[:, None, None]
    for (kernel, bias), (_, _, stride, padding) in zip(weights["up"], UP, strict=True):
        h = jax.nn.leaky_relu(conv(h, kernel, 1, stride, padding) + bias, 0.2)
    kernel, bias = weights["output"][0]
    logits = conv(h, kernel, 1, 1, (2, 2)) + bias
    log_likelihood = jnp.sum(x * logits - jax.nn.softplus(logits), axis=(1, 2, 3))
    return jnp.mean(log_likelihood + log_ratio)


class Steps:
    """Rounds of train steps. The images stay on the device; each pass has a new order."""

    def __init__(self, options: dict[str, Any]):
        x = np.load(Path(options["arrays"]) / "x_train.npy").reshape(-1, 28, 28, 1)
        self.x, self.batch, self.updates = jnp.asarray(x), options["batch"], options["updates"]
        optimizer, per_pass = optax.adam(1e-3), len(x) // self.batch
        self.weights = _weights(jax.random.key(0))
        self.state, self.step = optimizer.init(self.weights), 0
        batch, updates = self.batch, self.updates

        @functools.partial(jax.jit, donate_argnums=(0, 1))
        def run(weights: Weights, state: Any, x: jax.Array, order: jax.Array, first: jax.Array) -> Any:
            def body(carried: Any, step: jax.Array) -> Any:
                weights, state = carried
                grey = x[lax.dynamic_slice(order, (step % per_pass * batch,), (batch,))]
                key = jax.random.fold_in(jax.random.key(2), step)
                bound, gradient = jax.value_and_grad(_bound)(weights, key, grey)
                change, state = optimizer.update(jax.tree.map(jnp.negative, gradient), state, weights)
                return (optax.apply_updates(weights, change), state), bound

            (weights, state), bounds = lax.scan(body, (weights, state), first + jnp.arange(updates))
            return weights, state, jnp.mean(bounds)

        self.order = jax.jit(lambda epoch: jax.random.permutation(jax.random.fold_in(jax.random.key(1), epoch), len(x)))
        self.run, self.per_pass = run, per_pass

    def facts(self) -> dict[str, Any]:
        """What this contestant computes."""
        parameters = sum(leaf.size for leaf in jax.tree.leaves(self.weights))
        versions = {"jax": jax.__version__, "optax": optax.__version__}
        return {"parameters": parameters, "batch": self.batch, "updates": self.updates, "versions": versions}

    def round(self) -> dict[str, float]:
        """The mean bound of the round's steps, in nats per datum."""
        order = self.order(self.step // self.per_pass)
        self.weights, self.state, bound = self.run(self.weights, self.state, self.x, order, self.step)
        self.step += self.updates
        return {"bound": float(bound)}


def steps(options: dict[str, Any]) -> Steps:
    """The contestant."""
    return Steps(options)
