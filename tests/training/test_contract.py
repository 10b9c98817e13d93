"""The contract carries every kind of estimator: each is trained by the unchanged train step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import enumeration, models
from tests.support.extensions import Adversarial, ImplicitPosterior
from tests.support.training import trainer_of
from vi.data import Dataset
from vi.estimators import IWAE, VIMCO, DReG, MonteCarloKL, ReweightedWakeSleep, ScoreFunction, WakeSleep
from vi.particles import Draws
from vi.posteriors import DiagonalGaussian


def train(model, estimator, steps=30, data=None, **options):
    """Trains through the trainer; returns it, and the change of each group's parameters."""
    data = data or models.dataset()
    estimator.build(data.event_shape, models.L)
    rates = {"generative": 0.01, "inference": 0.01, "auxiliary": 0.05}
    optimizers = {group: keras.optimizers.Adam(rate) for group, rate in rates.items()}
    trainer = trainer_of(model, estimator, data, optimizers, batch_size=7, **options)
    before = {group: models.flatten(v) for group, v in trainer.variables.items()}
    assert trainer.run(steps)
    return trainer, {g: np.abs(models.flatten(v) - before[g]).max() for g, v in trainer.variables.items()}


def binary_data():
    x = np.random.default_rng(0).integers(0, 2, (40, models.D)).astype(np.uint8)
    return Dataset({"x_train": x}, "test data", validation=0.25)


CASES = {
    "iwae": (models.linear_gaussian, lambda: IWAE(5), models.dataset),
    "dreg": (models.linear_gaussian, lambda: DReG(5), models.dataset),
    "wake_sleep": (models.linear_gaussian, lambda: WakeSleep(5, dreams=2), models.dataset),
    "reweighted_wake_sleep_discrete": (enumeration.make_model, lambda: ReweightedWakeSleep(5, "both"), binary_data),
    "score_function_learned_discrete": (enumeration.make_model, lambda: ScoreFunction(1, "learned"), binary_data),
    "vimco_discrete": (enumeration.make_model, lambda: VIMCO(5), binary_data),
    "adversarial": (models.linear_gaussian, lambda: Adversarial(5), models.dataset),
    "adversarial_implicit": (
        lambda: models.linear_gaussian(ImplicitPosterior),
        lambda: Adversarial(5),
        models.dataset,
    ),
}


COMPILED = "wake_sleep", "vimco_discrete", "adversarial"
"""Compiled by XLA among the fast tests; the others are compiled among the slow ones."""


@pytest.mark.parametrize(
    ("name", "jit"),
    [
        *((name, False) for name in CASES),
        *(pytest.param(name, True, marks=[] if name in COMPILED else pytest.mark.slow) for name in CASES),
    ],
)
def test_each_trains_through_the_unchanged_train_step(name, jit):
    make_model, make_estimator, make_data = CASES[name]
    trainer, change = train(make_model(), make_estimator(), data=make_data(), jit=jit)
    assert set(change) == {"generative", "inference"} | (
        {"auxiliary"} if "adversarial" in name or "learned" in name else set()
    )
    assert all(amount > 1e-3 for amount in change.values()), change
    assert int(trainer.step.numpy()) == 30


def test_fixed_noise_is_each_datums_own_also_of_dreams_and_discrete_latents():
    """Every epoch with the same noise gives the same particles for a datum, in whatever batch it is."""
    trainer, _ = train(enumeration.make_model(), WakeSleep(3), steps=2, data=binary_data(), noise="fixed", jit=False)
    one, other = (
        trainer.batches.noise(tf.constant(index), tf.constant(step)) for index, step in (([5, 2], 0), ([2, 9], 7))
    )
    assert one.posterior.shape == (2, 3, enumeration.L)
    assert one.dream.prior.shape == (2, 1, enumeration.L)
    for first, second in ((one.posterior, other.posterior), *zip(one.dream, other.dream, strict=True)):
        np.testing.assert_array_equal(first[1], second[0])


def test_an_auxiliary_loss_moves_only_auxiliary_parameters():
    model, estimator = models.linear_gaussian(), Adversarial(3)
    estimator.build((models.D,), models.L)
    x = tf.constant(models.data())
    groups = (model.generative_variables, model.inference_variables)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(estimator.losses(models.make_particles(model, estimator.draws, x), 0).auxiliary)
    assert all(g is None for g in tape.gradient(loss, [v.value for group in groups for v in group]))


def test_a_discriminator_learns_the_log_ratio_of_posterior_and_prior():
    """With θ and φ held still, T(x, z) approaches log q(z|x) − log p(z), so that `bound` approaches the ELBO."""
    model, estimator = models.linear_gaussian(), Adversarial(20)
    data = Dataset({"x_train": np.repeat(models.data(1, "float32"), 40, 0)}, "test data")
    estimator.build(data.event_shape, models.L)
    optimizers = {
        "generative": keras.optimizers.SGD(1e-12),
        "inference": keras.optimizers.SGD(1e-12),
        "auxiliary": keras.optimizers.Adam(0.01),
    }
    trainer = trainer_of(model, estimator, data, optimizers, batch_size=20)
    trainer.run(2000)
    bounds = models.sampled_bounds(model, estimator, models.data(1), 200)
    exact = models.exact_elbos(model, models.data(1))
    assert abs(bounds.mean() - exact[0]) < 0.3  # of a divergence of several nats
    assert model.encode(tf.constant(models.data(1))).kl(model.prior).numpy()[0] > 1


