"""Posteriors of real latents: location-scale families, full-covariance Gaussians, and point masses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from vi import random
from vi.kinds import Activation, Positive
from vi.posteriors.base import Posterior


class MeanField(Posterior):
    """Base of the families z = μ(x) + σ(x) ε with independent dimensions; μ and a log scale are linear heads.

    Args:
        latent_dim: L.
        scale: the output of the second head: "log_variance" (log σ²) or "log_sd" (log σ).
    """

    def __init__(self, latent_dim: int, scale: Literal["log_variance", "log_sd"] = "log_variance"):
        super().__init__(latent_dim)
        self.factor = {"log_variance": 0.5, "log_sd": 1.0}[scale]
        self.loc_head = keras.layers.Dense(latent_dim)
        self.scale_head = keras.layers.Dense(latent_dim)

    def parameters(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """μ and σ, `[B, 1, L]` each."""
        loc, raw = side_by_side((self.loc_head, self.scale_head), features)
        return {"loc": loc[:, None], "scale_diag": tf.exp(self.factor * raw)[:, None]}


class DiagonalGaussian(MeanField):
    """q(z|x) = N(μ(x), diag σ²(x)) (Kingma & Welling, 2014, eq. 9)."""

    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """A Gaussian of diagonal covariance."""
        return tfd.MultivariateNormalDiag(**parameters)

    def marginals(self, q: tfd.Distribution) -> tfd.Distribution:
        """L univariate Gaussians."""
        return tfd.Normal(q.loc, q.scale.diag_part())


class LocationScale(MeanField):
    """z = μ(x) + σ(x) ε, where the family and the scale of ε are chosen.

    Args:
        latent_dim: L.
        scale: the output of the second head: "log_variance" (log σ²) or "log_sd" (log σ).
        base: the family of ε: "normal", "laplace", "logistic" or "gumbel", of location 0.
        base_scale: the scale parameter of ε.
    """

    BASES: ClassVar = {
        "normal": tfd.Normal,
        "laplace": tfd.Laplace,
        "logistic": tfd.Logistic,
        "gumbel": tfd.Gumbel,
    }

    def __init__(
        self,
        latent_dim: int,
        scale: Literal["log_variance", "log_sd"] = "log_variance",
        base: Literal["normal", "laplace", "logistic", "gumbel"] = "laplace",
        base_scale: Annotated[float, Positive] = 1.0,
    ):
        super().__init__(latent_dim, scale)
        self.base, self.base_scale = self.BASES[base], float(base_scale)

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """ε, `[*shape, L]`: quantiles of the base at uniform numbers."""
        uniform = random.uniform([*shape, self.latent_dim], seed, self.compute_dtype)
        return self._univariate(tf.zeros([], uniform.dtype), tf.ones([], uniform.dtype)).quantile(uniform)

    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """L independent members of the base's family, moved and scaled."""
        return tfd.Independent(self._univariate(parameters["loc"], parameters["scale_diag"]), 1)

    def push(self, q: tfd.Distribution, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """μ + σ ε."""
        loc, scale = q.distribution.loc, q.distribution.scale / self.base_scale
        base = tfd.Independent(self._univariate(tf.zeros_like(loc), tf.ones_like(scale)), 1)
        return loc + scale * eps, base.log_prob(eps) - tf.reduce_sum(tf.math.log(scale), axis=-1)

    def marginals(self, q: tfd.Distribution) -> tfd.Distribution:
        """The L independent members."""
        return q.distribution

    def _univariate(self, loc: tf.Tensor, scale: tf.Tensor) -> tfd.Distribution:
        return self.base(loc, scale * self.base_scale)


class Deterministic(Posterior):
    """A point mass at f(x), for autoencoders. It has no density.

    Args:
        latent_dim: L.
        activation: the activation of the head that gives f(x), any Keras activation.
    """

    def __init__(self, latent_dim: int, activation: Activation = "linear"):
        super().__init__(latent_dim)
        self.head = keras.layers.Dense(latent_dim, activation=activation)

    def parameters(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """f(x), `[B, 1, L]`."""
        return {"loc": self.head(features)[:, None]}

    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """The point mass at f(x)."""
        return tfd.VectorDeterministic(**parameters)

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """Empty noise, `[*shape, 0]`: a point mass needs none."""
        return tf.zeros([*shape, 0], self.compute_dtype)

    def push(self, q: tfd.Distribution, eps: tf.Tensor) -> tuple[tf.Tensor, None]:
        """f(x) for every sample."""
        return tf.repeat(q.loc, eps.shape[1], axis=1), None


class FullCovarianceGaussian(Posterior):
    """q(z|x) = N(μ(x), L(x) L(x)ᵀ), L lower triangular with a softplus diagonal.

    The heads give μ and the L (L + 1) / 2 entries of the factor, as in the TensorFlow Probability team's "Variational
    autoencoders with TFP layers" (2019). That text also adds 1e-5 to the diagonal.
    """

    def __init__(self, latent_dim: int):
        super().__init__(latent_dim)
        self.loc_head = keras.layers.Dense(latent_dim)
        self.scale_head = keras.layers.Dense(latent_dim * (latent_dim + 1) // 2)
        self.to_triangle = tfb.FillScaleTriL(diag_shift=None)

    def parameters(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """The mean `[B, 1, L]` and the triangular factor of the covariance `[B, 1, L, L]`."""
        loc, scale_tril = self.loc_head(features), self.to_triangle.forward(self.scale_head(features))
        return {"loc": loc[:, None], "scale_tril": scale_tril[:, None]}

    def distribution(self, **parameters: tf.Tensor) -> tfd.Distribution:
        """A Gaussian of full covariance."""
        return tfd.MultivariateNormalTriL(**parameters)


def side_by_side(heads: Sequence[keras.layers.Dense], features: tf.Tensor) -> list[tf.Tensor]:
    """The outputs of linear heads, `[B, ...]` each, by one matrix product: several narrow ones are slower."""
    if not all(head.built for head in heads):
        return [head(features) for head in heads]
    kernel = keras.ops.concatenate([head.kernel for head in heads], axis=1)
    bias = keras.ops.concatenate([head.bias for head in heads], axis=0)
    return tf.split(keras.ops.matmul(features, kernel) + bias, [head.units for head in heads], axis=1)
