"""A latent variable model p(x, z) = p(x|z) p(z) with one latent vector for each datum."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import keras
import tensorflow as tf

from vi import random
from vi.errors import ConfigError
from vi.likelihoods import ConditionalLikelihood, Likelihood, Standardization
from vi.models.base import Model
from vi.models.context import call, once, read, spread
from vi.models.people import as_batch, describe, wants_numpy
from vi.particles import Batch, Draws, DreamNoise, Noise, Particles
from vi.posteriors import ConditionalPosterior, Posterior
from vi.priors import Prior, PriorDensity
from vi.priors.base import SubstitutedPrior
from vi.substitution import Pair, Substitution, alias

SEED = "seed_generator_state"
"""The name that Keras gives to the state of a random layer."""


class LatentVariableModel(Model):
    """Encoder, posterior, decoder, likelihood and prior as one model.

    Data x are `[B, *event]`, in the model's dtype and scaled as in training (`data.scale`). Networks run in training
    mode if a training step is given, else in inference mode.

    Args:
        encoder: maps x `[B, *event]` to features `[B, F]`.
        posterior: the family of q(z|x); with the encoder, it holds φ.
        decoder: maps z `[N, L]` to the likelihood's outputs `[N, *outputs]`.
        likelihood: the family of p(x|z); with decoder and prior, it holds θ.
        prior: p(z).
        context: the shape per datum of each context array that the parts read, by name. A network with an attribute
            `reads`, a tuple of names, takes a list: its input, then these arrays.
        standardization: if given, encoder and likelihood see standardized data. Data and densities of the model stay in
            the user's units. The likelihood must be of real data.
        columns: the names of a table's columns. A data frame is then read by its names.

    Raises:
        ConfigError: the parts do not fit together.
    """

    def __init__(
        self,
        encoder: keras.Layer,
        posterior: Posterior,
        decoder: keras.Layer,
        likelihood: Likelihood,
        prior: Prior,
        context: Mapping[str, Sequence[int]] | None = None,
        standardization: Standardization | None = None,
        columns: Sequence[str] | None = None,
    ):
        self.encoder, self.posterior = encoder, posterior
        self.decoder, self.likelihood, self.prior = decoder, likelihood, prior
        self.standardization, self.columns = standardization, columns
        dtype = posterior.compute_dtype
        arrays = {name: tf.zeros([1, *shape], dtype) for name, shape in (context or {}).items()}
        example = Batch(tf.zeros([1, *likelihood.event_shape], dtype), arrays, tf.range(1), 1)
        self._require_outputs(example)
        self._require_one_kind(example)
        q = self.encode(example)
        z, _ = q.sample(self.noise(Draws(), tf.range(1), random.seed(0, "train"), 0).posterior)
        log_likelihood = self.decode(q.code(z), example).log_prob(example.x[:, None])  # makes the missing variables
        if log_likelihood.shape != z.shape[:2]:
            raise ConfigError(
                f"the likelihood {type(likelihood).__name__}: log p(x|z) of one datum has shape "
                f"{tuple(log_likelihood.shape)}, but must have shape {tuple(z.shape[:2])}; wrap it in tfd.Independent, "
                f"so that its event has shape {likelihood.event_shape}."
            )
        q.against(self.marginal(example)).log_prob(z)

    def _require_outputs(self, example: Batch) -> None:
        """Raises ConfigError unless the decoder's output has the shape that the likelihood takes."""
        z = tf.zeros([1, self.latent_dim], self.posterior.compute_dtype)
        output = call(self.decoder, z, list(read(self.decoder, example).values()), training=False)
        found, needed = tuple(output.shape[1:]), tuple(self.likelihood.outputs(self.likelihood.event_shape))
        if self.likelihood.support != "none" and found != needed:
            raise ConfigError(
                f"the decoder gives outputs of shape {found} for each z, but the likelihood "
                f"{type(self.likelihood).__name__} needs {needed}."
            )

    def _require_one_kind(self, example: Batch) -> None:
        """Raises ConfigError unless q(z|x) and p(z) are both densities, or both masses of the same variables."""
        if self.posterior.discrete != self.prior.discrete:
            kinds = ["continuous", "discrete"]
            raise ConfigError(
                f"the posterior {type(self.posterior).__name__} is {kinds[self.posterior.discrete]}, but the prior "
                f"{type(self.prior).__name__} is {kinds[self.prior.discrete]}; give a prior of the same kind."
            )
        p = self.prior.marginals() if self.prior.discrete else None
        q = self.encode(example)
        if p is not None and (variables := self.posterior.marginals(q.distribution)) is not None:
            found, needed = ((type(each), *each.batch_shape[-1:], *each.event_shape) for each in (p, variables))
            if found != needed:
                raise ConfigError(
                    f"the prior {type(self.prior).__name__} has other variables than the posterior "
                    f"{type(self.posterior).__name__}; both must be bits, or one-hot variables with equally many "
                    "categories."
                )

    def noise(self, draws: Draws, index: tf.Tensor, seed: tf.Tensor, step: int | tf.Tensor) -> Noise:
        """All the noise of one step; see `Model`."""
        batch = index.shape[0]

        def draw(family: Posterior | Prior | Likelihood, stream: str, count: int) -> tf.Tensor | None:
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
            layers=random.fold(random.fold(seed, "layers"), step) if self._seeds else None,
        )

    def particles(
        self,
        batch: Batch | tf.Tensor,
        noise: Noise,
        kl_weight: float | tf.Tensor = 1.0,
        step: tf.Tensor | None = None,
    ) -> Particles:
        """Samples of q(z|x) with their log densities; see `Model`."""
        assert noise.posterior is not None  # noise of the model itself, not of its dreams
        batch = Batch.of(batch)
        aliases = tuple((v, alias(v.value)) for v in self.shared)
        with Substitution(self._seeded(noise.layers)) as scope:
            posterior = self.encode(batch, step)
            z, log_posterior = posterior.sample(noise.posterior)  # [B, S, L], [B, S]
            losses_of_q = list(scope.losses)
            prior = posterior.against(self._marginal(batch, step, aliases))
            x = batch.x[:, None]  # [B, 1, *event]
            with Substitution(aliases):
                log_likelihood = self.decode(posterior.code(z), batch, step).log_prob(x)
            log_prior = prior.log_prob(z)
            losses_of_p = scope.losses[len(losses_of_q) :]
        training = step is not None
        return Particles(
            x=x,
            batch=batch,
            noise=noise,
            posterior=posterior,
            prior=prior,
            z=z,
            log_likelihood=log_likelihood,
            log_prior=log_prior,
            log_posterior=log_posterior,
            kl_weight=kl_weight,
            dream=None if noise.dream is None else self._dream(noise.dream, noise.layers, batch, step),
            mass=posterior.masses(noise.posterior.shape[1]),
            aliases=aliases,
            updates=self._kept(scope.updates) if training else (),
            penalties=self._penalties(losses_of_q, losses_of_p) if training else {},
        )

    def _dream(self, noise: DreamNoise, layers: tf.Tensor | None, batch: Batch, step: tf.Tensor | None) -> Particles:
        """Data drawn from the model, with the z that made them. The posterior is never relaxed here."""
        training = step is not None
        layers = None if layers is None else random.fold(layers, "dream_prior")
        with Substitution(self._seeded(layers)):
            prior = self._marginal(batch, step, ())
            z = tf.stop_gradient(prior.sample(noise.prior))  # [B, D, L]
            likelihood = self.decode(z, batch, step)
            x = tf.stop_gradient(likelihood.sample(noise.likelihood))  # [B, D, *event]
            context = {name: spread(value, z.shape[:2]) for name, value in batch.context.items()}
            dreams = Batch(tf.reshape(x, [-1, *x.shape[2:]]), context)  # [B·D, *event]
            posterior = self.posterior(self._features(dreams, training), **read(self.posterior, dreams))
            log_posterior = posterior.log_prob(tf.reshape(z, [-1, 1, *z.shape[2:]]))  # [B·D, 1]
            return Particles(
                x=x,
                batch=dreams,
                noise=Noise(posterior=None),
                posterior=posterior,
                prior=prior,
                z=z,
                log_likelihood=likelihood.log_prob(x),
                log_prior=prior.log_prob(z),
                log_posterior=tf.reshape(log_posterior, [-1, z.shape[1]]),
            )

    def __repr__(self) -> str:
        """The parts of the model, with shapes and parameters."""
        return describe(self)

    @property
    def latent_dim(self) -> int:
        """L."""
        return self.prior.latent_dim

    @property
    def generative_variables(self) -> list[keras.Variable]:
        """θ: the trainable variables of decoder, likelihood and prior that q does not share."""
        of_q = {id(v) for v in self.inference_variables}
        parts = (self.decoder, self.likelihood, self.prior)
        return [v for v in once(v for part in parts for v in part.trainable_variables) if id(v) not in of_q]

    @property
    def inference_variables(self) -> list[keras.Variable]:
        """φ: the trainable variables of encoder and posterior."""
        return once(v for part in (self.encoder, self.posterior) for v in part.trainable_variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables, trained or not, in a fixed order."""
        parts = (self.encoder, self.posterior, self.decoder, self.likelihood, self.prior, self.standardization)
        return once(v for part in parts if part is not None for v in part.variables)

    @property
    def shared(self) -> list[keras.Variable]:
        """The variables of φ that p also reads, such as the encoder's variables if the prior uses the encoder."""
        if self.prior.reads_encoder:
            return self.inference_variables
        parts = (self.decoder, self.likelihood, self.prior)
        of_p = {id(v) for part in parts for v in part.trainable_variables}
        return [v for v in self.inference_variables if id(v) in of_p]

    def log_joint(self, batch: Batch | tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """log p(x, z), `[B, S]`, in nats at any z `[B, S, L]`."""
        batch = Batch.of(batch)
        return self.decode(z, batch).log_prob(batch.x[:, None]) + self.marginal(batch).log_prob(z)

    def encode(self, batch: Batch | tf.Tensor, step: tf.Tensor | None = None) -> ConditionalPosterior:
        """q(z|x) for a batch or x `[B, *event]`: `encode(x).mean()` is `[B, L]`, and so are `stddev` and `quantile`.

        For a NumPy array x they give NumPy arrays, and `encode(x).distribution` is of batch `[B]`. For a tensor it is
        of batch `[B, 1]`, which broadcasts against S samples.

        Raises:
            ConfigError: x has another shape, lacks a column, or is not of numbers.
        """
        as_numpy, batch = wants_numpy(batch), self._batch(batch)
        features = self._features(batch, training=step is not None)
        q = self.posterior(features, step, **read(self.posterior, batch))
        return dataclasses.replace(q, as_numpy=True) if as_numpy else q

    def decode(self, z: tf.Tensor, batch: Batch | None = None, step: tf.Tensor | None = None) -> ConditionalLikelihood:
        """p(x|z) for z `[..., L]`: `decode(z).mean()` is `[..., *event]`, a NumPy array if z is one.

        Raises:
            ConfigError: z has another shape.
        """
        as_numpy = wants_numpy(z)
        z = tf.convert_to_tensor(z, self.posterior.compute_dtype if as_numpy else None)
        if z.shape.rank is not None and (z.shape.rank == 0 or z.shape[-1] not in (None, self.latent_dim)):
            raise ConfigError(f"z of shape {tuple(z.shape)}: the model has {self.latent_dim} latents, the last axis.")
        context = [spread(value, z.shape[:-1]) for value in read(self.decoder, batch).values()]
        flat = tf.reshape(z, [-1, z.shape[-1]])
        output = call(self.decoder, flat, context, training=step is not None)
        output = tf.reshape(output, [*tf.unstack(tf.shape(z)[:-1]), *output.shape[1:]])
        p = self.likelihood(output, **{n: v[:, None] for n, v in read(self.likelihood, batch).items()})
        return dataclasses.replace(p, standardization=self.standardization, as_numpy=as_numpy)

    def marginal(self, batch: Batch | tf.Tensor | None = None) -> PriorDensity:
        """p(z), or p(z|context) of a batch."""
        return self._marginal(None if batch is None else Batch.of(batch), None, ())

    def generate(self, n: int = 1, seed: int = 0, eps: tf.Tensor | None = None) -> tf.Tensor:
        """E[x|z] for n draws of z ~ p(z), `[n, *event]`; a NumPy array if `eps` is one.

        Args:
            n: the number of draws.
            seed: the seed of the draws.
            eps: the prior's noise `[n, L]` in place of a seed.

        Raises:
            ConfigError: the noise has another shape.
        """
        noise = self.prior.noise([n], random.seed(seed, "people"))
        if eps is not None:
            given = tf.cast(eps, noise.dtype)
            if given.shape[1:] != noise.shape[1:]:
                needed = ", ".join(map(str, ["n", *noise.shape[1:]]))
                raise ConfigError(f"eps of shape {tuple(given.shape)}: the prior needs noise of shape ({needed}).")
            noise = given
        x = self.decode(self.marginal().sample(noise)).mean()
        return x.numpy() if eps is not None and wants_numpy(eps) else x

    def reconstruct(self, x: Batch | tf.Tensor, seed: int = 0, eps: tf.Tensor | None = None) -> tf.Tensor:
        """E[x|z] for one draw of z ~ q(z|x) for each x, `[B, *event]`.

        With noise `eps` `[B, S, L]` in place of a seed, for S draws: `[B, S, *event]`. A NumPy array if x is one.

        Raises:
            ConfigError: x or the noise has another shape.
        """
        batch = self._batch(x)
        if wants_numpy(x):
            return self.reconstruct(batch, seed, eps).numpy()
        if eps is None:
            noise = self.posterior.noise([batch.x.shape[0], 1], random.seed(seed, "people"))
            return self.reconstruct(batch, eps=noise)[:, 0]
        z, _ = self.encode(batch).sample(eps)
        return self.decode(z, batch).mean()

    def _batch(self, x: Batch | tf.Tensor) -> Batch:
        """x as a batch; raises ConfigError if it is no data of the event's shape."""
        return as_batch(x, self.likelihood.event_shape, self.posterior.compute_dtype, self.columns)

    def _features(self, batch: Batch, training: bool) -> tf.Tensor:
        x = batch.x if self.standardization is None else self.standardization(batch.x)
        return call(self.encoder, x, list(read(self.encoder, batch).values()), training)

    def _marginal(self, batch: Batch | None, step: tf.Tensor | None, aliases: tuple[Pair, ...]) -> PriorDensity:
        """The prior of a batch, which reads the aliases in place of their variables."""

        def encode(x: Batch | tf.Tensor) -> ConditionalPosterior:
            with Substitution(aliases):
                return self.encode(x, step)

        with Substitution(aliases):
            prior = self.prior.given(read(self.prior, batch), encode)
        return SubstitutedPrior(prior, aliases) if aliases else prior

    @property
    def _seeds(self) -> list[keras.Variable]:
        """The states of the random layers of all networks."""
        return [v for v in self.variables if v.name == SEED]

    def _seeded(self, layers: tf.Tensor | None) -> list[Pair]:
        """The states of the random layers for one call, derived from the seed of the call."""
        if layers is None:
            return []
        return [(state, tf.cast(random.fold(layers, i), state.dtype)) for i, state in enumerate(self._seeds)]

    def _kept(self, updates: Iterable[Pair]) -> tuple[Pair, ...]:
        """The assignments of a call that are kept. The states of random layers are not: they follow from the step.

        Raises:
            ConfigError: a layer changes a variable that the model does not hold.
        """
        seeds, known = {id(v) for v in self._seeds}, {id(v) for v in self.variables}
        kept = tuple(pair for pair in updates if id(pair[0]) not in seeds)
        for variable, _ in kept:
            if id(variable) not in known:
                raise ConfigError(
                    f"a layer changes {variable.path}, which is not a variable of the model; make the variable, or the "
                    "keras.random.SeedGenerator, an attribute of the layer."
                )
        return kept

    def _penalties(self, of_q: Sequence[tf.Tensor], of_p: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        """For each group, the sum of the losses and the regularizers of its layers."""
        found = {}
        for group, losses, variables in (
            ("generative", of_p, self.generative_variables),
            ("inference", of_q, self.inference_variables),
        ):
            terms = [*losses, *(v.regularizer(v.value) for v in variables if v.regularizer is not None)]
            if terms:
                found[group] = tf.add_n([tf.reduce_sum(term) for term in terms])
        return found
