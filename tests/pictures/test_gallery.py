"""Which pictures a model gets, and what they are drawn from."""

import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from tests.support.pictures import banana, parts_to_draw, target_to_draw
from vi import posteriors, priors
from vi.data import Dataset
from vi.likelihoods import Gaussian
from vi.pictures import diagrams, gallery, latent, observed
from vi.posteriors import Deterministic

CURVES = "epoch,train/elbo,validation/elbo\n1,-9,-8\n2,-8,-7\n"
IMAGES = {"latent_space", "reconstructions", "samples", "modes", "prior_samples", "curves"}
TABLES = IMAGES - {"modes"}
FLAT = {"manifold", "latent_space_and_manifold"}


def draw(parts, folder: Path, check=lambda: None) -> dict[str, Path]:
    (folder / "metrics.csv").write_text(CURVES)
    data = parts.data
    made = gallery.draw_pictures(parts.model, data, data.validation, folder / "metrics.csv", folder / "figures", check)
    return dict(made)


@pytest.fixture
def given(monkeypatch) -> dict[str, tuple]:
    """What each picture is drawn from; nothing is drawn."""
    arguments: dict[str, tuple] = {}
    for name in (*IMAGES, *FLAT, "density"):
        module = next(each for each in (gallery, latent, observed) if hasattr(each, name))
        monkeypatch.setattr(module, name, lambda path, *a, name=name: arguments.update({name: a}))
    return arguments


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        (lambda: parts_to_draw((6, 6, 1), 2), IMAGES | FLAT),
        (lambda: parts_to_draw((6, 6, 1), 2, size=8), IMAGES | FLAT),  # two data to validate on
        (lambda: parts_to_draw((6, 6, 1), 5), IMAGES),
        (lambda: parts_to_draw((6, 6, 1), 2, posterior=posteriors.Bernoulli, prior=priors.Bernoulli), IMAGES),
        (lambda: parts_to_draw((6, 6), 5, Gaussian), TABLES),
        (lambda: parts_to_draw((6, 6, 3), 2, Gaussian), TABLES | FLAT),
        (lambda: parts_to_draw((4,), 2), TABLES),
        (lambda: parts_to_draw((1,), 1, Gaussian), TABLES),
        (lambda: parts_to_draw((6, 6, 1), 2, posterior=Deterministic), IMAGES - {"samples", "prior_samples"}),
        (lambda: parts_to_draw((6, 6, 1), 2, prior=banana), IMAGES - {"prior_samples"}),
        (lambda: parts_to_draw((4,), 2, Gaussian, prior=banana), TABLES - {"prior_samples"}),
        (lambda: target_to_draw(2), {"density", "curves"}),
        (lambda: target_to_draw(3), {"curves"}),
    ],
    ids=[
        *["images", "two images", "five latents", "two bits", "grey levels", "colours", "binary table", "one feature"],
        *["no noise", "images without a sampler", "a table without a sampler", "target", "target of three dimensions"],
    ],
)
def test_a_model_gets_the_pictures_that_make_sense(tmp_path, caplog, given, parts, names):
    assert set(draw(parts(), tmp_path)) == set(given) == names
    assert not caplog.records


@pytest.mark.parametrize(
    "parts",
    [lambda: parts_to_draw((6, 6), 2, size=8), lambda: parts_to_draw((1,), 1, Gaussian), lambda: target_to_draw(2)],
)
def test_pictures_are_files_of_their_names(tmp_path, caplog, parts):
    for name, path in draw(parts(), tmp_path).items():
        assert path == tmp_path / "figures" / f"{name}.png"
        assert 1_000 < path.stat().st_size < 150_000
    assert not caplog.records


def test_the_manifold_is_decoded_at_quantiles_of_the_prior(tmp_path, given):
    parts = parts_to_draw((6, 6, 1), 2)
    draw(parts, tmp_path)
    (images,) = given["manifold"]
    z = norm.ppf(np.linspace(0.05, 0.95, 15))
    for row, column in [(0, 0), (0, 14), (3, 9), (14, 0)]:
        mean = parts.model.decode(tf.constant([[z[column], z[14 - row]]], tf.float32)).mean()
        np.testing.assert_allclose(images[15 * row + column], mean[0], atol=1e-5)
    means, labels, beside = given["latent_space_and_manifold"]
    assert beside is images
    assert given["latent_space"] == (means, labels)
    assert labels is parts.data.validation.y


def test_the_samples_are_25_reconstructions_of_the_first_datum(tmp_path, given):
    parts = parts_to_draw((6, 6, 1), 5)
    draw(parts, tmp_path)
    x, reconstructions, *_ = given["samples"]
    np.testing.assert_array_equal(x, given["reconstructions"][0][0])
    assert reconstructions.shape == (25, 6, 6, 1)
    assert len(np.unique(reconstructions, axis=0)) == 25
    at_the_mean = parts.model.decode(parts.model.encode(tf.constant(x[None])).mean()).mean().numpy()[0]
    spread = reconstructions.std(axis=0)
    assert np.all(np.abs(reconstructions.mean(axis=0) - at_the_mean) < 4 * spread / 5 + 0.05)


