"""Wake-sleep and its reweighted kin: what each group of parameters follows, exactly where it can be enumerated."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support import enumeration, models, reference
from vi.errors import ConfigError
from vi.estimators import IWAE, ReweightedWakeSleep, WakeSleep

BETAS = [1.0, 2.5, [0.0, 0.5, 1.0, 4.0]]


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("estimator", [WakeSleep(3), ReweightedWakeSleep(3)])
def test_theta_follows_the_gradient_of_the_bound(double, estimator, beta):
    model = enumeration.make_model()
    x = enumeration.data(model)
    samples = 3 if isinstance(estimator, IWAE) else 1
    exact = enumeration.gradients(model, lambda: enumeration.importance_bound(model, x, samples, beta))[0]
    weight = beta if isinstance(beta, float) else tf.constant(beta, "float64")
    np.testing.assert_allclose(enumeration.expected_gradients(model, estimator, x, weight)[0], exact, atol=1e-12)


@pytest.mark.parametrize("estimator", [WakeSleep(), ReweightedWakeSleep(2, "sleep")])
def test_the_sleep_phase_follows_the_log_posterior_of_what_the_model_dreams(double, estimator):
    model = enumeration.make_model()

    def exact():
        x = tf.constant(reference.binary_vectors(enumeration.D))
        log_q, log_weight = enumeration.log_densities(model, x)
        return tf.reduce_sum(tf.stop_gradient(tf.exp(log_weight + log_q)) * log_q)

    def sleep():
        particles, probability = enumeration.every_dream(model, estimator)
        np.testing.assert_allclose(tf.reduce_sum(probability), 1, rtol=1e-12)
        return -tf.reduce_sum(probability * estimator.losses(particles, 0).inference)

    theta, phi = enumeration.gradients(model, sleep)
    np.testing.assert_allclose(phi, enumeration.gradients(model, exact)[1], atol=1e-12)
    np.testing.assert_array_equal(theta, 0)


def test_the_wake_phase_of_the_reweighted_follows_its_definition(double):
    """E Σ w̃ ∇ log q(z|x): for Bernoulli latents ∇ by the logits is z − σ(logits), and logits = xᵀ K + c."""
    model, samples = enumeration.make_model(), 3
    x = enumeration.data(model)
    log_q, log_weight = (value.numpy() for value in enumeration.log_densities(model, x))
    z = reference.binary_vectors(enumeration.L)
    logits = model.encode(x).parameters["logits"].numpy()[:, 0]
    by_logits = np.zeros_like(logits)
    for b in range(enumeration.B):
        for each in enumeration.tuples(samples):
            weight = np.exp(log_weight[b, each]) / np.exp(log_weight[b, each]).sum()
            by_logits[b] += np.exp(log_q[b, each].sum()) * weight @ (z[each] - 1 / (1 + np.exp(-logits[b])))
    exact = np.concatenate([(x.numpy().T @ by_logits / enumeration.B).ravel(), by_logits.mean(0)])
    for beta in BETAS[:2]:
        found = enumeration.expected_gradients(model, ReweightedWakeSleep(samples), x, beta)[1]
        np.testing.assert_allclose(found, exact, atol=1e-12)


def test_with_many_samples_wake_phi_follows_the_kl_from_the_true_posterior():
    """−∇ KL(p(z|x) ‖ q(z|x)) = Σ p(z|x) ∇ log q(z|x), found by self-normalized weights."""
    model = enumeration.make_model()
    x = enumeration.data(model)

    def exact():
        log_q, log_weight = enumeration.log_densities(model, x)
        true = tf.stop_gradient(tf.nn.softmax(log_weight + log_q, axis=1))
        return tf.reduce_mean(tf.reduce_sum(true * log_q, axis=1))

    found = models.sampled_gradients(model, ReweightedWakeSleep(2000), x, 50)[1]
    models.assert_mean(found, enumeration.gradients(model, exact)[1])


@pytest.mark.parametrize("phase", ["wake", "sleep", "both"])
def test_at_the_true_posterior_the_bound_is_log_p_and_phi_stays_in_expectation(phase):
    model, x = models.linear_gaussian(), models.data()
    models.make_posterior_exact(model)
    estimator = ReweightedWakeSleep(5, phase, dreams=2)
    exact = [models.oracle(model).log_marginal(each) for each in x]
    np.testing.assert_allclose(estimator.bound(models.make_particles(model, estimator.draws)), exact, rtol=1e-5)
    phi = models.sampled_gradients(model, estimator, x, 300)[1]
    models.assert_mean(phi, np.zeros(phi.shape[1]))
    assert phi.std(axis=0).max() > 0.01


def test_theta_of_the_reweighted_is_that_of_iwae_and_both_phases_are_their_mean():
    model, x = models.linear_gaussian(), models.data()
    estimators = [ReweightedWakeSleep(5, phase, dreams=2) for phase in ("both", "wake", "sleep")]
    particles = models.make_particles(model, estimators[0].draws, x)
    losses = [estimator.losses(particles, 0) for estimator in (*estimators, IWAE(5))]
    for each in losses[:3]:
        np.testing.assert_array_equal(each.generative, losses[3].generative)
    both, wake, sleep = (each.inference for each in losses[:3])
    np.testing.assert_allclose(both, (wake + sleep) / 2, rtol=1e-6)
    assert np.abs(wake - sleep).min() > 1e-3


def test_the_sleep_loss_is_the_mean_over_dreams():
    model, estimator = models.linear_gaussian(), WakeSleep(1, dreams=3)
    particles = models.make_particles(model, estimator.draws)
    expected = -particles.dream.log_posterior.numpy().mean(axis=1)
    np.testing.assert_allclose(estimator.losses(particles, 0).inference, expected, rtol=1e-6)


def test_dreams_are_drawn_only_for_a_sleep_phase():
    assert ReweightedWakeSleep(5, "wake", dreams=2).draws == (5, 0, 0, 0)
    assert ReweightedWakeSleep(5, "both", dreams=2).draws == (5, 0, 0, 2)
    assert WakeSleep(3, dreams=2).draws == (3, 0, 0, 2)


@pytest.mark.parametrize("phase", ["wake", "both"])
def test_one_sample_whose_weight_is_always_1_is_refused_where_there_is_a_wake_phase(phase):
    with pytest.raises(ConfigError, match=rf"^samples=1: must be at least 2 with inference={phase}; the weight"):
        ReweightedWakeSleep(1, phase)
    assert ReweightedWakeSleep(1, "sleep").samples == 1
