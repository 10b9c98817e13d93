"""A prior given by any log density."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi.errors import ConfigError
from vi.priors.base import Prior


class Density(Prior):
    """Any density p(z) = p̃(z) / Z; the normalizer Z need not be known.

    An ELBO with this prior includes log Z: with `likelihood=none` the bound is log Z − KL(q ‖ p).

    Args:
        latent_dim: L.
        log_density: log p̃ in nats, a function z `[..., L]` → `[...]` of TensorFlow operations.
    """

    def __init__(self, latent_dim: int, log_density: Callable[[tf.Tensor], tf.Tensor]):
        super().__init__(latent_dim)
        self.log_density = log_density

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """log p̃(z) in nats, `[B, S]` for z `[B, S, L]`."""
        z = tf.convert_to_tensor(z)
        value = self.log_density(z)
        if not tf.is_tensor(value) or value.shape != z.shape[:-1]:
            found = f"shape {tuple(value.shape)}" if tf.is_tensor(value) else f"a {type(value).__name__}"
            raise ConfigError(
                f"the log density gives {found} for z of shape {tuple(z.shape)}, but must give a number for each z."
            )
        return value

    @property
    def distribution(self) -> tfd.Distribution:
        """Raises ConfigError, because only the log density is known."""
        raise ConfigError(
            "the prior Density is known only by its log density, so its KL has no closed form and it cannot be "
            "sampled; use estimator=monte_carlo_kl."
        )
