"""Networks as people write them train as under Keras's own `fit`: same data, same weights, step by step."""

import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

import vi
from tests.support.models import optimizers
from tests.support.runs import TINY, assert_same_run
from tests.support.training import trainer_of
from vi.data import Dataset
from vi.estimators import Reconstruction
from vi.likelihoods import Gaussian
from vi.models import LatentVariableModel
from vi.posteriors import Deterministic
from vi.priors import StandardNormal
from vi.runs import build

layers = keras.layers
EVENT, SIZE, LATENT, BATCH, STEPS = (5, 3), 15, 4, 8, 24


def dense(**options):
    return layers.Dense(8, activation="tanh", **options)


MIDDLE = {
    "batch normalization": lambda: [layers.Dense(8), layers.BatchNormalization(), layers.ReLU()],
    "group normalization": lambda: [layers.Dense(8), layers.GroupNormalization(4), layers.ReLU()],
    "spectral normalization": lambda: [layers.SpectralNormalization(layers.Dense(8))],
    "a kernel regularizer": lambda: [dense(kernel_regularizer=keras.regularizers.L2(0.05))],
    "an activity regularizer": lambda: [dense(activity_regularizer=keras.regularizers.L2(0.05))],
    "recurrence": lambda: [layers.Reshape((LATENT, 1)), layers.GRU(8)],
}


def make_networks(middle):
    encoder = keras.Sequential([keras.Input(EVENT), layers.GRU(8)])
    output = [layers.Dense(SIZE), layers.Reshape(EVENT)]
    return encoder, keras.Sequential([keras.Input((LATENT,)), *middle(), *output])


def make_model(middle):
    """A plain autoencoder, whose loss is the mean squared error plus a constant."""
    keras.utils.set_random_seed(0)
    encoder, decoder = make_networks(middle)
    likelihood = Gaussian(EVENT, sd=float(np.sqrt(SIZE / 2)))
    return LatentVariableModel(encoder, Deterministic(LATENT), decoder, likelihood, StandardNormal(LATENT))


def same_in_keras(model, middle):
    """The same autoencoder as a Keras model, with the same weights."""
    encoder, decoder = make_networks(middle)
    head = layers.Dense(LATENT)
    head.build(encoder.output_shape)
    ours, theirs = (model.encoder, model.posterior.head, model.decoder), (encoder, head, decoder)
    for one, other in zip(ours, theirs, strict=True):
        other.set_weights(one.get_weights())
    return keras.Sequential([keras.Input(EVENT), *theirs])


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    "kind", [k if k.startswith(("batch", "spec")) else pytest.param(k, marks=pytest.mark.slow) for k in MIDDLE]
)
def test_a_network_trains_as_under_keras(kind):
    x = np.random.default_rng(0).standard_normal((40, *EVENT))
    model = make_model(MIDDLE[kind])
    plain = same_in_keras(model, MIDDLE[kind])
    data = Dataset({"x_train": x}, "x", validation=8)
    trainer = trainer_of(model, Reconstruction(), data, optimizers(0.01), batch_size=BATCH, jit=False)
    batches = [data.train.x[trainer.batches.index(step).numpy()] for step in range(STEPS)]
    assert trainer.run(STEPS)
    plain.compile(keras.optimizers.Adam(0.01), loss="mse")
    ordered = tf.data.Dataset.from_tensor_slices((np.stack(batches), np.stack(batches)))
    plain.fit(ordered, shuffle=False, verbose=0)
    found = [*model.encoder.get_weights(), *model.posterior.head.get_weights(), *model.decoder.get_weights()]
    for variable, ours, theirs in zip(plain.weights, found, plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9, err_msg=variable.path)
    np.testing.assert_allclose(model.reconstruct(x[:5]), plain.predict(x[:5], verbose=0), rtol=1e-6, atol=1e-9)


MINE = """
    import keras
    from keras import layers

    MIDDLE = {
        "batch": lambda: layers.BatchNormalization(),
        "dropout": lambda: layers.Dropout(0.3),
        "group": lambda: layers.GroupNormalization(4),
        "noise": lambda: layers.GaussianNoise(0.2),
        "spectral": lambda: layers.SpectralNormalization(layers.Dense(8)),
        "regularizer": lambda: layers.Dense(8, kernel_regularizer="l2"),
    }

    def encoder(event_shape, recurrent=False):
        rows = [layers.Reshape((event_shape[0], -1)), layers.GRU(8)]
        flat = [layers.Flatten(), layers.Dense(8)]
        return keras.Sequential([keras.Input(event_shape), *(rows if recurrent else flat)])

    def decoder(latent_dim, outputs, middle):
        body = [layers.Dense(8, activation="relu"), MIDDLE[middle]()]
        output = [layers.Dense(64, name="output"), layers.Reshape(outputs)]
        return keras.Sequential([keras.Input((latent_dim,)), *body, *output])
"""
RUNS = {
    **{kind: [f"decoder.middle={kind}"] for kind in ("batch", "dropout", "group", "noise", "spectral", "regularizer")},
    "recurrent": ["decoder.middle=batch", "encoder=my_networks.encoder", "encoder.recurrent=true"],
}


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("kind", RUNS)
def test_a_run_with_such_a_network_is_resumed_and_loaded(kind, tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(textwrap.dedent(MINE))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    overrides = [*TINY, "decoder=my_networks.decoder", *RUNS[kind], "optimizer.learning_rate=0.01"]
    whole = vi.train([*overrides, "trainer.epochs=3"], directory="whole")
    vi.train([*overrides, "trainer.epochs=1"], directory="parts")
    vi.train(["resume=parts", "trainer.epochs=3"])
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    model, x = whole.load(), np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    for call in (lambda: model.encode(x).mean(), lambda: model.generate(3), lambda: model.reconstruct(x)):
        np.testing.assert_array_equal(call(), call())
    for variable, initial in zip(model.variables, build.build(whole.config).model.variables, strict=True):
        if "seed_generator" not in variable.path:
            assert not np.array_equal(variable, initial), variable.path