@pytest.mark.parametrize("named", [True, False])
def test_columns_of_mixed_scales_are_drawn_relative_to_the_sd_of_each_column(tmp_path, given, named):
    parts, unit = parts_to_draw((3,), 2, Gaussian), "(value − mean) / sd of the column"
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(90, 3)) * [0.01, 1, 1e4] + [5, 0, -1e5]).astype("float32")
    parts.data = Dataset({"x_train": x}, "table", validation=1 / 3)
    if named:
        parts.data.columns = ["width", "age", "income"]
    draw(parts, tmp_path)
    expected = [["1", "2", "3"], ["width", "age", "income"]][named]
    for name in ("reconstructions", "samples", "prior_samples"):
        assert given[name][-2:] == (expected, unit)
    mean, sd = parts.data.train.x.mean(0, np.float64), parts.data.train.x.std(0, dtype=np.float64)
    first = given["reconstructions"][0][0] * sd + mean
    np.testing.assert_allclose(first, parts.data.validation.x[0], rtol=1e-5)
    np.testing.assert_allclose(given["samples"][0], given["reconstructions"][0][0])
    assert np.abs(given["reconstructions"][0]).max() < 4


def test_columns_of_one_scale_without_names_keep_their_units(tmp_path, given):
    parts = parts_to_draw((4,), 2, Gaussian)
    draw(parts, tmp_path)
    assert given["reconstructions"][-2:] == (None, "value")
    assert set(np.unique(given["reconstructions"][0])) == {0, 1}


def test_modes_are_binary_and_follow_their_images(tmp_path, given):
    parts = parts_to_draw((6, 6, 1), 2)
    for variable in parts.model.posterior.scale_head.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    parts.model.posterior.scale_head.bias.assign([-30.0, -30.0])  # z is its mean
    draw(parts, tmp_path)
    x, from_posterior, from_prior = given["modes"]
    assert x.shape == from_posterior.shape == from_prior.shape == (25, 6, 6, 1)
    mean = parts.model.decode(parts.model.encode(tf.constant(x)).mean()).mean().numpy()
    np.testing.assert_array_equal(from_posterior, mean > 0.5)
    assert set(np.unique(from_prior)) == {0, 1}
    assert len(np.unique(from_prior, axis=0)) > 10


def test_a_prior_without_a_sampler_has_no_modes_of_its_own(tmp_path, given):
    draw(parts_to_draw((6, 6, 1), 2, prior=banana), tmp_path)
    assert given["modes"][2] is None


def test_the_density_is_the_priors_with_samples_of_the_posterior(tmp_path, given):
    parts = target_to_draw(2)
    draw(parts, tmp_path)
    log_density, z = given["density"]
    assert z.shape == (1000, 2)
    np.testing.assert_allclose(log_density(z), parts.model.prior.log_prob(z[None])[0], rtol=1e-6)
    q = parts.model.encode(tf.zeros([1, 1])).distribution
    np.testing.assert_allclose(z.mean(axis=0), q.mean()[0, 0], atol=4 * float(tf.reduce_max(q.stddev())) / 1000**0.5)


def test_a_picture_that_cannot_be_drawn_is_a_warning(tmp_path, monkeypatch, caplog, given):
    def fail(path, *arguments):
        raise ValueError("no ink")

    monkeypatch.setattr(observed, "prior_samples", fail)
    assert set(draw(parts_to_draw((4,), 2), tmp_path)) == TABLES - {"prior_samples"}
    assert "The picture prior_samples could not be drawn: ValueError: no ink" in caplog.text


def test_between_pictures_the_run_can_be_interrupted(tmp_path):
    def check():
        raise KeyboardInterrupt

    parts = parts_to_draw((4,), 2)
    with pytest.raises(KeyboardInterrupt):
        draw(parts, tmp_path, check)


def test_diagrams_are_drawn_of_encoder_decoder_and_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(diagrams, "graphviz_is_installed", lambda: True)
    names = ["encoder_diagram", "decoder_diagram", "model_diagram"]
    for name in names:
        monkeypatch.setitem(gallery.DIAGRAMS, name, lambda path, model: None)
    made = gallery.draw_diagrams(parts_to_draw((4,), 2).model, tmp_path / "figures", lambda: None)
    assert list(made) == [(name, tmp_path / "figures" / f"{name}.png") for name in names]


def test_without_graphviz_there_are_none_which_is_said_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    diagrams.graphviz_is_installed.cache_clear()
    caplog.set_level(logging.INFO)
    for _ in range(2):
        assert not list(gallery.draw_diagrams(parts_to_draw((4,), 2).model, tmp_path / "figures", lambda: None))
    diagrams.graphviz_is_installed.cache_clear()
    said = [record.getMessage() for record in caplog.records]
    assert said == ["No diagrams: Graphviz is not installed (model.txt describes the networks)."]
