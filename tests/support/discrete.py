"""Bits and one-hot variables, whose values are few enough to be enumerated."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import models, reference
from vi import networks, posteriors, priors
from vi.likelihoods import Bernoulli
from vi.models import LatentVariableModel

N, K, D = 2, 3, 7


@dataclasses.dataclass(frozen=True)
class Kind:
    """A discrete posterior and prior, all values of z `[M, L]`, and the log mass of one of them by the definition."""

    posterior: Callable
    prior: Callable
    values: np.ndarray
    log_mass: Callable
    shape: tuple[int, ...]

    @property
    def latent_dim(self):
        return self.values.shape[1]


KINDS = {
    "bernoulli": Kind(
        lambda: posteriors.Bernoulli(models.L),
        lambda: priors.Bernoulli(models.L),
        reference.binary_vectors(models.L),
        reference.log_bernoulli,
        (models.L,),
    ),
    "categorical": Kind(
        lambda: posteriors.Categorical(N * K, categories=K),
        lambda: priors.Categorical(N * K, categories=K),
        reference.one_hot_vectors(N, K),
        reference.log_categorical,
        (N, K),
    ),
}


every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def conditional(kind, features=4, scale=1.0):
    """q(z|x) for B data, and its logits in NumPy."""
    family = kind.posterior()
    x = scale * np.random.default_rng(0).standard_normal((models.B, features))
    q = family(tf.constant(x, family.compute_dtype))
    return q, q.parameters["logits"].numpy()[:, 0].astype(float)


def log_masses(kind, logits):
    """log q of every value for each datum, [B, M], by the definition."""
    return np.array([[kind.log_mass(z, logit) for z in kind.values] for logit in logits])


def frequencies(kind, z):
    """Which value each sample is, one-hot, [samples, M]."""
    return (z[:, None] == kind.values).all(-1)


def discrete_model(kind, posterior=None):
    """Linear encoder and decoder around a discrete z, with weights of moderate size."""
    model = LatentVariableModel(
        networks.mlp_encoder((D,), hidden=[]),
        (posterior or kind.posterior)(),
        networks.mlp_decoder(kind.latent_dim, (D,), hidden=[]),
        Bernoulli((D,)),
        kind.prior(),
    )
    rng = np.random.default_rng(1)
    for variable in model.variables:
        variable.assign(rng.standard_normal(variable.shape))
    return model


def binary_data(size=models.B):
    """Data of 0 and 1, [size, D]."""
    return np.random.default_rng(0).integers(0, 2, (size, D)).astype(keras.config.floatx())


def enumerated_elbos(kind, model, x):
    """The exact ELBO of each datum, a sum over all values of z, in NumPy."""
    kernel, bias = (v.numpy().astype(float) for v in model.decoder.trainable_variables)
    logits = model.encode(tf.constant(x)).parameters["logits"].numpy()[:, 0].astype(float)
    log_q = log_masses(kind, logits)
    log_prior = -np.log(len(kind.values))
    log_joint = [[reference.log_bernoulli(each, z @ kernel + bias) + log_prior for z in kind.values] for each in x]
    return np.sum(np.exp(log_q) * (np.array(log_joint) - log_q), axis=1)