@pytest.mark.parametrize("samples", [1, 5])
def test_dreg_follows_the_gradient_of_iwae_for_theta_and_in_expectation_for_phi(samples):
    model, x = models.linear_gaussian(), models.data()
    iwae = models.sampled_gradients(model, IWAE(samples), x, 1000)
    dreg = models.sampled_gradients(model, DReG(samples), x, 1000)
    np.testing.assert_allclose(dreg[0], iwae[0], rtol=1e-3, atol=1e-4)
    models.assert_mean(dreg[1] - iwae[1], np.zeros_like(iwae[1][0]))


def test_with_one_sample_dreg_follows_the_exact_gradient_of_the_elbo():
    model, x = models.linear_gaussian(), models.data()
    sampled = models.sampled_gradients(model, DReG(1), x, 1000)
    for samples, exact in zip(sampled, models.exact_gradients(model, x), strict=True):
        models.assert_mean(samples, exact)


def test_at_the_true_posterior_dreg_has_no_variance_and_the_bound_is_log_p(double):
    model, x = models.linear_gaussian(), models.data()
    models.make_posterior_exact(model)
    _, phi = models.sampled_gradients(model, DReG(5), x, 20)
    np.testing.assert_allclose(phi, 0, atol=1e-12)
    iwae_phi = models.sampled_gradients(model, MonteCarloKL(5), x, 20)[1]
    assert iwae_phi.std(axis=0).max() > 0.1  # what the plain path derivative has there
    exact = [models.oracle(model).log_marginal(each) for each in x]
    np.testing.assert_allclose(IWAE(5).bound(models.make_particles(model, Draws(5), x)), exact, rtol=1e-9)


def test_wake_follows_the_theta_gradient_of_the_elbo():
    model, x = models.linear_gaussian(), models.data()
    theta, _ = models.sampled_gradients(model, WakeSleep(3, dreams=2), x, 1000)
    models.assert_mean(theta, models.exact_gradients(model, x)[0])


def test_sleep_follows_the_gradient_of_the_log_posterior_of_dreams():
    """For z ~ N(0, I), x|z ~ N(Wz + b, σ²I) and q = N(Kᵀx + c, diag s²), in closed form."""
    model, x = models.linear_gaussian(), models.data()
    kernel, c, scale_kernel, scale_bias = (v.numpy().astype(float) for v in model.posterior.trainable_variables)
    scale_kernel[:] = 0  # a variance that does not depend on x keeps the closed form short
    model.posterior.trainable_variables[2].assign(scale_kernel)
    _, phi = models.sampled_gradients(model, WakeSleep(3, dreams=2), x, 2000)
    w, b, sd = models.oracle(model).w, models.oracle(model).b, models.oracle(model).sd
    variance = np.exp(scale_bias)
    second_moment = w @ w.T + sd**2 * np.eye(models.D) + np.outer(b, b)  # E x xᵀ
    by_kernel = (w - second_moment @ kernel - np.outer(b, c)) / variance  # E x (z − Kᵀx − c)ᵀ / s²
    by_c = -(kernel.T @ b + c) / variance
    gap = np.eye(models.L) - w.T @ kernel - kernel.T @ w + kernel.T @ second_moment @ kernel
    square = np.diag(gap) + 2 * c * (kernel.T @ b) + c**2  # E (z − Kᵀx − c)²
    by_scale_bias = 0.5 * (square / variance - 1)
    exact = np.concatenate([by_kernel.ravel(), by_c, by_scale_bias])
    weights = models.D * models.L
    sampled = np.delete(phi, np.s_[weights + models.L : 2 * weights + models.L], axis=1)
    models.assert_mean(sampled, exact)


def test_diagonal_gaussian_trains_to_the_closed_form_optimum():
    """q of the right family reaches log p(x): the ELBO is tight when φ is trained and θ is not."""
    model = models.linear_gaussian()
    models.make_posterior_exact(model)
    for variable in model.posterior.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    data = models.dataset()
    rate = keras.optimizers.schedules.PolynomialDecay(0.05, 1500, 0.0)
    optimizers = {"generative": keras.optimizers.SGD(1e-12), "inference": keras.optimizers.Adam(rate)}
    trainer_of(model, MonteCarloKL(10), data, optimizers, batch_size=30).run(1500)
    x = data.train.x
    gap = [models.oracle(model).log_marginal(each) for each in x] - models.exact_elbos(model, x)
    assert 0 <= gap.mean() < 0.01
    assert isinstance(model.posterior, DiagonalGaussian)
