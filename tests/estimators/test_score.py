"""Score-function estimators: their exact gradients by enumeration, their baselines, and their numbers."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import enumeration, models, reference
from tests.support.training import differentiate, make_trainer
from vi.errors import ConfigError
from vi.estimators import IWAE, VIMCO, ReweightedWakeSleep, ScoreFunction
from vi.particles import Batch, Noise, Particles
from vi.training.checkpoints import Checkpoints

BASELINES = ["none", "moving_average", "learned", "leave_one_out"]
BETAS = [1.0, 2.5, [0.0, 0.5, 1.0, 4.0]]


def score_function(baseline, samples=3, event_shape=(models.D,), **options):
    """Built, with a moving average that is not 0."""
    estimator = ScoreFunction(samples, baseline, **options)
    estimator.build(event_shape, models.L)
    for variable in estimator.auxiliary_variables[:1]:
        variable.assign(-4.0)
    return estimator


def weight(beta):
    return beta if isinstance(beta, float) else tf.constant(beta, "float64")


def test_the_exact_importance_bounds_are_those_of_the_definition(double):
    model = enumeration.make_model()
    x = enumeration.data(model)
    latents = reference.binary_vectors(enumeration.L)
    kernel, bias, prior = (v.numpy() for v in model.generative_variables)
    logits = model.encode(x).parameters["logits"].numpy()[:, 0]
    for samples in (1, 3):
        bounds = []
        for each, logit in zip(x.numpy(), logits, strict=True):
            log_q = [reference.log_bernoulli(z, logit) for z in latents]
            log_likelihood = [reference.log_bernoulli(each, z @ kernel + bias) for z in latents]
            log_prior = [reference.log_bernoulli(z, prior) for z in latents]
            bounds.append(reference.expected_importance_bound(log_q, np.add(log_likelihood, log_prior), samples))
        np.testing.assert_allclose(enumeration.importance_bound(model, x, samples), np.mean(bounds), rtol=1e-12)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("baseline", BASELINES)
def test_with_every_baseline_the_gradients_are_those_of_the_elbo(double, baseline, beta):
    model = enumeration.make_model()
    x = enumeration.data(model)
    exact = enumeration.gradients(model, lambda: enumeration.importance_bound(model, x, 1, beta))
    found = enumeration.expected_gradients(model, score_function(baseline), x, weight(beta))
    for each, expected in zip(found, exact, strict=True):
        np.testing.assert_allclose(each, expected, atol=1e-12)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("samples", [2, 5])
def test_vimco_follows_the_gradients_of_the_importance_weighted_bound(double, samples, beta):
    model = enumeration.make_model()
    x = enumeration.data(model)
    exact = enumeration.gradients(model, lambda: enumeration.importance_bound(model, x, samples, beta))
    found = enumeration.expected_gradients(model, VIMCO(samples), x, weight(beta))
    for each, expected in zip(found, exact, strict=True):
        np.testing.assert_allclose(each, expected, atol=1e-12)


@pytest.mark.parametrize("estimator", [ScoreFunction(3), VIMCO(3)])
def test_their_bounds_have_the_exact_expectations(double, estimator):
    model = enumeration.make_model()
    x = enumeration.data(model)
    particles, probability = enumeration.every_particles(model, estimator, x)
    expected = enumeration.importance_bound(model, x, 3 if isinstance(estimator, VIMCO) else 1)
    found = tf.reduce_sum(probability * estimator.bound(particles)) / enumeration.B
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_drawn_samples_follow_the_exact_gradients_in_expectation():
    model = enumeration.make_model()
    x = enumeration.data(model)
    exact = enumeration.gradients(model, lambda: enumeration.importance_bound(model, x, 1))
    for samples, expected in zip(models.sampled_gradients(model, ScoreFunction(5), x, 500), exact, strict=True):
        models.assert_mean(samples, expected)


def test_every_baseline_lowers_the_variance(double):
    model = enumeration.make_model()
    x = enumeration.data(model)
    log_q, log_weight = enumeration.log_densities(model, x)
    elbos = tf.reduce_sum(tf.exp(log_q) * log_weight, axis=1).numpy()
    estimators = {name: score_function(name, hidden=[]) for name in BASELINES}
    for name in ("moving_average", "learned"):
        estimators[name].average.assign(elbos.mean())
    kernel = np.linalg.lstsq(x.numpy(), elbos - elbos.mean())[0]  # the mean signal of each datum, exactly
    estimators["learned"].network.layers[-1].kernel.assign(kernel[:, None])
    variances = {name: enumeration.variance(model, estimator, x) for name, estimator in estimators.items()}
    assert variances["learned"] < variances["moving_average"] < 0.5 * variances["none"]
    assert variances["leave_one_out"] < 0.5 * variances["none"]


def test_vimco_has_less_variance_than_the_same_signal_for_all_samples(double):
    class Naive(VIMCO):
        def losses(self, particles, step):
            log_weight = tf.stop_gradient(particles.log_weight)
            signal = self.bound(particles)[:, None] - tf.nn.softmax(log_weight, axis=1)
            surrogate = -tf.reduce_sum(tf.stop_gradient(signal) * particles.log_posterior, axis=1)
            return self.objective(particles, step)._replace(inference=surrogate)

    model = enumeration.make_model()
    x = enumeration.data(model)
    exact, naive = (enumeration.expected_gradients(model, each, x)[1] for each in (VIMCO(3), Naive(3)))
    np.testing.assert_allclose(exact, naive, atol=1e-12)
    assert enumeration.variance(model, VIMCO(3), x) < 0.2 * enumeration.variance(model, Naive(3), x)


@pytest.mark.parametrize("baseline", ["leave_one_out", "learned"])
def test_with_a_reparameterized_posterior_the_gradients_are_those_of_the_elbo_too(baseline):
    model, x = models.linear_gaussian(), models.data()
    sampled = models.sampled_gradients(model, score_function(baseline, 5), x, 1000)
    for samples, exact in zip(sampled, models.exact_gradients(model, x), strict=True):
        models.assert_mean(samples, exact)


def test_with_a_reparameterized_posterior_vimco_follows_iwae():
    model, x = models.linear_gaussian(), models.data()
    vimco, iwae = (models.sampled_gradients(model, each, x, 1000) for each in (VIMCO(5), IWAE(5)))
    np.testing.assert_allclose(vimco[0], iwae[0], rtol=1e-4, atol=1e-5)
    models.assert_mean(vimco[1] - iwae[1], np.zeros_like(iwae[1][0]))


def test_one_sample_has_no_others_and_is_refused_with_what_to_use():
    with pytest.raises(ConfigError, match=r"^samples=1: must be at least 2 with baseline=leave_one_out") as error:
        ScoreFunction(1)
    assert all(other in str(error.value) for other in ("moving_average", "learned", "none"))
    with pytest.raises(ConfigError, match=r"^samples=1: must be at least 2 .* use ScoreFunction"):
        VIMCO(1)


def phi_weights(estimator, log_weight, dtype="float32"):
    """What multiplies ∇ log q(z_s|x) in φ's loss, for given log weights [B, S]."""
    log_q = tf.Variable(tf.zeros(np.shape(log_weight), dtype))
    posterior = types.SimpleNamespace(log_prob=lambda z, eps: tf.convert_to_tensor(log_q), name="given")
    log_weight = tf.constant(log_weight, dtype)
    zero, z = tf.zeros_like(log_weight), tf.zeros([*log_weight.shape, 1], dtype)
    with tf.GradientTape() as tape:
        particles = Particles(z, Batch(z), Noise(z), posterior, None, z, log_weight, zero, zero)
        loss = tf.reduce_sum(estimator.losses(particles, 0).inference)
    return -tape.gradient(loss, log_q).numpy()


