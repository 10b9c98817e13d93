"""The linear-Gaussian model z ~ N(m, diag s²), x|z ~ N(Wz + b, σ² I), and q at a chosen distance from p(z|x)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi.likelihoods.gaussian import Gaussian
from vi.models.latent import LatentVariableModel
from vi.posteriors import Posterior
from vi.priors.base import Prior

DIM, LATENTS, SD = 6, 3, 0.7
"""D, L and σ."""


class Place(NamedTuple):
    """A choice of q(z|x): the true posterior, moved by `shift` of its standard deviations and widened by a factor."""

    name: str
    shift: float
    widening: float


OFF, NEAR, EXACT = (
    Place("off the true posterior", 0.8, 1.3),
    Place("near the true posterior", 0.3, 1.15),
    Place("at the true posterior", 0, 1),
)


class Affine:
    """The map Wᵀ· + b, with shared weights `[1, in, out]`, or with a copy of the weights for each datum `[B, in, out]`.

    Its input has n rows for each datum, `[B · n, in]`. With copies, one backward pass gives the gradient of each datum.
    """

    variables = trainable_variables = ()

    def __init__(self, kernel: tf.Tensor, bias: tf.Tensor):
        self.kernel, self.bias = kernel, bias

    def __call__(self, rows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The outputs of the rows, `[B · n, out]`; `training` has no effect."""
        inputs, outputs = self.kernel.shape[1:]
        by_datum = tf.reshape(rows, [self.kernel.shape[0], -1, inputs])
        return tf.reshape(by_datum @ self.kernel + self.bias[:, None], [-1, outputs])


class GivenGaussian(Posterior):
    """N(μ, diag σ²) with features μ and log σ. Its formulas are written out, which is faster without a compiler."""

    def parameters(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """The features unchanged, as μ and σ, `[B, 1, L]` each."""
        loc, log_sd = tf.split(features[:, None], 2, axis=-1)
        return {"loc": loc, "scale": tf.exp(log_sd)}

    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """L independent Gaussians."""
        return tfd.Independent(tfd.Normal(**parameters), 1)

    def push(self, q: tfd.Distribution, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """μ + σ ε, and its log density."""
        loc, sd = q.distribution.loc, q.distribution.scale
        return loc + sd * eps, log_standard_normal(eps) - tf.reduce_sum(tf.math.log(sd), axis=-1)

    def marginals(self, q: tfd.Distribution) -> tfd.Distribution | None:
        """The L Gaussians."""
        return q.distribution

    def prior(self, loc: tf.Tensor, log_sd: tf.Tensor) -> GivenPrior:
        """The prior of the model with this posterior, given m and log s."""
        return GivenPrior(loc, log_sd)


class PathlessGaussian(GivenGaussian):
    """The same Gaussian, but z passes no gradient to φ, like a discrete latent."""

    reparameterized = False

    def push(self, q: tfd.Distribution, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The same z, as a constant, and its log density."""
        z = tf.stop_gradient(super().push(q, eps)[0])
        return z, q.log_prob(z)


class GivenPrior(Prior):
    """N(m, diag s²) with m and log s, which belong to θ: `[1, L]`, or a copy for each datum, `[B, L]`."""

    def __init__(self, loc: tf.Tensor, log_sd: tf.Tensor):
        super().__init__(loc.shape[-1])
        self.loc, self.log_sd = loc[:, None], log_sd[:, None]

    @property
    def distribution(self) -> tfd.Distribution:
        """L independent Gaussians."""
        return tfd.Independent(self.marginals(), 1)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """log N(z; m, diag s²), `[B, S]`."""
        return log_standard_normal((z - self.loc) * tf.exp(-self.log_sd)) - tf.reduce_sum(self.log_sd, axis=-1)

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """m + s · noise."""
        return self.loc + tf.exp(self.log_sd) * noise

    def marginals(self) -> tfd.Distribution:
        """The L Gaussians, of batch shape `[B, 1, L]`."""
        return tfd.Normal(self.loc, tf.exp(self.log_sd))


def log_standard_normal(z: tf.Tensor) -> tf.Tensor:
    """log N(z; 0, I) over the last axis."""
    return -0.5 * (tf.reduce_sum(z**2, axis=-1) + z.shape[-1] * math.log(2 * math.pi))


@contextlib.contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Sets Keras's dtype in the block."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def weights_at(place: Place) -> dict[str, list[np.ndarray]]:
    """θ and φ by group, `[1, ...]` each. W has orthogonal columns, so the true posterior is a diagonal Gaussian.

    θ has the kernel and the bias of the decoder, and m and log s of the prior. The prior is deliberately not N(0, I),
    so a bound that assumes N(0, I) fails.
    """
    rng = np.random.default_rng(0)
    columns = np.linalg.qr(rng.standard_normal((DIM, LATENTS)))[0] * [0.5, 1.0, 1.5]  # W
    bias = 0.3 * rng.standard_normal(DIM)
    loc, log_sd = np.array([0.4, -0.3, 0.2]), np.log([1.3, 0.8, 1.1])  # m and log s
    sd = 1 / np.sqrt(np.exp(-2 * log_sd) + np.sum(columns**2, axis=0) / SD**2)  # sd of the true posterior
    gain = columns * sd**2 / SD**2  # the mean of the true posterior is gainᵀ (x − b) + sd² m / s²
    encoder = np.concatenate([gain, np.zeros_like(gain)], axis=1)
    mean = sd**2 * np.exp(-2 * log_sd) * loc - bias @ gain
    features = np.concatenate([mean + place.shift * sd, np.log(place.widening * sd)])
    generative = [columns.T[None], bias[None], loc[None], log_sd[None]]
    return {"generative": generative, "inference": [encoder[None], features[None]]}


def data(size: int) -> np.ndarray:
    """Data drawn from the model, `[size, D]`."""
    kernel, bias, loc, log_sd = weights_at(EXACT)["generative"]
    rng = np.random.default_rng(1)
    z = loc + np.exp(log_sd) * rng.standard_normal((size, LATENTS))
    return z @ kernel[0] + bias + SD * rng.standard_normal((size, DIM))


def log_marginal(x: np.ndarray) -> np.ndarray:
    """log p(x) of data `[B, D]`, `[B]`: p(x) is N(W m + b, W diag s² Wᵀ + σ² I)."""
    kernel, bias, loc, log_sd = weights_at(EXACT)["generative"]
    covariance = kernel[0].T * np.exp(2 * log_sd) @ kernel[0] + SD**2 * np.eye(DIM)
    residual = x - loc @ kernel[0] - bias
    square = np.sum(residual * np.linalg.solve(covariance, residual.T).T, axis=1)
    return -0.5 * (square + np.linalg.slogdet(2 * np.pi * covariance)[1])


def make_model(posterior: type[GivenGaussian]) -> LatentVariableModel:
    """The model in the current precision. Each `Trial` sets its weights."""
    theta, phi = ([tf.constant(w, keras.config.floatx()) for w in group] for group in weights_at(EXACT).values())
    family, decoder = posterior(LATENTS), Affine(*theta[:2])
    return LatentVariableModel(Affine(*phi), family, decoder, Gaussian((DIM,), sd=SD), family.prior(*theta[2:]))
