"""Layers that differ in training: dropout, batch normalization, regularizers, augmentation; exact and resumable."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import models
from tests.support.training import trainer_of, weights
from vi import networks, random
from vi.errors import ConfigError
from vi.estimators import AnalyticKL, MonteCarloKL, WakeSleep
from vi.likelihoods import Gaussian
from vi.models import LatentVariableModel
from vi.particles import Draws
from vi.posteriors import DiagonalGaussian
from vi.priors import StandardNormal
from vi.training.checkpoints import Checkpoints

layers = keras.layers


def make_model(*middle, regularizer=None):
    """A model whose two networks have these layers in their middle."""
    keras.utils.set_random_seed(0)
    dense = {"activation": "tanh", "kernel_regularizer": regularizer}
    encoder = keras.Sequential([keras.Input((models.D,)), layers.Dense(8, **dense), *(layer() for layer in middle)])
    decoder = keras.Sequential(
        [keras.Input((models.L,)), layers.Dense(8, **dense), *(layer() for layer in middle), layers.Dense(models.D)]
    )
    return LatentVariableModel(
        encoder, DiagonalGaussian(models.L), decoder, Gaussian((models.D,)), StandardNormal(models.L)
    )


def make_trainer(model, estimator=None, jit=True):
    return trainer_of(model, estimator or MonteCarloKL(2), models.dataset(), models.optimizers(), batch_size=7, jit=jit)


def everything(trainer):
    """All variables of the model, moving averages too, as one vector."""
    return models.flatten(trainer.model.variables)


def log_likelihood(model, step, noise_of=0):
    noise = model.noise(Draws(2), tf.range(4), random.seed(0, "train"), 0)
    noise = noise._replace(layers=model.noise(Draws(2), tf.range(4), random.seed(0, "train"), noise_of).layers)
    return model.particles(tf.constant(models.data()), noise, 1.0, step).log_likelihood.numpy()


RANDOM = {
    "dropout": lambda: layers.Dropout(0.5),
    "gaussian noise": lambda: layers.GaussianNoise(0.3),
    "alpha dropout": lambda: layers.AlphaDropout(0.3),
}
STEP = tf.constant(0, tf.int64)


@pytest.mark.parametrize("layer", RANDOM.values(), ids=RANDOM)
def test_random_layers_are_a_function_of_the_noise_in_training_and_off_outside(layer):
    model = make_model(layer)
    np.testing.assert_array_equal(log_likelihood(model, STEP), log_likelihood(model, STEP))
    assert (log_likelihood(model, STEP) != log_likelihood(model, STEP, noise_of=1)).any()
    assert (log_likelihood(model, STEP) != log_likelihood(model, None)).any()
    np.testing.assert_array_equal(log_likelihood(model, None), log_likelihood(model, None, noise_of=1))
    first, second = (model.encode(tf.constant(models.data())).mean().numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_a_run_that_is_split_or_resumed_has_the_same_bits(tmp_path):
    layer = (RANDOM["dropout"], layers.BatchNormalization, RANDOM["gaussian noise"])
    whole = make_trainer(make_model(*layer))
    before = everything(whole)
    assert whole.run(20)
    split = make_trainer(make_model(*layer))
    np.testing.assert_array_equal(everything(split), before)  # making a trainer changes nothing
    for steps in (1, 6):
        assert split.run(steps)
    Checkpoints(tmp_path, split.state).save(7, {"best_step": 7})
    resumed = make_trainer(make_model(*layer))
    Checkpoints(tmp_path, resumed.state).restore("last")
    assert resumed.run(13)
    np.testing.assert_array_equal(everything(resumed), everything(whole))


@pytest.mark.parametrize("jit", [True, False])
def test_batch_normalization_keeps_averages_of_the_data_that_it_has_seen(jit):
    model = make_model(layers.BatchNormalization)
    trainer = make_trainer(model, jit=jit)
    assert trainer.run(1)
    index = trainer.batches.index(0)
    seen = model.encoder.layers[0](trainer.batches.batch(index, STEP).x)  # weights have moved by one step of Adam
    normalization = model.encoder.layers[1]
    np.testing.assert_allclose(normalization.moving_mean, 0.01 * tf.reduce_mean(seen, 0), atol=1e-3)
    assert trainer.run(500)
    features = model.encoder.layers[0](tf.constant(models.dataset().train.x))
    np.testing.assert_allclose(normalization.moving_mean, tf.reduce_mean(features, 0), atol=0.1)


def test_dreams_leave_the_moving_averages_to_the_data():
    with_dreams, without = (make_trainer(make_model(layers.BatchNormalization), e) for e in (WakeSleep(2), None))
    noise = with_dreams.batches.some(4)[1]._replace(dream=None)
    batch = with_dreams.batches.some(4)[0]
    dreaming = with_dreams.model.particles(*with_dreams.batches.some(4), 1.0, STEP).updates
    awake = without.model.particles(batch, noise, 1.0, STEP).updates
    assert len(dreaming) == len(awake) == 4
    for (_, one), (_, other) in zip(dreaming, awake, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("estimator", [AnalyticKL(2), WakeSleep(2)], ids=["one loss", "two losses"])
def test_regularizers_join_the_loss_of_their_group(estimator):
    plain, regular = (make_trainer(make_model(regularizer=r), estimator) for r in (None, keras.regularizers.L2(0.1)))
    found = [t.train_step.differentiate(*t.batches.some(5), STEP) for t in (plain, regular)]
    penalty = {
        group: sum(0.1 * np.sum(v.numpy() ** 2) for v in variables if v.regularizer is not None)
        for group, variables in regular.variables.items()
    }
    assert all(penalty.values())
    shared = isinstance(estimator, AnalyticKL)
    for group, variables in regular.variables.items():
        extra = sum(penalty.values()) if shared else penalty[group]
        assert float(found[1][1].means[group] - found[0][1].means[group]) == pytest.approx(extra, rel=1e-4)
        for variable, one, other in zip(variables, found[0][2][group], found[1][2][group], strict=True):
            slope = 0.2 * variable.numpy() if variable.regularizer is not None else 0
            np.testing.assert_allclose(other - one, slope + tf.zeros_like(one), atol=1e-4)
    outside = regular.model.particles(*regular.batches.some(5))
    assert outside.penalties == {}


class Counting(layers.Layer):
    """Adds a loss of its own, and keeps a variable that no layer holds."""

    hidden = None

    def call(self, x, training=False):
        self.add_loss(0.5 * tf.reduce_mean(x**2))
        if self.hidden is not None:
            self.hidden.assign(self.hidden + 1.0)
        return x


def test_a_loss_that_a_layer_adds_joins_the_loss_of_its_group():
    model = make_model(Counting)
    noise = model.noise(Draws(2), tf.range(4), random.seed(0, "train"), 0)
    particles = model.particles(tf.constant(models.data()), noise, 1.0, STEP)
    features = model.encoder.layers[0](tf.constant(models.data()))
    assert float(particles.penalties["inference"]) == pytest.approx(0.5 * float(tf.reduce_mean(features**2)), rel=1e-5)
    assert set(particles.penalties) == {"generative", "inference"}


def test_a_layer_that_keeps_a_variable_of_no_model_is_refused(monkeypatch):
    model = make_model(Counting)
    monkeypatch.setattr(Counting, "hidden", keras.Variable(0.0, trainable=False, name="count"))
    with pytest.raises(ConfigError, match="a layer changes count, which is not a variable of the model"):
        make_trainer(model)


class Late(DiagonalGaussian):
    """Makes a weight on its first call in training."""

    def __init__(self, latent_dim, tracked):
        super().__init__(latent_dim)
        self.tracked, self.late = tracked, None

    def __call__(self, features, step=None):
        if step is not None and self.late is None:
            late = self.add_weight(shape=(), initializer="ones") if self.tracked else tf.Variable(1.0)
            self.late = late if self.tracked else (lambda: late)
        scale = 1.0 if self.late is None else self.late if self.tracked else self.late()
        return super().__call__(scale * features, step)


@pytest.mark.parametrize("tracked", [True, False])
def test_weights_that_no_group_trains_are_refused(tracked):
    model = models.linear_gaussian(functools.partial(Late, tracked=tracked))
    with pytest.raises(ConfigError, match=r"the weights .* would never be trained"):
        make_trainer(model)


@pytest.mark.parametrize("option", [{"use_ema": True}, {"loss_scale_factor": 2.0}])
def test_options_of_optimizers_that_would_change_numbers_in_silence_are_refused(option):
    optimizers = {group: keras.optimizers.Adam(**option) for group in ("generative", "inference")}
    with pytest.raises(ConfigError, match=rf"optimizer\.{next(iter(option))}: must be left out"):
        trainer_of(models.linear_gaussian(), AnalyticKL(), models.dataset(), optimizers, batch_size=5)


def test_a_network_without_such_layers_has_neither_updates_nor_penalties():
    model = models.linear_gaussian()
    noise = model.noise(Draws(2), tf.range(4), random.seed(0, "train"), 0)
    particles = model.particles(tf.constant(models.data()), noise, 1.0, STEP)
    assert (noise.layers, particles.updates, particles.penalties, particles.aliases) == (None, (), {}, ())
    assert weights(make_trainer(model)).size == networks.mlp_encoder((models.D,), []).count_params() + sum(
        v.numpy().size for part in (model.posterior, model.decoder) for v in part.trainable_variables
    )


class PenalizedPrior(StandardNormal):
    """Reads a layer that adds a loss."""

    def given(self, context, encode):
        Counting()(tf.ones([1]))
        return self


def test_a_loss_that_the_prior_adds_belongs_to_theta():
    model = models.linear_gaussian()
    model.prior = PenalizedPrior(models.L)
    noise = model.noise(Draws(2), tf.range(4), random.seed(0, "train"), 0)
    particles = model.particles(tf.constant(models.data()), noise, 1.0, STEP)
    assert {group: float(loss) for group, loss in particles.penalties.items()} == {"generative": 0.5}