def test_signals_of_vimco_are_exact_where_the_weights_are_small_and_close():
    log_weight = (np.random.default_rng(0).standard_normal((models.B, models.S)) - 500).astype(np.float32)
    expected = [reference.vimco_signals(each) for each in log_weight]
    np.testing.assert_allclose(phi_weights(VIMCO(models.S), log_weight), expected, atol=1e-6)
    np.testing.assert_allclose(phi_weights(VIMCO(models.S), log_weight, "float64"), expected, atol=1e-12)


@pytest.mark.parametrize("estimator", [ScoreFunction(5), VIMCO(5), ReweightedWakeSleep(5)])
def test_extreme_weights_leave_every_signal_finite_and_exact(estimator):
    log_weight = [[-1e8, 1, 2, 3, 4], [3e4, -1e5, -2e4, 0, 5], [-1e30, -1e30, -1e30, -1e30, 0], [700, 710, 720, 0, 0]]
    single, double = (phi_weights(estimator, log_weight, dtype) for dtype in ("float32", "float64"))
    assert np.isfinite(single).all()
    np.testing.assert_allclose(single, double, rtol=1e-6, atol=1e-6)


def test_the_moving_average_converges_to_the_mean_signal():
    decay, steps = 0.9, 100
    model = models.linear_gaussian()
    estimator = ScoreFunction(2, "moving_average", decay)
    frozen = {"optimizer": lambda: keras.optimizers.SGD(1e-12), "batch_size": 30, "jit": False}
    trainer = make_trainer(estimator, model=model, **frozen)
    expected, means = 0.0, []
    for _ in range(steps):
        trainer.run(1)
        means.append(trainer.averages()["train/bound"])
        expected = decay * expected + (1 - decay) * means[-1]
    average = float(estimator.average.numpy())
    assert average == pytest.approx(expected, rel=1e-5)
    exact = models.exact_elbos(model, trainer.batches.data.train.x).mean()
    deviation = np.std(means) * np.sqrt((1 - decay) / (1 + decay))
    assert abs(average - exact) < 4 * deviation + abs(exact) * decay**steps


