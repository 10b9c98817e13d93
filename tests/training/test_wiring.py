"""Every setting arrives where it belongs: seeds, noise, weights, β, intervals, and the data of a score."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import models
from tests.support.runs import TINY
from tests.support.training import make_trainer, trainer_of, weights
from vi import networks, random
from vi.data import Dataset
from vi.diagnostics.noise import GradientNoise
from vi.estimators import IWAE, AnalyticKL, MonteCarloKL
from vi.evaluation import scores
from vi.evaluation.evaluator import Evaluator
from vi.likelihoods import Bernoulli, Gaussian
from vi.models import LatentVariableModel
from vi.particles import Draws
from vi.posteriors import BinaryConcrete, LocationScale
from vi.priors import Bernoulli as Bits
from vi.runs import build
from vi.runs.training import _validate
from vi.runs.training import make_trainer as make_trainer_of
from vi.settings import compose

SMALL = ["encoder.hidden=[4]", "decoder.hidden=[4]", "trainer.batch_size=20", "optimizer=sgd"]
STEP = tf.constant(0, tf.int64)


def trainer_with(*overrides):
    """The trainer of a config."""
    config = compose.resolve(*compose.compose([*TINY, *SMALL, *overrides]))
    return make_trainer_of(build.build(config), config)


def row_after(steps, *overrides):
    """The metrics of the first steps of a training, and its weights."""
    trainer = trainer_with(*overrides)
    assert trainer.run(steps)
    return trainer.averages(), weights(trainer)


@pytest.fixture(scope="module")
def default():
    return row_after(3)


DIFFERENT = {
    "seed=1": ("train/bound", "weights"),
    "trainer.beta=0.5": ("weights",),
    "warmup=linear": ("weights",),
    "trainer.update_every.generative=2": ("weights",),
    "trainer.update_every.inference=3": ("weights",),
    "trainer.batch_size=10": ("train/bound", "weights"),
    "optimizer.learning_rate=0.02": ("weights",),
    "optimizer.inference.learning_rate=0.02": ("weights",),
    "optimizer.global_clipnorm=0.1": ("weights",),
    "estimator.samples=3": ("train/bound", "weights"),
    "estimator=monte_carlo_kl": ("weights",),
    "data.binarization=none": ("train/bound", "weights"),
    "data.seed=1": ("train/bound", "weights"),
    "model.output_bias=data_mean": ("train/bound", "weights"),
    "encoder.activation=tanh": ("train/bound", "weights"),
    "trainer.matmul=bfloat16": ("train/bound", "weights"),
}
"""Settings that reach the trainer, and what differs from the default after three steps."""
ALIKE = [
    "trainer.epochs=7",
    "trainer.evaluate_every=2",
    "trainer.patience=3",
    "trainer.validation_samples=7",
    "name=other",
]


@pytest.mark.parametrize("override", DIFFERENT)
def test_a_setting_changes_what_it_is_for(override, default):
    row, found = row_after(3, override)
    for name in DIFFERENT[override]:
        ours, theirs = (found, default[1]) if name == "weights" else (row[name], default[0][name])
        assert not np.array_equal(ours, theirs), name


def test_other_settings_change_no_step(default):
    row, found = row_after(3, *ALIKE)
    np.testing.assert_array_equal(found, default[1])
    assert row == default[0]


def test_the_trainer_of_a_config_has_its_seed_its_beta_and_its_noise():
    trainer = trainer_with("seed=5", "trainer.beta=0.25", "trainer.noise=fixed")
    assert trainer.seed == 5
    assert float(trainer.beta(7)) == 0.25
    index = tf.constant([3, 1])
    noise = [trainer.batches.noise(index, tf.constant(step, tf.int64)).posterior.numpy() for step in (0, 9)]
    np.testing.assert_array_equal(*noise)


@pytest.mark.parametrize(("asked", "gpu", "taken"), [("tf32", True, "tf32"), ("tf32", False, "float32")])
def test_tf32_needs_a_gpu_that_has_it_and_the_log_says_so(asked, gpu, taken, monkeypatch, caplog):
    monkeypatch.setattr("vi.runs.training.has_tf32", lambda: gpu)
    with caplog.at_level("INFO", "vi.runs.training"):
        assert trainer_with(f"trainer.matmul={asked}", "trainer.jit=auto").matmul == taken
    said = [message for message in caplog.messages if "multipl" in message]
    assert len(said) == 1
    assert ("no GPU here has TF32" in said[0]) is not gpu
    assert ("train/* is computed with these products" in said[0]) is gpu


def test_a_group_with_an_interval_of_two_moves_in_every_second_step_alone():
    trainer = trainer_with("trainer.update_every.generative=2")
    changes = []
    for _ in range(4):
        before = [v.numpy() for v in trainer.variables["generative"]]
        assert trainer.run(1)
        changes.append(
            any((a != b.numpy()).any() for a, b in zip(before, trainer.variables["generative"], strict=True))
        )
    assert changes in ([True, False, True, False], [False, True, False, True])


def test_initial_weights_follow_the_seed_of_the_run():
    first, same, other = (weights(trainer_with(f"seed={seed}", "data.seed=0")) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_training_noise_follows_the_seed_of_the_run_and_not_of_the_data():
    index = tf.range(5)
    noise = {
        (seed, of_data): trainer_with(f"seed={seed}", f"data.seed={of_data}")
        .batches.noise(index, STEP)
        .posterior.numpy()
        for seed, of_data in ((0, 0), (1, 0), (0, 1))
    }
    assert (noise[0, 0] != noise[1, 0]).any()
    np.testing.assert_array_equal(noise[0, 0], noise[0, 1])


def test_dynamic_binarization_and_fresh_noise_are_new_at_every_step():
    batches, index = trainer_with().batches, tf.range(20)
    first, second = (batches.batch(index, tf.constant(step, tf.int64)).x.numpy() for step in (0, 1))
    assert (first != second).any()
    np.testing.assert_array_equal(first, batches.batch(index, STEP).x)
    first, second = (batches.noise(index, tf.constant(step, tf.int64)).posterior.numpy() for step in (0, 1))
    assert (first != second).any()


def test_weights_are_those_of_the_data_in_the_batch():
    x = np.random.default_rng(0).standard_normal((30, models.D)).astype("float32")
    weight, kl_weight = np.arange(30.0), 100 + np.arange(30.0)
    data = Dataset({"x_train": x, "weight_train": weight, "kl_weight_train": kl_weight}, "x", validation=5)
    trainer = make_trainer(data=data)
    index = tf.constant([7, 3, 19])
    batch = trainer.batches.batch(index, STEP)
    sources = trainer.batches.sources(index.numpy())
    np.testing.assert_array_equal(batch.weight, weight[sources])
    np.testing.assert_array_equal(batch.kl_weight, kl_weight[sources])
    np.testing.assert_array_equal(batch.x, x[sources])


def test_the_logged_terms_have_the_signs_of_their_names():
    trainer = make_trainer(AnalyticKL(2))
    index = trainer.batches.index(0)
    particles = trainer.model.particles(trainer.batches.batch(index, STEP), trainer.batches.noise(index, STEP))
    assert trainer.run(1)
    row = trainer.averages()
    assert row["train/kl"] == pytest.approx(float(tf.reduce_mean(particles.kl())), rel=1e-5)
    assert row["train/kl"] > 0
    assert row["train/nll"] == pytest.approx(-float(tf.reduce_mean(particles.log_likelihood)), rel=1e-5)
    assert row["train/elbo"] == pytest.approx(-row["train/nll"] - row["train/kl"], rel=1e-6)


def test_a_kl_without_closed_form_is_logged_from_samples():
    trainer = make_trainer(MonteCarloKL(2), model=models.linear_gaussian(LocationScale))
    index = trainer.batches.index(0)
    particles = trainer.model.particles(trainer.batches.batch(index, STEP), trainer.batches.noise(index, STEP))
    assert trainer.run(1)
    expected = tf.reduce_mean(particles.log_posterior - particles.log_prior)
    assert trainer.averages()["train/kl"] == pytest.approx(float(expected), rel=1e-4)


def test_beta_is_applied_once():
    model = models.linear_gaussian()
    noise = model.noise(Draws(3), tf.range(models.B), random.seed(0, "train"), 0)
    particles = model.particles(tf.constant(models.data()), noise, 0.25)
    once = particles.tempered()
    expected = particles.log_likelihood + 0.25 * (particles.log_prior - particles.log_posterior)
    np.testing.assert_allclose(once.log_weight, expected, rtol=1e-5)
    np.testing.assert_array_equal(once.tempered().log_weight, once.log_weight)
    assert float(tf.convert_to_tensor(once.kl_weight)) == 1.0


def test_the_samples_of_the_kl_are_its_own():
    noise = models.linear_gaussian().noise(Draws(4, 4, 4), tf.range(models.B), random.seed(0, "train"), 0)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (noise[one].numpy() != noise[other].numpy()).all()


def test_checkpoints_hold_the_variables_that_are_not_trained():
    plain = models.linear_gaussian()
    encoder = keras.Sequential([keras.Input((models.D,)), keras.layers.BatchNormalization()])
    model = LatentVariableModel(encoder, plain.posterior, plain.decoder, plain.likelihood, plain.prior)
    trainer = trainer_of(model, MonteCarloKL(1), models.dataset(), models.optimizers(), batch_size=7, jit=False)
    saved = {id(v) for group in trainer.state.values() for v in group}
    assert {id(v) for v in encoder.non_trainable_variables} <= saved


def test_groups_of_free_bits_are_of_consecutive_latents():
    estimator = AnalyticKL(free_bits=0.1, groups=2)
    per_latent = tf.constant([[1.0, 2.0, 30.0, 40.0]])
    estimator.divergence_per_dimension = lambda particles: per_latent
    np.testing.assert_array_equal(estimator._divergence_per_group(None), [[3.0, 70.0]])


def test_what_is_diagnosed_is_relaxed_as_in_training():
    keras.utils.set_random_seed(0)
    model = LatentVariableModel(
        networks.mlp_encoder((3,), [4]),
        BinaryConcrete(2),
        networks.mlp_decoder(2, (3,), [4]),
        Bernoulli((3,)),
        Bits(2),
    )
    seen = []

    def losses(particles, step):
        seen.append(particles.posterior.relaxed)
        return MonteCarloKL(2).checked_losses(particles, step)

    noise = GradientNoise(model, MonteCarloKL(2), tf.zeros([4, 3]), jit=False, of=losses)
    noise.gradients(tf.constant(0), STEP, tf.constant(1.0))
    assert seen == [True]


def test_probes_are_fitted_on_training_data_and_judged_on_the_split(monkeypatch):
    rng = np.random.default_rng(0)
    arrays = {f"x_{part}": rng.standard_normal((size, models.D)) for part, size in (("train", 50), ("test", 20))}
    labels = {"y_train": np.arange(50) % 3, "y_test": np.arange(20) % 3}
    data = Dataset({**arrays, **labels}, "x", validation=10)
    calls = {}
    for name in ("knn_accuracy", "logistic_accuracy"):
        monkeypatch.setattr(scores, name, lambda *given, name=name: calls.__setitem__(name, given) or 0.5)
    evaluator = Evaluator(models.linear_gaussian(), data, jit=False)
    chosen = data.test
    scores._probes(evaluator, data, chosen, evaluator.means(chosen), lambda: None)
    for fitted, fitted_labels, judged, judged_labels in calls.values():
        np.testing.assert_array_equal(fitted, evaluator.means(data.train))
        np.testing.assert_array_equal(fitted_labels, data.train.y)
        np.testing.assert_array_equal(judged, evaluator.means(data.test))
        np.testing.assert_array_equal(judged_labels, data.test.y)
    assert len(calls) == 2


def test_validation_is_of_the_validation_data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, models.D))
    data = Dataset({"x_train": x, "x_validation": 3 + x[:20]}, "x")
    evaluator = Evaluator(models.linear_gaussian(), data, jit=False)
    found = _validate(evaluator, data.validation, 2, None)
    alone = Dataset({"x_train": 3 + x[:20], "x_validation": 3 + x[:20]}, "x")
    expected = _validate(Evaluator(models.linear_gaussian(), alone, jit=False), alone.validation, 2, None)
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_raw_scale_of_an_output_does_not_begin_at_the_mean_of_the_data():
    output = Gaussian((4,), scale="output", sd=0.3).initial_output(np.full(4, 7.0))
    np.testing.assert_array_equal(output, [7.0] * 4 + [0.0] * 4)


def test_the_mean_of_static_bits_is_a_probability():
    x = np.random.default_rng(0).integers(0, 256, (200, 3, 2), dtype=np.uint8)
    data = Dataset({"x_train": x}, "grey", validation=20, scale=255, binarization="static")
    np.testing.assert_allclose(data.mean, data.train.x.mean(0), rtol=1e-12)
    assert abs(data.mean.mean() - 0.5) < 0.1


def test_an_estimator_sees_the_weight_of_the_step():
    model = models.linear_gaussian()
    options = {"batch_size": 7, "jit": False, "beta": lambda step: 3.0 + tf.cast(step, "float32")}
    trainer = trainer_of(model, IWAE(2), models.dataset(), models.optimizers(), **options)
    index = trainer.batches.index(0)
    for step in (0, 2):
        number = tf.constant(step, tf.int64)
        batch, noise = trainer.batches.batch(index, number), trainer.batches.noise(index, number)
        particles, *_ = trainer.train_step.differentiate(batch, noise, number)
        assert float(tf.convert_to_tensor(particles.kl_weight)) == 3.0 + step
