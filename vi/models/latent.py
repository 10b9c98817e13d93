"""A latent variable model p(x, z) = p(x|z) p(z) with its approximate posterior q(z|x)."""

from __future__ import annotations

import keras
import tensorflow as tf

from vi import random
from vi.errors import ConfigError
from vi.likelihoods.base import ConditionalLikelihood, Likelihood
from vi.particles import Draws, DreamNoise, Noise, Particles
from vi.posteriors import ConditionalPosterior, Posterior
from vi.priors.base import Prior


class LatentVariableModel:
    """Encoder, posterior, decoder, likelihood and prior as one model.

    Data x are `[B, *event]`, in the model's dtype and scaled as in training (`data.scale`).

    Args:
        encoder: maps x `[B, *event]` to features `[B, F]`.
        posterior: the family of q(z|x); with the encoder, it holds φ.
        decoder: maps z `[N, L]` to the likelihood's outputs `[N, *outputs]`.
        likelihood: the family of p(x|z); with decoder and prior, it holds θ.
        prior: p(z).
    """

    def __init__(
        self,
        encoder: keras.Model,
        posterior: Posterior,
        decoder: keras.Model,
        likelihood: Likelihood,
        prior: Prior,
    ):
        self.encoder, self.posterior = encoder, posterior
        self.decoder, self.likelihood, self.prior = decoder, likelihood, prior
        self._require_outputs()
        self._require_one_kind()
        x = tf.zeros([1, *likelihood.event_shape], posterior.compute_dtype)
        self.particles(x, self.noise(Draws(), tf.range(1), random.seed(0, "train"), 0))  # makes the variables

    def _require_outputs(self) -> None:
        """Raises ConfigError unless the decoder gives what the likelihood takes."""
        z = tf.zeros([1, self.prior.latent_dim], self.posterior.compute_dtype)
        found, needed = tuple(self.decoder(z).shape[1:]), tuple(self.likelihood.outputs(self.likelihood.event_shape))
        if self.likelihood.support != "none" and found != needed:
            raise ConfigError(
                f"the decoder gives outputs of shape {found} for each z, but the likelihood "
                f"{type(self.likelihood).__name__} needs {needed}."
            )

    def _require_one_kind(self) -> None:
        """Raises ConfigError where one of q(z|x) and p(z) is a density and the other a mass, or of other variables."""
        if self.posterior.discrete != self.prior.discrete:
            kinds = ["continuous", "discrete"]
            raise ConfigError(
                f"the posterior {type(self.posterior).__name__} is {kinds[self.posterior.discrete]}, but the prior "
                f"{type(self.prior).__name__} is {kinds[self.prior.discrete]}; give a prior of the same kind."
            )
        p = self.prior.marginals() if self.prior.discrete else None
        q = self.encode(tf.zeros([1, *self.likelihood.event_shape], self.posterior.compute_dtype))
        if p is not None and (variables := self.posterior.marginals(q.distribution)) is not None:
            found, needed = ((type(each), *each.batch_shape[-1:], *each.event_shape) for each in (p, variables))
            if found != needed:
                raise ConfigError(
                    f"the prior {type(self.prior).__name__} is of other variables than the posterior "
                    f"{type(self.posterior).__name__}; both must be bits, or one-hot variables of as many categories."
                )

    def noise(self, draws: Draws, index: tf.Tensor, seed: tf.Tensor, step: int | tf.Tensor) -> Noise:
        """All the noise of one step.

        Args:
            draws: how many of each kind for each datum.
            index: which data the batch holds, `[B]`.
            seed: the seed `[2]` of a stream (`vi.random.seed`).
            step: the number of the step.
        """
        batch = index.shape[0]

        def draw(family, stream: str, count: int) -> tf.Tensor | None:
            return family.noise([batch, count], random.fold(random.fold(seed, stream), step)) if count else None

        dream = DreamNoise(
            draw(self.prior, "dream_prior", draws.dream),
            draw(self.likelihood, "dream_likelihood", draws.dream),
        )
        return Noise(
            posterior=draw(self.posterior, "posterior", draws.posterior),
            divergence=draw(self.posterior, "divergence", draws.divergence),
            prior=draw(self.prior, "prior", draws.prior),
            dream=dream if draws.dream else None,
        )

    def particles(
        self, x: tf.Tensor, noise: Noise, kl_weight: float | tf.Tensor = 1.0, step: tf.Tensor | None = None
    ) -> Particles:
        """Samples of q(z|x) with their log densities, for x `[B, *event]`; deterministic in the noise.

        `step` is the number of the training step, None outside training: relaxed posteriors have hard samples then.
        """
        posterior = self.encode(x, step)
        prior = posterior.against(self.prior)
        z, log_posterior = posterior.sample(noise.posterior)  # [B, S, L], [B, S]
        x = x[:, None]  # [B, 1, *event]
        return Particles(
            x=x,
            noise=noise,
            posterior=posterior,
            prior=prior,
            z=z,
            log_likelihood=self.decode(posterior.code(z)).log_prob(x),
            log_prior=prior.log_prob(z),
            log_posterior=log_posterior,
            kl_weight=kl_weight,
            dream=None if noise.dream is None else self._dream(noise.dream),
        )

    def _dream(self, noise: DreamNoise) -> Particles:
        """Data drawn from the model, with the z that made them."""
        z = tf.stop_gradient(self.prior.sample(noise.prior))  # [B, D, L]
        likelihood = self.decode(z)
        x = tf.stop_gradient(likelihood.sample(noise.likelihood))  # [B, D, *event]
        posterior = self.encode(tf.reshape(x, [-1, *x.shape[2:]]))
        log_posterior = posterior.log_prob(tf.reshape(z, [-1, 1, *z.shape[2:]]))  # [B·D, 1]
        return Particles(
            x=x,
            noise=Noise(posterior=noise.prior),
            posterior=posterior,
            prior=self.prior,
            z=z,
            log_likelihood=likelihood.log_prob(x),
            log_prior=self.prior.log_prob(z),
            log_posterior=tf.reshape(log_posterior, [-1, z.shape[1]]),
        )

    @property
    def generative_variables(self) -> list[keras.Variable]:
        """θ: the trainable variables of decoder, likelihood and prior."""
        return [v for part in (self.decoder, self.likelihood, self.prior) for v in part.trainable_variables]

    @property
    def inference_variables(self) -> list[keras.Variable]:
        """φ: the trainable variables of encoder and posterior."""
        return [v for part in (self.encoder, self.posterior) for v in part.trainable_variables]

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables, trained or not, in a fixed order."""
        parts = (self.encoder, self.posterior, self.decoder, self.likelihood, self.prior)
        return [v for part in parts for v in part.variables]

    def encode(self, x: tf.Tensor, step: tf.Tensor | None = None) -> ConditionalPosterior:
        """q(z|x) for x `[B, *event]`: `encode(x).mean()` is `[B, L]`; at a step of training, or outside it."""
        return self.posterior(self.encoder(x), step)

    def decode(self, z: tf.Tensor) -> ConditionalLikelihood:
        """p(x|z) for z `[..., L]`: `decode(z).mean()` is `[..., *event]`."""
        output = self.decoder(tf.reshape(z, [-1, z.shape[-1]]))
        return self.likelihood(tf.reshape(output, [*tf.unstack(tf.shape(z)[:-1]), *output.shape[1:]]))

    def generate(self, n: int = 1, seed: int = 0, eps: tf.Tensor | None = None) -> tf.Tensor:
        """E[x|z] for n draws of z ~ p(z), `[n, *event]`; the prior's noise is `eps` `[n, L]` where that is given."""
        eps = self.prior.noise([n], random.seed(seed, "people")) if eps is None else eps
        return self.decode(self.prior.sample(eps)).mean()

    def reconstruct(self, x: tf.Tensor, seed: int = 0, eps: tf.Tensor | None = None) -> tf.Tensor:
        """E[x|z] for one draw of z ~ q(z|x) for each x, `[B, *event]`.

        With noise of one's own, `eps` `[B, S, L]`, for S draws: `[B, S, *event]`.
        """
        if eps is None:
            return self.reconstruct(x, eps=self.posterior.noise([x.shape[0], 1], random.seed(seed, "people")))[:, 0]
        z, _ = self.encode(x).sample(eps)
        return self.decode(z).mean()
