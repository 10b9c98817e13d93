"""Standardized data: encoder and likelihood see them; everything that goes in and comes out is in the user's units."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import vi
from tests.support.runs import TINY, leave_no_pictures
from vi import random
from vi.data.dataset import Dataset
from vi.errors import ConfigError
from vi.likelihoods import Gaussian, Standardization
from vi.models import LatentVariableModel
from vi.particles import Draws
from vi.posteriors import DiagonalGaussian
from vi.priors import StandardNormal
from vi.runs.adapt import adapt, standardization

SCALES = np.array([0.01, 1.0, 50.0, 1e4])
SHIFTS = np.array([3.0, -2.0, 0.0, 5e4])


def table(size=60):
    """Columns with scales from 0.01 to 10,000."""
    return SHIFTS + SCALES * np.random.default_rng(0).standard_normal((size, 4))


def make_model(event_shape, standardized=True):
    keras.utils.set_random_seed(0)
    size = int(np.prod(event_shape))
    likelihood = Gaussian(event_shape, scale="per_dimension", sd=0.5)
    return LatentVariableModel(
        encoder=keras.Sequential([keras.Input(event_shape), keras.layers.Flatten()]),
        posterior=DiagonalGaussian(2),
        decoder=keras.Sequential([keras.Input((2,)), keras.layers.Dense(size), keras.layers.Reshape(event_shape)]),
        likelihood=likelihood,
        prior=StandardNormal(2),
        standardization=standardization(likelihood) if standardized else None,
    )


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("event_shape", [(4,), (2, 2, 1)])
def test_it_is_the_plain_model_on_standardized_data_with_the_jacobian(event_shape):
    x = table().reshape(60, *event_shape)
    plain, model = make_model(event_shape, standardized=False), make_model(event_shape)
    adapt(model, Dataset({"x_train": x}, "table", validation=20, standardize=True), output_bias=False)
    train = Dataset({"x_train": x}, "table", validation=20).train.x
    columns = len(event_shape) == 1
    shift, scale = (train.mean(0), train.std(0)) if columns else (train.mean(), train.std())
    log_jacobian = np.sum(np.log(scale)) if columns else 4 * np.log(scale)
    noise = plain.noise(Draws(3), tf.range(60), random.seed(0, "train"), 0)
    ours, theirs = model.particles(tf.constant(x), noise), plain.particles(tf.constant((x - shift) / scale), noise)
    np.testing.assert_allclose(ours.z, theirs.z, rtol=1e-12)
    np.testing.assert_allclose(ours.log_weight, theirs.log_weight - log_jacobian, rtol=1e-10)
    for name in ("mean", "mode"):
        value, standard = (getattr(each.decode(ours.z), name)() for each in (model, plain))
        np.testing.assert_allclose(value, shift + scale * standard, rtol=1e-12)
    uniform = random.normal([60, 3, *event_shape], random.seed(0, "people"), "float64")
    value, standard = (each.decode(ours.z).sample(uniform) for each in (model, plain))
    np.testing.assert_allclose(value, shift + scale * standard, rtol=1e-12)
    p = model.decode(ours.z)
    x = tf.constant(x)[:, None]
    np.testing.assert_allclose(p.distribution.log_prob(x), p.log_prob(x), rtol=1e-10)
    np.testing.assert_allclose(p.distribution.mean(), p.mean(), rtol=1e-12)


def test_a_learned_sd_and_an_output_bias_start_in_standardized_units():
    """The sd starts at the residual of the mean of the untrained model, which is the decoder at z = 0."""
    data = Dataset({"x_train": table(400)}, "table", validation=20, standardize=True)
    likelihood = Gaussian((4,), scale="per_dimension")
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, name="output")])
    encoder, units = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), standardization(likelihood)
    model = LatentVariableModel(encoder, DiagonalGaussian(2), decoder, likelihood, StandardNormal(2), None, units)
    z = tf.zeros([1, 1, 2])
    for bias in (False, True):
        decoder.layers[-1].bias.assign([0.0, 3.0, -2.0, 1.0])
        adapt(model, data, output_bias=bias)
        mean, sd = (np.ravel(getattr(model.decode(z).distribution, name)()) for name in ("mean", "stddev"))
        shift = 0 if bias else np.array([0.0, 3.0, -2.0, 1.0])
        np.testing.assert_allclose((mean - data.mean) / data.sd, shift, atol=0.01)
        np.testing.assert_allclose(sd / data.sd, np.sqrt(1 + np.square(shift) * np.ones(4)), rtol=0.01)


def test_a_constant_column_keeps_its_unit():
    x = table()
    x[:, 1] = 7.0
    layer = Standardization((4,))
    data = Dataset({"x_train": x}, "table", standardize=True)
    layer.adapt(data.mean, data.sd)
    np.testing.assert_allclose(layer.shift, data.train.x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.scale, np.where(np.arange(4) == 1, 1.0, data.train.x.std(0)), rtol=1e-6)


def test_the_sd_of_the_data_is_the_one_of_numpy_in_any_blocks(monkeypatch):
    x = np.random.default_rng(0).integers(0, 256, (101, 3, 2), dtype=np.uint8)
    data = Dataset({"x_train": x}, "grey", validation=1, scale=255)
    expected = (data.train.x / 255).std(0)
    for block in (1, 70, 10**6):
        monkeypatch.setattr("vi.data.scales.BLOCK", block)
        data.__dict__.pop("sd", None)
        np.testing.assert_allclose(data.sd, expected, rtol=1e-12)


def test_a_table_of_mixed_scales_trains_and_is_kept_with_the_model(tmp_path, monkeypatch):
    leave_no_pictures(monkeypatch)
    x = table(400)
    np.savez(tmp_path / "table.npz", x_train=x)
    own = ["data=arrays", f"data.path={tmp_path / 'table.npz'}", "data.standardize=true", "likelihood=gaussian"]
    small = ["encoder.hidden=[8]", "decoder.hidden=[8]", "likelihood.scale=per_dimension", "trainer.batch_size=20"]
    run = vi.train([*TINY, *own, *small, "trainer.epochs=5", "optimizer.learning_rate=0.01"], tmp_path / "run")
    assert run.config["model"]["standardized"] is True
    model = run.load()
    entropy = 0.5 * np.log(2 * np.pi * np.e) * 4 + np.log(SCALES).sum()
    assert abs(run.summary["final"]["validation/elbo"] + entropy) < 2.0  # nats of the user's units
    generated = model.generate(200).numpy()
    assert (np.abs(generated.mean(0) - SHIFTS) < 0.5 * SCALES).all()
    features = model.encode(tf.constant(x, "float32")).mean().numpy()
    assert np.isfinite(features).all()
    assert np.abs(features).max() < 10


def test_what_cannot_be_standardized_is_refused():
    with pytest.raises(ConfigError, match=r"standardize=True: needs real data, so binarization=none, not dynamic\."):
        Dataset({"x_train": np.zeros((4, 2))}, "bits", binarization="dynamic", standardize=True)
    for overrides, sentence in {
        (): "data.standardize=true: needs a likelihood of real data, such as gaussian, not Bernoulli.",
        ("likelihood=gaussian", "likelihood.mean=sigmoid"): "data.standardize=true: standardized data lie outside",
    }.items():
        with pytest.raises(ConfigError, match=sentence.replace(".", r"\.")):
            vi.train([*TINY, "data.binarization=none", "data.standardize=true", *overrides])
