"""W1 and W2 by hand in JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmark.contestants.jax_steps import Training

Weights = list[tuple[jax.Array, jax.Array]]


def dense_layers(key: jax.Array, sizes: list[tuple[int, int]]) -> Weights:
    """Glorot's uniform weights and zero biases, as Keras has them."""
    keys = jax.random.split(key, len(sizes))
    return [(jax.nn.initializers.glorot_uniform()(k, s), jnp.zeros(s[1])) for k, s in zip(keys, sizes, strict=True)]


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

    sizes = [(784, 256), (256, 4), (2, 256), (256, 784)]
    return Training(options, lambda key: dense_layers(key, sizes), bound, (2,), False)


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
    return Training(options, lambda key: dense_layers(key, sizes), bound, (50, 50), True)
