"""W1 and W2 by hand in JAX and optax: the steps of a round in one `lax.scan`, with donated buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

Weights = list[tuple[jax.Array, jax.Array]]
ADAM = optax.adam(1e-3, eps=1e-7)


def dense_layers(key: jax.Array, sizes: list[tuple[int, int]]) -> Weights:
    """Glorot's uniform weights and zero biases, as Keras has them."""
    keys = jax.random.split(key, len(sizes))
    return [(jax.nn.initializers.glorot_uniform()(k, s), jnp.zeros(s[1])) for k, s in zip(keys, sizes, strict=True)]


class Training:
    """Training steps on MNIST, `updates` in one compiled call.

    Args:
        options: the worker's options.
        sizes: of the dense layers.
        bound: weights, batch and noise → the mean bound.
        noise: the shape of the noise of a datum.
        binarize: whether the images are binarized afresh at each step.
    """

    def __init__(
        self,
        options: dict[str, Any],
        sizes: list[tuple[int, int]],
        bound: Callable[[Weights, jax.Array, jax.Array], jax.Array],
        noise: tuple[int, ...],
        binarize: bool,
    ):
        self.batch, self.updates = options["batch"], options["updates"]
        self.data = jnp.asarray(np.load(f"{options['arrays']}/x_train.npy"))
        self.key, key = jax.random.split(jax.random.key(0))
        weights = dense_layers(key, sizes)
        self.parameters = sum(w.size + b.size for w, b in weights)
        self.state = weights, ADAM.init(weights)
        self.order, self.position = jnp.zeros(0, int), 0

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
        self.permute = jax.jit(lambda key: jax.random.permutation(key, len(self.data)))

    def facts(self) -> dict[str, Any]:
        """What this contestant does."""
        versions = {"jax": jax.__version__, "optax": optax.__version__}
        return {"parameters": self.parameters, "batch": self.batch, "updates": self.updates, "versions": versions}

    def round(self) -> dict[str, float]:
        """One call; gives the mean bound over its steps."""
        self.key, of_order, of_steps = jax.random.split(self.key, 3)
        size = self.batch * self.updates
        if self.position + size > len(self.order):
            self.order, self.position = self.permute(of_order), 0
        index = self.order[self.position : self.position + size].reshape(self.updates, self.batch)
        self.position += size
        self.state, bound = self.run(self.state, self.data, index, of_steps)
        return {"bound": float(bound)}


def log_bernoulli(x: jax.Array, logits: jax.Array) -> jax.Array:
    """The log density of the pixels; this softplus takes less time than jax.nn's, which minds infinities."""
    return jnp.sum(x * logits - jnp.maximum(logits, 0) - jnp.log1p(jnp.exp(-jnp.abs(logits))), -1)


def analytic_kl(options: dict[str, Any]) -> Training:
    """W1."""

    def bound(weights: Weights, x: jax.Array, eps: jax.Array) -> jax.Array:
        (w1, b1), (w2, b2), (w3, b3), (w4, b4) = weights
        mean, log_variance = jnp.split(jax.nn.relu(x @ w1 + b1) @ w2 + b2, 2, -1)
        z = mean + jnp.exp(0.5 * log_variance) * eps
        logits = jax.nn.relu(z @ w3 + b3) @ w4 + b4
        kl = 0.5 * jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance, -1)
        return jnp.mean(log_bernoulli(x, logits) - kl)

    return Training(options, [(784, 256), (256, 4), (2, 256), (256, 784)], bound, (2,), False)


def iwae(options: dict[str, Any]) -> Training:
    """W2: 50 samples."""

    def bound(weights: Weights, x: jax.Array, eps: jax.Array) -> jax.Array:
        (w1, b1), (w2, b2), (w3, b3), (w4, b4), (w5, b5), (w6, b6) = weights
        hidden = jnp.tanh(jnp.tanh(x @ w1 + b1) @ w2 + b2)
        mean, log_variance = jnp.split((hidden @ w3 + b3)[:, None], 2, -1)
        z = mean + jnp.exp(0.5 * log_variance) * eps
        logits = jnp.tanh(jnp.tanh(z @ w4 + b4) @ w5 + b5) @ w6 + b6
        log_ratio = 0.5 * jnp.sum(eps**2 + log_variance - z**2, -1)
        log_weights = log_bernoulli(x[:, None], logits) + log_ratio
        return jnp.mean(jax.nn.logsumexp(log_weights, 1) - jnp.log(50.0))

    sizes = [(784, 200), (200, 200), (200, 100), (50, 200), (200, 200), (200, 784)]
    return Training(options, sizes, bound, (50, 50), True)
