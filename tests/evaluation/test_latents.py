"""Latents that have collapsed are counted, and said once, with overrides that exist."""

import json
import types

import numpy as np
import pytest

import vi
from tests.support import models
from tests.support.runs import TINY
from vi.evaluation.evaluator import Evaluator
from vi.evaluation.latents import active_units, collapse_sentence
from vi.posteriors import FullCovarianceGaussian
from vi.runs import build
from vi.runs.training import advice_on_collapse
from vi.settings import compose


def sentence_of(posterior, quiet):
    """What is said of a model whose first `quiet` latents do not depend on x and have the prior's distribution."""
    model = models.linear_gaussian(posterior)
    for variable in model.posterior.trainable_variables:
        value = variable.numpy()
        width = 2 * models.L if posterior is models.DiagonalGaussian else value.shape[-1]
        for block in range(0, width, models.L):
            value[..., block : block + quiet] = 0
        variable.assign(value)
    if posterior is models.DiagonalGaussian:
        bias = model.posterior.trainable_variables[-1]
        bias.assign(np.where(np.arange(bias.shape[0]) % models.L < quiet, 0, bias))
    data = models.dataset(40)
    return collapse_sentence(Evaluator(model, data, jit=False), data.validation)


def test_it_is_said_if_most_latents_have_collapsed():
    sentence = sentence_of(models.DiagonalGaussian, models.L)
    end = "Their KL is below 0.01 nats, so they carry almost nothing of the data."
    assert sentence == f"Collapsed latents: {models.L} of {models.L}. {end}"
    assert sentence_of(models.DiagonalGaussian, 0) is None


def test_half_of_the_latents_are_not_most():
    for kl, said in (([0.0, 0.0, 1.0, 1.0], False), ([0.0, 0.0, 0.0, 1.0], True)):
        evaluator = types.SimpleNamespace(kl_per_dimension=lambda split, size, kl=kl: np.array([kl]))
        assert (collapse_sentence(evaluator, None) is not None) is said


def test_without_a_closed_form_for_each_latent_the_posterior_means_decide():
    sentence = sentence_of(FullCovarianceGaussian, models.L)
    assert sentence.startswith(f"Collapsed latents: {models.L} of {models.L}. The variance of their means is below")
    assert sentence_of(FullCovarianceGaussian, 0) is None


def test_active_units_are_those_whose_means_vary():
    means = np.random.default_rng(0).standard_normal((1000, 3)) * [1, 0.05, 0.2]
    assert active_units(means) == 2


@pytest.mark.usefixtures("without_pictures")
def test_a_run_says_it_once_in_the_log_and_once_at_its_end(tmp_path, caplog, capsys):
    small = ["encoder.hidden=[4]", "decoder.hidden=[4]", "data.binarization=none", "trainer.epochs=3"]
    fast = ["trainer.beta=100", "optimizer.learning_rate=0.05"]
    run = vi.train([*TINY, *small, "likelihood=gaussian", "likelihood.sd=50", *fast], directory=tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["active_units"] == 0
    assert summary["collapse"].startswith("Collapsed latents: 2 of 2.")
    assert caplog.text.count("Collapsed latents") == 1
    assert "These may help: warmup=linear, estimator.free_bits=0.1, likelihood.scale=shared, a smaller" in caplog.text
    assert " ".join(capsys.readouterr().out.split()).count("Collapsed latents") == 1
    assert len(run.metrics) == 3


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["estimator=iwae"],
        ["estimator=monte_carlo_kl", "likelihood=gaussian", "data.binarization=none"],
        ["warmup=cyclical", "likelihood=gaussian", "likelihood.scale=output", "data.binarization=none"],
    ],
)
def test_the_advice_is_of_overrides_that_work(overrides):
    parts = build.build(compose.resolve(*compose.compose([*TINY, *overrides])))
    advice = advice_on_collapse(parts).removeprefix("These may help: ").removesuffix(".").split(", ")
    assert advice[-1] == "a smaller decoder"
    assert ("warmup=linear" in advice) == ("warmup=cyclical" not in overrides)
    build.build(compose.resolve(*compose.compose([*TINY, *overrides, *advice[:-1]])))
