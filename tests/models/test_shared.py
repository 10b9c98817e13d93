"""A prior that reads the encoder: what p reads of φ follows θ's loss, what q reads follows φ's."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import models
from vi import networks, random
from vi.diagnostics.noise import GradientNoise
from vi.estimators import IWAE, DReG, MonteCarloKL
from vi.likelihoods import Gaussian, NoLikelihood
from vi.models import LatentVariableModel
from vi.particles import GROUPS, Batch, Draws, Losses
from vi.posteriors import DiagonalGaussian
from vi.priors import Prior
from vi.training.step import TrainStep

D, L, PSEUDO = 3, 2, np.array([[0.5, -1.0, 0.2], [-0.8, 0.3, 1.1]])


class Mixture:
    """The mean of q(z|u) over pseudo-inputs u (Tomczak & Welling, 2018)."""

    def __init__(self, q, count):
        self.q, self.count = q, count

    def log_prob(self, z):
        each = self.q.log_prob(tf.reshape(z, [1, -1, z.shape[-1]]))  # [K, B·S]
        return tf.reshape(tf.reduce_logsumexp(each, 0) - math.log(self.count), tf.shape(z)[:-1])

    def marginals(self):
        return None

    @property
    def distribution(self):
        raise NotImplementedError


class VampPrior(Prior):
    """Made of the encoder that the model hands to `given`; its pseudo-inputs belong to θ."""

    reads_encoder = True

    def __init__(self):
        super().__init__(L)
        self.pseudo = self.add_weight(shape=PSEUDO.shape, initializer="zeros", name="pseudo_inputs")
        self.pseudo.assign(PSEUDO)

    def given(self, context, encode):
        return Mixture(encode(tf.convert_to_tensor(self.pseudo)), len(PSEUDO))

    @property
    def distribution(self):
        raise NotImplementedError


class Holding(VampPrior):
    """The same prior, which holds encoder and posterior as attributes and calls them itself."""

    reads_encoder = False

    def __init__(self, encoder, posterior):
        super().__init__()
        self.encoder, self.posterior = encoder, posterior

    def given(self, context, encode):
        return self

    def log_prob(self, z):
        return Mixture(self.posterior(self.encoder(tf.convert_to_tensor(self.pseudo))), len(PSEUDO)).log_prob(z)


@pytest.fixture(params=["given the encoder", "holding the encoder"])
def model(request, double):
    encoder, posterior = networks.mlp_encoder((D,), [4], "tanh"), DiagonalGaussian(L)
    if request.param == "given the encoder":
        prior = VampPrior()
    else:
        posterior(encoder(tf.zeros([1, D], "float64")))
        prior = Holding(encoder, posterior)
    model = LatentVariableModel(encoder, posterior, networks.mlp_decoder(L, (D,), []), Gaussian((D,), sd=0.8), prior)
    rng = np.random.default_rng(5)
    for variable in model.variables:
        if "pseudo" not in variable.path:
            variable.assign(0.4 * rng.standard_normal(variable.shape))
    return model


def batch():
    return tf.constant(np.random.default_rng(6).standard_normal((4, D)))


def gradients(model, estimator, repeats):
    """The gradients of each group through the train step, for independent noises, [repeats, P] each."""
    step = TrainStep(model, estimator, {group: keras.optimizers.SGD() for group in GROUPS})

    @tf.function
    def once(repeat):
        noise = model.noise(estimator.draws, tf.range(4), random.seed(2, "train"), repeat)
        found = step.differentiate(Batch(batch()), noise, tf.constant(0, tf.int64))[2]
        return {group: tf.concat([tf.reshape(g, [-1]) for g in gs], 0) for group, gs in found.items()}

    found = [once(tf.constant(i)) for i in range(repeats)]
    return {group: np.stack([each[group].numpy() for each in found]) for group in found[0]}


def test_shared_variables_belong_to_phi_alone(model):
    assert {v.path.split("/")[-1] for v in model.prior.trainable_variables} >= {"pseudo_inputs"}
    assert [id(v) for v in model.shared] == [id(v) for v in model.inference_variables]
    assert not {id(v) for v in model.generative_variables} & {id(v) for v in model.inference_variables}
    assert len({id(v) for v in model.variables}) == len(model.variables)


@pytest.mark.parametrize("estimator", [MonteCarloKL(3), IWAE(3)])
def test_with_one_loss_each_group_follows_its_total_derivative(model, estimator):
    found = gradients(model, estimator, 1)
    noise = model.noise(estimator.draws, tf.range(4), random.seed(2, "train"), 0)
    with tf.GradientTape(persistent=True) as tape:
        q = model.encode(batch())
        z, log_q = q.sample(noise.posterior)
        prior = Mixture(model.encode(tf.convert_to_tensor(model.prior.pseudo)), len(PSEUDO))
        log_w = model.decode(z).log_prob(batch()[:, None]) + prior.log_prob(z) - log_q
        bound = tf.reduce_logsumexp(log_w, 1) if isinstance(estimator, IWAE) else tf.reduce_mean(log_w, 1)
        loss = -tf.reduce_mean(bound)
    for group, variables in (("generative", model.generative_variables), ("inference", model.inference_variables)):
        expected = models.flatten(tape.gradient(loss, [v.value for v in variables]))
        np.testing.assert_allclose(found[group][0], expected, rtol=1e-8, atol=1e-12)


class Twice(MonteCarloKL):
    """φ's loss is twice θ's."""

    def losses(self, particles, step):
        loss = -self.bound(particles)
        return Losses(generative=loss, inference=2 * loss)


def test_with_two_losses_what_p_reads_of_phi_follows_the_loss_of_theta(model):
    found = gradients(model, Twice(3), 1)["inference"][0]
    noise = model.noise(Draws(3), tf.range(4), random.seed(2, "train"), 0)
    with tf.GradientTape(persistent=True) as tape:
        z, log_q = model.encode(batch()).sample(noise.posterior)
        of_prior = model.encode(tf.convert_to_tensor(model.prior.pseudo))
        stopped = Mixture(of_prior.stopped(), len(PSEUDO)).log_prob(z)
        of_q = -tf.reduce_mean(model.decode(z).log_prob(batch()[:, None]) + stopped - log_q)
        of_p = -tf.reduce_mean(Mixture(of_prior, len(PSEUDO)).log_prob(tf.stop_gradient(z)))
    by_q, by_p = (
        models.flatten(tape.gradient(loss, [v.value for v in model.inference_variables])) for loss in (of_q, of_p)
    )
    np.testing.assert_allclose(found, 2 * by_q + by_p, rtol=1e-8, atol=1e-12)
    assert np.abs(by_p).max() > 1e-3


def test_dreg_stays_unbiased_for_theta_and_phi(model):
    reference, found = gradients(model, IWAE(3), 500), gradients(model, DReG(3), 500)
    for group in reference:
        models.assert_mean(found[group] - reference[group], 0.0)


def test_phi_follows_theta_s_loss_where_p_reads_nothing_but_phi(model):
    """Without parameters of its own, p still teaches φ through what it reads of φ."""
    expected = gradients(model, IWAE(3), 1)["inference"]
    for part in (model.decoder, model.prior.pseudo):
        part.trainable = False
    assert model.generative_variables == []
    np.testing.assert_allclose(gradients(model, IWAE(3), 1)["inference"], expected, rtol=1e-8)


class Pseudo(VampPrior):
    """The same prior with pseudo-inputs that are given, so that θ is empty."""

    def __init__(self):
        super().__init__()
        self.pseudo.trainable = False


@pytest.mark.parametrize("regularizer", [None, keras.regularizers.L2(3.0)])
def test_what_is_diagnosed_is_the_gradient_of_the_train_step(regularizer):
    keras.utils.set_random_seed(0)
    encoder = networks.mlp_encoder((D,), [4])
    encoder.layers[-1].kernel.regularizer = regularizer
    model = LatentVariableModel(encoder, DiagonalGaussian(L), networks.no_decoder(L, ()), NoLikelihood((D,)), Pseudo())
    assert model.generative_variables == []
    x, step = tf.constant(np.random.default_rng(0).standard_normal((5, D)), "float32"), tf.constant(0, tf.int64)
    estimator = MonteCarloKL(3)
    noise = model.noise(estimator.draws, tf.range(5), random.seed(0, "train"), 0)
    train_step = TrainStep(model, estimator, models.optimizers(), beta=1.0)
    *_, expected = train_step.differentiate(Batch.of(x), noise, step)
    measured = GradientNoise(model, estimator, x, jit=False)
    measured.noise = lambda repeat: noise
    found = measured.gradients(tf.constant(0), step, tf.constant(1.0))
    for one, other in zip(found["inference"], expected["inference"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
