"""The data structures that the model, the estimators and the train step exchange.

Letters, the same everywhere: B data in the batch, S Monte Carlo samples ("particles") for each datum, L latent
dimensions, `event` the shape of one datum. The order is always batch × samples × latent. Log densities are in nats.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from vi.errors import ConfigError
from vi.ops import log_mean_exp

if TYPE_CHECKING:
    from vi.posteriors import ConditionalPosterior
    from vi.priors import PriorDensity
    from vi.substitution import Pair

GROUPS = ("generative", "inference", "auxiliary")
"""The parameter groups θ, φ and ψ, in the order of their updates."""


class Batch(NamedTuple):
    """B data, each with its context, position and weights.

    Attributes:
        x: the data as the model sees them, `[B, *event]`.
        context: named arrays `[B, ...]` beside x, such as labels or masks. A component reads the arrays named in its
            `reads`. No likelihood models them.
        index: the position of each datum in its split, `[B]`; None for data outside a split.
        size: N, the number of data in that split; None for data outside a split.
        weight: the weight of each datum in the loss, `[B]`; None if all are 1.
        kl_weight: the factor on each datum's KL weight β, `[B]`; None if all are 1.
    """

    x: tf.Tensor
    context: Mapping[str, tf.Tensor] = {}
    index: tf.Tensor | None = None  # type: ignore[assignment] # in place of tuple.index
    size: int | None = None
    weight: tf.Tensor | None = None
    kl_weight: tf.Tensor | None = None

    @classmethod
    def of(cls, data: Batch | tf.Tensor) -> Batch:
        """The batch itself, or a batch of bare data x."""
        return data if isinstance(data, cls) else cls(data)


class Draws(NamedTuple):
    """The number of draws of each kind that an estimator requests for each datum.

    Attributes:
        posterior: S, the samples of q(z|x) that become the particles.
        divergence: further samples of q(z|x), for the KL term alone.
        prior: samples of p(z).
        dream: data drawn from the model, for sleep phases.
    """

    posterior: int = 1
    divergence: int = 0
    prior: int = 0
    dream: int = 0


class DreamNoise(NamedTuple):
    """The noise of D dreams for each datum: for z ~ p(z) `[B, D, L]` and for x ~ p(x|z) `[B, D, *event]`."""

    prior: tf.Tensor
    likelihood: tf.Tensor


class Noise(NamedTuple):
    """All the randomness of one step, drawn beforehand. A field is None if its draws were not requested.

    Given the noise, the model is deterministic. The trailing shape of a noise is set by its family: `[L]` for
    Gaussians.

    Attributes:
        posterior: for the particles, `[B, S, ...]`; None of dreams, whose z comes from the prior.
        divergence: for the further samples of the KL term, `[B, Draws.divergence, ...]`.
        prior: for samples of p(z), `[B, Draws.prior, ...]`.
        dream: for dreams.
        layers: the seed `[2]` of random layers in the networks, such as dropout; None if the model has none.
    """

    posterior: tf.Tensor | None
    divergence: tf.Tensor | None = None
    prior: tf.Tensor | None = None
    dream: DreamNoise | None = None
    layers: tf.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class Particles:
    """S weighted samples of the posterior for each of B data: all that an estimator sees.

    Log densities are summed over event and latent axes. They are differentiable with respect to θ and to φ, also along
    the path z = z(eps; φ) where the posterior is reparameterized.

    Attributes:
        x: the data, `[B, 1, *event]`.
        batch: the data with their context, positions and weights.
        noise: the noise that made the particles.
        posterior: q(z|x), of batch `[B, 1]`.
        prior: p(z), or p(z|context).
        z: `[B, S, L]`, the points of the log densities. Of relaxed samples the decoder sees `posterior.code(z)`.
        log_likelihood: log p(x|z), `[B, S]`.
        log_prior: log p(z), `[B, S]`; None for an implicit prior.
        log_posterior: log q(z|x), `[B, S]`; None for an implicit q.
        kl_weight: β, a scalar or `[B]`: the weight of the KL term in the loss, never in a bound.
        dream: D dreams for each datum as particles, of `[B, D, ...]`. The batch of its `posterior` is `[B·D, 1]`, and
            its `batch` holds B·D data. z and x pass no gradient. None unless requested.
        mass: the probability of each sample, `[B, S]`, with sum 1 over the samples, if latents are enumerated. None if
            each sample has the weight 1/S.
        data: the number of data in a row: 1, or N if the latents are global and a row is the whole data set.
        aliases: for each variable of φ that p reads: the variable, and the tensor that p reads in its place. The
            gradient of θ's loss by that tensor is a part of the variable's gradient.
        updates: the next values of the networks' variables that are not weights, such as moving averages: the variable
            and its next value.
        penalties: for each group the sum of its layers' own losses, such as a `kernel_regularizer`, a scalar; empty
            without such losses.
    """

    x: tf.Tensor
    batch: Batch
    noise: Noise
    posterior: ConditionalPosterior
    prior: PriorDensity
    z: tf.Tensor
    log_likelihood: tf.Tensor
    log_prior: tf.Tensor | None
    log_posterior: tf.Tensor | None
    kl_weight: float | tf.Tensor = 1.0
    dream: Particles | None = None
    mass: tf.Tensor | None = None
    data: float = 1.0
    aliases: tuple[Pair, ...] = ()
    updates: tuple[Pair, ...] = ()
    penalties: Mapping[str, tf.Tensor] = dataclasses.field(default_factory=dict)

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """E_q of values `[B, S]` over the samples, `[B]`: exact over enumerated latents."""
        return tf.reduce_mean(values, axis=1) if self.mass is None else tf.reduce_sum(self.mass * values, axis=1)

    def log_mean_exp(self, values: tf.Tensor) -> tf.Tensor:
        """log E_q exp(values) for values `[B, S]` over the samples, `[B]`: exact over enumerated latents."""
        if self.mass is None:
            return log_mean_exp(values, axis=1)
        some = self.mass > 0
        log_mass = tf.math.log(tf.where(some, self.mass, 1.0))  # no gradient is nan where a mass is 0
        return tf.reduce_logsumexp(tf.where(some, log_mass + values, values.dtype.min), axis=1)

    @property
    def log_weight(self) -> tf.Tensor:
        """The log importance weights log p(x, z) − log q(z|x), `[B, S]`, in nats.

        Raises:
            ConfigError: the posterior or the prior is implicit.
        """
        log_prior, log_posterior = self._densities()
        return self.log_likelihood + log_prior - log_posterior

    @property
    def log_ratio(self) -> tf.Tensor:
        """log q(z|x) − log p(z), `[B, S]`, in nats: its mean estimates the KL.

        Raises:
            ConfigError: the posterior or the prior is implicit.
        """
        log_prior, log_posterior = self._densities()
        return log_posterior - log_prior

    def elbo(self) -> tf.Tensor:
        """The mean of the log weights, an unbiased estimate of the ELBO, `[B]`, in nats."""
        return self.mean(self.log_weight)

    def iw_bound(self) -> tf.Tensor:
        """log of the mean of the weights, log (1/S) Σ w (Burda et al., 2015, eq. 8), `[B]`, in nats."""
        return self.log_mean_exp(self.log_weight)

    def kl(self) -> tf.Tensor:
        """KL(q(z|x) ‖ p(z)) in closed form, `[B]`, in nats.

        With several stochastic layers: the sum of the layers' KLs.

        Raises:
            ConfigError: a layer's KL has no closed form.
        """
        return tf.add_n(list(self.kl_terms().values()))

    def kl_terms(self) -> dict[str, tf.Tensor]:
        """The KL of each stochastic layer in closed form, by name, `[B]`, in nats.

        A layer's KL is given the samples of the earlier layers, and its mean over them is taken.

        Raises:
            ConfigError: a layer's KL has no closed form.
        """
        terms = self.posterior.kl_terms(self.prior, self.z)  # [B, 1] or [B, S] each
        return {name: each[:, 0] if each.shape[1] == 1 else self.mean(each) for name, each in terms.items()}

    @property
    def beta(self) -> tf.Tensor:
        """`kl_weight` as a column that broadcasts against samples, `[B, 1]` or `[1, 1]`."""
        return tf.reshape(tf.cast(self.kl_weight, self.log_likelihood.dtype), [-1, 1])

    def stopped(self) -> Particles:
        """The same particles with log q(z|x) at stopped φ, so that only the path of z leads to φ.

        The posterior also gets the noise of z, so that a flow needs no inverse.
        """
        log_posterior = self.posterior.stopped().log_prob(self.z, self.noise.posterior)
        return dataclasses.replace(self, log_posterior=log_posterior)

    def pathless_log_posterior(self) -> tf.Tensor:
        """log q(z|x) at stopped z, `[B, S]`. Its gradient by φ is the score, for any posterior."""
        return self.posterior.log_prob(tf.stop_gradient(self.z), self.noise.posterior)

    def tempered(self) -> Particles:
        """The same particles with log p(z) and log q(z|x) multiplied by β.

        Each log weight is then log p(x|z) + β (log p(z) − log q(z|x)), the β-weighted objective of Higgins et al.
        (2017).
        """
        if isinstance(self.kl_weight, float) and self.kl_weight == 1.0:
            return self
        log_posterior = None if self.log_posterior is None else self.beta * self.log_posterior
        log_prior = None if self.log_prior is None else self.beta * self.log_prior
        return dataclasses.replace(self, log_prior=log_prior, log_posterior=log_posterior, kl_weight=1.0)

    def _densities(self) -> tuple[tf.Tensor, tf.Tensor]:
        """log p(z) and log q(z|x); raises ConfigError if one of them is implicit."""
        if self.log_posterior is None:
            raise ConfigError(
                f"the posterior {self.posterior.name} is implicit: it has no density, so there are no log weights; use "
                "an estimator that needs no density, such as an adversarial one."
            )
        if self.log_prior is None:
            raise ConfigError(
                "the prior is implicit: it has no density, so there are no log weights; use an estimator that needs "
                "no density, such as an adversarial one."
            )
        return self.log_prior, self.log_posterior


class Losses(NamedTuple):
    """The loss of each parameter group, `[B]` each, in nats.

    Groups that share one tensor share one backward pass. A different tensor costs only a second backward pass.

    Attributes:
        generative: trains θ (decoder, likelihood, prior). None only in an `objective` that θ does not follow.
        inference: trains φ (encoder, posterior). None only in an `objective` that φ does not follow.
        auxiliary: trains ψ, the estimator's own networks; None if it has no networks.
    """

    generative: tf.Tensor | None
    inference: tf.Tensor | None
    auxiliary: tf.Tensor | None = None
