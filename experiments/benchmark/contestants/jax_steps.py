"""Training steps by hand in JAX and optax: the steps of a round in one `lax.scan`, with donated buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

ADAM = optax.adam(1e-3, eps=1e-7)


class Orders:
    """Random orders of the data, cut into batches, some batches at a time.

    Args:
        size: the number of data.
        steps: the number of batches of a call.
        batch: their size.
    """

    def __init__(self, size: int, steps: int, batch: int):
        self.shape = steps, batch
        self.order, self.position = jnp.zeros(0, int), 0
        self.permute = jax.jit(lambda key: jax.random.permutation(key, size))

    def next(self, key: jax.Array) -> jax.Array:
        """The next batches, `[steps, batch]`; a new order by the key if the last one is used up."""
        size = self.shape[0] * self.shape[1]
        if self.position + size > len(self.order):
            self.order, self.position = self.permute(key), 0
        self.position += size
        return self.order[self.position - size : self.position].reshape(self.shape)


class Training:
    """Training steps on MNIST, `updates` in one compiled call.

    Args:
        options: the worker's options.
        weights: gives the initial weights by a key.
        bound: weights, batch and noise → the mean bound.
        noise: the shape of the noise of a datum.
        binarize: whether the images are binarized afresh at each step.
    """

    def __init__(
        self,
        options: dict[str, Any],
        weights: Callable[[jax.Array], Any],
        bound: Callable[[Any, jax.Array, jax.Array], jax.Array],
        noise: tuple[int, ...],
        binarize: bool,
    ):
        self.batch, self.updates = options["batch"], options["updates"]
        self.data = jnp.asarray(np.load(f"{options['arrays']}/x_train.npy"))
        self.key, key = jax.random.split(jax.random.key(0))
        initial = weights(key)
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(initial))
        self.state = initial, ADAM.init(initial)
        self.orders = Orders(len(self.data), self.updates, self.batch)

        def run(state: Any, data: jax.Array, index: jax.Array, key: jax.Array) -> Any:
            def step(state: Any, given: tuple[jax.Array, jax.Array]) -> Any:
                weights, memory = state
                rows, key = given
                of_noise, of_pixels = jax.random.split(key)
                x = data[rows].astype(jnp.float32) / 255
                if binarize:
                    x = (jax.random.uniform(of_pixels, x.shape) < x).astype(jnp.float32)
                eps = jax.random.normal(of_noise, (self.batch, *noise))
                loss, gradient = jax.value_and_grad(lambda w: -bound(w, x, eps))(weights)
                changes, memory = ADAM.update(gradient, memory, weights)
                return (optax.apply_updates(weights, changes), memory), -loss

            state, bounds = jax.lax.scan(step, state, (index, jax.random.split(key, self.updates)))
            return state, bounds.mean()

        self.run = jax.jit(run, donate_argnums=0)

    def facts(self) -> dict[str, Any]:
        """What this contestant does."""
        versions = {"jax": jax.__version__, "optax": optax.__version__}
        return {"parameters": self.parameters, "batch": self.batch, "updates": self.updates, "versions": versions}

    def round(self) -> dict[str, float]:
        """One call; gives the mean bound over its steps."""
        self.key, of_order, of_steps = jax.random.split(self.key, 3)
        self.state, bound = self.run(self.state, self.data, self.orders.next(of_order), of_steps)
        return {"bound": float(bound)}
