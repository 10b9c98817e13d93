"""The contract of a model: the interface that training, evaluation and diagnostics use."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import keras
import tensorflow as tf

from vi.likelihoods import ConditionalLikelihood
from vi.particles import Batch, Draws, Noise, Particles
from vi.posteriors import ConditionalPosterior
from vi.priors import PriorDensity

# By default TensorFlow multiplies in TF32 on GPUs that have it: with 10 bits of mantissa, which are too few for bounds.
tf.config.experimental.enable_tensor_float_32_execution(False)


class Model(abc.ABC):
    """A joint density p(x, z) with an approximate posterior q(z|x). Log densities are in nats.

    A method that takes a batch also takes bare data x `[B, *event]`. Calling a model changes no variable.
    """

    @abc.abstractmethod
    def noise(self, draws: Draws, index: tf.Tensor, seed: tf.Tensor, step: int | tf.Tensor) -> Noise:
        """All the noise of one step, as a function of the seed and the step alone.

        Args:
            draws: how many draws of each kind for each datum.
            index: the positions of the batch's data, `[B]`.
            seed: the seed `[2]` of a stream (`vi.random.seed`).
            step: the number of the step.
        """

    @abc.abstractmethod
    def particles(
        self,
        batch: Batch | tf.Tensor,
        noise: Noise,
        kl_weight: float | tf.Tensor = 1.0,
        step: tf.Tensor | None = None,
    ) -> Particles:
        """Samples of q(z|x) with their log densities: deterministic in the noise.

        Args:
            batch: the data.
            noise: the noise of the step.
            kl_weight: β, a scalar or `[B]`.
            step: the number of the training step. None outside training: networks then run in inference mode, and
                relaxed posteriors have hard samples.
        """

    @abc.abstractmethod
    def log_joint(self, batch: Batch | tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """log p(x, z), `[B, S]`, in nats at any z `[B, S, L]`, outside training."""

    @abc.abstractmethod
    def encode(self, batch: Batch | tf.Tensor, step: tf.Tensor | None = None) -> ConditionalPosterior:
        """q(z|x): `encode(x).mean()` is `[B, L]`. `step` is as in `particles`."""

    @abc.abstractmethod
    def decode(self, z: tf.Tensor, batch: Batch | None = None, step: tf.Tensor | None = None) -> ConditionalLikelihood:
        """p(x|z) for z `[..., L]`: `decode(z).mean()` is `[..., *event]`.

        Args:
            z: the latents.
            batch: holds the context that decoder and likelihood read; z is then `[B, S, L]`.
            step: as in `particles`.
        """

    @abc.abstractmethod
    def marginal(self, batch: Batch | tf.Tensor) -> PriorDensity:
        """p(z), or p(z|context) of a batch, outside training."""

    @property
    @abc.abstractmethod
    def latent_dim(self) -> int:
        """L."""

    @property
    @abc.abstractmethod
    def generative_variables(self) -> Sequence[keras.Variable]:
        """θ: the trainable variables of p."""

    @property
    @abc.abstractmethod
    def inference_variables(self) -> Sequence[keras.Variable]:
        """φ: the trainable variables of q. A variable that p and q share belongs to φ."""

    @property
    @abc.abstractmethod
    def variables(self) -> Sequence[keras.Variable]:
        """All variables, trained or not, in a fixed order."""
