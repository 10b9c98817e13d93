"""Further families for the linear-Gaussian model: a flow of TFP bijectors, and a q that shares a variable with p."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from vi.testing.linear_gaussian import GivenGaussian, GivenPrior, log_standard_normal

COUPLING = (0.3, -0.2)
"""The weights of the coupling layer: the slopes of the shift and of the log scale."""


class Own:
    """A variable of a family, not tracked by Keras, so that a variable of another shape can replace it."""

    def __init__(self, value: object):
        self.variable = keras.Variable(value, dtype=keras.config.floatx())


class Flow(GivenGaussian):
    """The Gaussian, then a coupling layer with its own weights: z₁ = y₁, and the other z are y eˢ + t.

    s and t are linear in y₁. The layer is a bijector of TensorFlow Probability, which caches each z with its noise.
    """

    def __init__(self, latent_dim: int):
        super().__init__(latent_dim)
        self.own = Own(COUPLING)
        self.coupling = tfb.RealNVP(num_masked=1, shift_and_log_scale_fn=self.shift_and_log_scale)

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The weights of the coupling layer."""
        return [self.own.variable]

    def shift_and_log_scale(self, first: tf.Tensor, units: int, **options: object) -> tuple[tf.Tensor, tf.Tensor]:
        """t and s given y₁ `[..., 1]`, `[..., units]` each."""
        weights = tf.convert_to_tensor(self.own.variable)
        ones = tf.ones([units], first.dtype)
        return weights[0] * first * ones, weights[1] * first * ones

    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """The Gaussian under the coupling layer."""
        return tfd.TransformedDistribution(super().distribution(**parameters), self.coupling)

    def push(self, q: tfd.Distribution, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """z and its log density by the bijector."""
        y, log_density = super().push(q.distribution, eps)
        z = q.bijector.forward(y)
        return z, log_density - q.bijector.forward_log_det_jacobian(y, event_ndims=1)

    def marginals(self, q: tfd.Distribution) -> None:
        """None, since the latents depend on one another."""


class WrittenFlow(Flow):
    """The same flow with its formulas written out, so that nothing is cached."""

    def push(self, q: tfd.Distribution, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """z and its log density by the formulas."""
        y, log_density = GivenGaussian.push(self, q.distribution, eps)
        first, others = y[..., :1], y[..., 1:]
        shift, log_scale = self.shift_and_log_scale(first, others.shape[-1])
        z = tf.concat([first, others * tf.exp(log_scale) + shift], axis=-1)
        return z, log_density - tf.reduce_sum(log_scale, axis=-1)

    def log_prob(self, q: tfd.Distribution, z: tf.Tensor, eps: tf.Tensor | None = None) -> tf.Tensor:
        """log q(z|x) by the formulas."""
        first, others = z[..., :1], z[..., 1:]
        shift, log_scale = self.shift_and_log_scale(first, others.shape[-1])
        y = tf.concat([first, (others - shift) * tf.exp(-log_scale)], axis=-1)
        normal = q.distribution.distribution
        log_density = log_standard_normal((y - normal.loc) / normal.scale)
        return log_density - tf.reduce_sum(tf.math.log(normal.scale), axis=-1) - tf.reduce_sum(log_scale, axis=-1)


class MovedPrior(GivenPrior):
    """The prior, moved by a variable."""

    def __init__(self, loc: tf.Tensor, log_sd: tf.Tensor, own: Own):
        super().__init__(loc, log_sd)
        self.own = own

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The variable."""
        return [self.own.variable]

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """log N(z; m + a, diag s²), `[B, S]`."""
        return super().log_prob(z - tf.convert_to_tensor(self.own.variable)[:, None])

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """m + a + s · noise."""
        return super().sample(noise) + tf.convert_to_tensor(self.own.variable)[:, None]

    def marginals(self) -> tfd.Distribution:
        """The L Gaussians, of batch shape `[B, 1, L]`."""
        return tfd.Normal(self.loc + tf.convert_to_tensor(self.own.variable)[:, None], tf.exp(self.log_sd))


class SharingGaussian(GivenGaussian):
    """The Gaussian moved by a variable a. The same variable moves the prior."""

    def __init__(self, latent_dim: int):
        super().__init__(latent_dim)
        self.own = Own(np.zeros([1, latent_dim]))

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The variable."""
        return [self.own.variable]

    def parameters(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """μ + a and σ, `[B, 1, L]` each."""
        parameters = super().parameters(features)
        return parameters | {"loc": parameters["loc"] + tf.convert_to_tensor(self.own.variable)[:, None]}

    def prior(self, loc: tf.Tensor, log_sd: tf.Tensor) -> GivenPrior:
        """The prior with the same variable."""
        return MovedPrior(loc, log_sd, self.own)