def test_the_moving_average_is_saved_and_does_not_depend_on_steps_per_call(tmp_path):
    estimator = ScoreFunction(2, "learned", hidden=[4])
    trainer = make_trainer(estimator, jit=True)
    checkpoints = Checkpoints(tmp_path, trainer.state)
    trainer.run(2)
    checkpoints.save(2, {})
    trainer.run(7)
    expected = [v.numpy() for v in (*estimator.auxiliary_variables, *trainer.model.variables)]
    checkpoints.restore("last")
    assert estimator.average.numpy() != expected[0]
    for steps in (1, 4, 2):
        trainer.run(steps)
    found = [v.numpy() for v in (*estimator.auxiliary_variables, *trainer.model.variables)]
    for each, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(each, other)


def test_a_step_that_is_not_finite_leaves_the_moving_average_as_it_was():
    class Breaks(ScoreFunction):
        def losses(self, particles, step):
            losses = super().losses(particles, step)
            return losses._replace(generative=losses.generative + tf.where(step == 4, np.nan, 0.0))

    estimator = Breaks(2, "moving_average")
    trainer = make_trainer(estimator, jit=True)
    assert trainer.run(4)
    before = estimator.average.numpy()
    assert not trainer.run(5)
    assert int(trainer.step.numpy()) == 4
    assert estimator.average.numpy() == before != 0


def test_the_auxiliary_loss_is_the_squared_error_of_the_baseline_and_moves_it_alone():
    model, estimator = models.linear_gaussian(), score_function("learned", 5)
    psi = estimator.network.trainable_variables
    others = model.generative_variables + model.inference_variables
    with tf.GradientTape(persistent=True) as tape:
        particles = models.make_particles(model, estimator.draws)
        losses = estimator.losses(particles, 0)
    error = particles.log_weight - estimator.network(models.data()) + 4.0
    np.testing.assert_allclose(losses.auxiliary, tf.reduce_mean(error**2, axis=1), rtol=1e-4)
    assert all(g is None for g in tape.gradient(losses.auxiliary, [v.value for v in others]))
    assert all(g is not None for g in tape.gradient(losses.auxiliary, [v.value for v in psi]))
    for loss in losses[:2]:
        assert all(g is None for g in tape.gradient(loss, [v.value for v in psi]))


def test_a_learned_baseline_comes_to_predict_the_signal_of_each_datum():
    model, estimator = models.linear_gaussian(), ScoreFunction(5, "learned", hidden=[16])
    optimizers = iter([keras.optimizers.SGD(1e-12), keras.optimizers.SGD(1e-12), keras.optimizers.Adam(0.02)])
    trainer = make_trainer(estimator, model=model, optimizer=lambda: next(optimizers), jit=False, batch_size=30)
    x = trainer.batches.data.train.x
    exact = models.exact_elbos(model, x)
    trainer.run(400)
    rest = exact - np.ravel(estimator.network(x)) - estimator.average.numpy()
    assert rest.std() < 0.3 * exact.std()


def test_the_regularizers_of_a_baseline_join_its_loss():
    estimator = ScoreFunction(2, "learned", hidden=[4])
    trainer = make_trainer(estimator)
    index = trainer.batches.index(0)
    _, plain, _ = differentiate(trainer, index, 0)
    kernel = estimator.network.layers[-1].kernel
    kernel.regularizer = keras.regularizers.L2(7.0)
    _, losses, _ = differentiate(trainer, index, 0)
    penalty = 7.0 * float(tf.reduce_sum(kernel**2))
    assert float(losses.means["auxiliary"]) == pytest.approx(float(plain.means["auxiliary"]) + penalty, rel=1e-5)
    assert float(losses.means["inference"]) == pytest.approx(float(plain.means["inference"]), rel=1e-5)
