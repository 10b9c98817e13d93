"""The contract of a prior p(z)."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from vi import random
from vi.particles import Batch
from vi.substitution import Pair, Substitution

if TYPE_CHECKING:
    from vi.posteriors import ConditionalPosterior


class PriorDensity(Protocol):
    """The interface of a prior for estimators and posteriors. Log densities are in nats."""

    @property
    def distribution(self) -> tfd.Distribution:
        """p(z) as a distribution of TensorFlow Probability, of event `[L]`."""

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """log p(z), `[B, S]` for z `[B, S, L]`."""

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """z ~ p(z) from noise, both `[..., L]`."""

    def marginals(self) -> tfd.Distribution | None:
        """The L independent univariate factors; None if it does not factorize."""


class Prior(keras.Layer, abc.ABC):
    """The distribution p(z) of the latents.

    A subclass writes `distribution`. It may replace `discrete`, `reads`, `reads_encoder`, `given`, `log_prob`, `noise`,
    `sample` and `marginals`, and nothing else.

    Args:
        latent_dim: L.

    Attributes:
        discrete: True if p(z) is a probability mass; the posterior must be one too.
        reads: the names of the arrays of `Batch.context` that `given` takes.
        reads_encoder: True if `given` calls the encoder.
    """

    discrete = False
    reads: tuple[str, ...] = ()
    reads_encoder = False

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim

    @property
    @abc.abstractmethod
    def distribution(self) -> tfd.Distribution:
        """p(z) as a distribution of TensorFlow Probability, of event `[L]`."""

    def given(
        self, context: Mapping[str, tf.Tensor], encode: Callable[[Batch | tf.Tensor], ConditionalPosterior]
    ) -> PriorDensity:
        """p(z) for the data of one batch: by default the same for all data.

        Args:
            context: the arrays of the batch, `[B, ...]` each, for p(z|context).
            encode: gives q(z|x) for any x, for a prior that uses the encoder.
        """
        return self

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """log p(z) in nats, `[B, S]` for z `[B, S, L]`."""
        return self.distribution.log_prob(tf.identity(z))

    def noise(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        """The base noise, `[*shape, L]`: standard normal by default."""
        return random.normal([*shape, self.latent_dim], seed, self.compute_dtype)

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """z ~ p(z) from noise, both `[..., L]`: by default through the distribution's bijector."""
        return self.distribution.bijector.forward(noise)

    def marginals(self) -> tfd.Distribution | None:
        """The L independent univariate factors of p(z), of batch `[L]`; None if it does not factorize.

        If several latent dimensions form one variable, such as a one-hot variable: the N variables, of batch `[N]`.
        """
        return None


@dataclasses.dataclass(frozen=True)
class SubstitutedPrior:
    """A prior that reads aliases in place of its variables that belong to φ."""

    prior: PriorDensity
    values: tuple[Pair, ...]

    @property
    def distribution(self) -> tfd.Distribution:
        """The prior's distribution, made with these values."""
        with Substitution(self.values):
            return self.prior.distribution

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """log p(z), `[B, S]` for z `[B, S, L]`."""
        with Substitution(self.values):
            return self.prior.log_prob(z)

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """z ~ p(z) from noise, both `[..., L]`."""
        with Substitution(self.values):
            return self.prior.sample(noise)

    def marginals(self) -> tfd.Distribution | None:
        """The prior's factors, made with these values."""
        with Substitution(self.values):
            return self.prior.marginals()
