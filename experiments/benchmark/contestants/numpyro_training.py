"""W1 and W2 in NumPyro, as in its example of a VAE: stax networks, SVI, the steps of a round in one `lax.fori_loop`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.example_libraries import stax
from numpyro.infer import SVI, RenyiELBO, TraceMeanField_ELBO
from numpyro.infer.elbo import ELBO

from experiments.benchmark.contestants.jax_steps import Orders


class Training:
    """Training steps on MNIST, `updates` in one compiled call.

    Args:
        options: the worker's options.
        latents: the number of latents.
        hidden: the widths of the hidden layers.
        activation: of the hidden layers, a layer of stax.
        elbo: the objective.
        binarize: whether the images are binarized afresh at each step.
    """

    def __init__(
        self,
        options: dict[str, Any],
        latents: int,
        hidden: list[int],
        activation: Any,
        elbo: ELBO,
        binarize: bool,
    ):
        self.batch, self.updates = options["batch"], options["updates"]
        batch, updates = self.batch, self.updates

        def layer(width: int) -> Any:
            return stax.Dense(width, W_init=jax.nn.initializers.glorot_uniform(), b_init=jax.nn.initializers.zeros)

        inner = [part for width in hidden for part in (layer(width), activation)]
        encoder, decoder = stax.serial(*inner, layer(2 * latents)), stax.serial(*inner, layer(784))

        def model(x: jax.Array) -> None:
            decode = numpyro.module("decoder", decoder, (batch, latents))
            with numpyro.plate("batch", batch):
                z = numpyro.sample("z", dist.Normal(0, 1).expand([latents]).to_event(1))
                logits = decode(z)
                if binarize:
                    numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)
                else:  # grey levels are outside of the support, which the density does not mind
                    density = dist.Bernoulli(logits=logits, validate_args=False).to_event(1)
                    numpyro.sample("x", density, obs=x)

        def guide(x: jax.Array) -> None:
            encode = numpyro.module("encoder", encoder, (batch, 784))
            mean, log_variance = jnp.split(encode(x), 2, -1)
            with numpyro.plate("batch", batch):
                numpyro.sample("z", dist.Normal(mean, jnp.exp(0.5 * log_variance)).to_event(1))

        self.data = jnp.asarray(np.load(f"{options['arrays']}/x_train.npy"))
        # The objective is a sum over the batch, so Adam's ε is that of the mean times the batch size.
        self.svi = SVI(model, guide, numpyro.optim.Adam(1e-3, eps=1e-7 * batch), elbo)
        self.key, key = jax.random.split(jax.random.key(0))
        self.state = self.svi.init(key, jnp.zeros([batch, 784]))
        self.orders = Orders(len(self.data), updates, batch)

        def run(state: Any, data: jax.Array, index: jax.Array, key: jax.Array) -> Any:
            def body(i: jax.Array, carried: Any) -> Any:
                state, total = carried
                x = data[index[i]].astype(jnp.float32) / 255
                if binarize:
                    x = (jax.random.uniform(jax.random.fold_in(key, i), x.shape) < x).astype(jnp.float32)
                state, loss = self.svi.update(state, x)
                return state, total - loss

            state, total = jax.lax.fori_loop(0, updates, body, (state, 0.0))
            return state, total / (updates * batch)

        self.run = jax.jit(run, donate_argnums=0)

    def facts(self) -> dict[str, Any]:
        """What this contestant does."""
        leaves = jax.tree.leaves(self.svi.get_params(self.state))
        versions = {"jax": jax.__version__, "numpyro": numpyro.__version__}
        parameters = sum(leaf.size for leaf in leaves)
        return {"parameters": parameters, "batch": self.batch, "updates": self.updates, "versions": versions}

    def round(self) -> dict[str, float]:
        """One call; gives the mean bound over its steps."""
        self.key, of_order, of_steps = jax.random.split(self.key, 3)
        self.state, bound = self.run(self.state, self.data, self.orders.next(of_order), of_steps)
        return {"bound": float(bound)}


def analytic_kl(options: dict[str, Any]) -> Training:
    """W1."""
    return Training(options, 2, [256], stax.Relu, TraceMeanField_ELBO(), binarize=False)


def iwae(options: dict[str, Any]) -> Training:
    """W2: 50 samples."""
    return Training(options, 50, [200, 200], stax.Tanh, RenyiELBO(alpha=0, num_particles=50), binarize=True)
