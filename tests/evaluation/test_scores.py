"""The evaluation of a trained run: its numbers, its files, its command."""

import dataclasses
import json
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
import yaml

import vi
from tests.support import models, reference
from tests.support.dashboard import records
from tests.support.extensions import ImplicitPosterior
from tests.support.runs import TINY
from vi import random
from vi.commands.evaluate import main as vi_evaluate
from vi.data import Dataset
from vi.errors import ConfigError, RunError
from vi.evaluation import scores
from vi.evaluation.evaluator import Evaluator
from vi.evaluation.scores import evaluate_model, flat
from vi.particles import Draws
from vi.posteriors import FullCovarianceGaussian
from vi.settings import compose, keys, sections

SMALL = [*TINY, "encoder.hidden=[8]", "decoder.hidden=[8]"]


def parts(model=None, **arrays):
    """A linear-Gaussian model, and data of 230 test data."""
    train, test = models.data(60), models.data(290)[60:]
    return types.SimpleNamespace(
        model=model or models.linear_gaussian(), data=Dataset({"x_train": train, "x_test": test, **arrays}, "data")
    )


def evaluated(of, samples=3, size=None, **options):
    return evaluate_model(of.model, of.data, "test", samples, size, jit=False, **options)


def test_every_number_agrees_with_slow_numpy():
    of, size = parts(), 120
    found, x = evaluated(of, 30, size), of.data.test.x.astype(np.float64)
    estimates = Evaluator(of.model, of.data, jit=False).estimate(of.data.test, 30, size)
    values = {
        "elbo": (estimates.log_likelihood - estimates.kl, estimates.elbo_variance),
        "distortion": (-estimates.log_likelihood, estimates.log_likelihood_variance),
        "rate": (estimates.kl, estimates.kl_variance),
        "iw_bound": (estimates.iw_bound, (30 / estimates.effective_sample_size - 1) / 29),
    }
    for name, (each, variance) in values.items():
        mean, over_data = reference.mean_and_variance(each)
        errors = {"standard_error": np.sqrt(over_data), "monte_carlo_error": np.sqrt(np.sum(variance)) / size}
        assert found[name] == pytest.approx({"mean": mean, **errors}), name
    assert found["elbo"]["mean"] == pytest.approx(-found["distortion"]["mean"] - found["rate"]["mean"])
    ess = estimates.effective_sample_size
    assert found["effective_sample_size"] == pytest.approx(
        {"mean": np.mean(ess), "median": np.median(ess), "minimum": min(ess)}
    )
    means, covariances = models.moments(of.model, x.astype(np.float32))
    variance = np.array([c.diagonal() for c in covariances])
    kl = [(v + m**2 - 1 - np.log(v)) / 2 for m, v in zip(means, variance, strict=True)]
    np.testing.assert_allclose(found["kl_per_dimension"], np.mean(kl, axis=0), rtol=1e-5)
    spread = [np.mean((column - column.mean()) ** 2) for column in means.T]
    np.testing.assert_allclose(found["posterior_mean_variance"], spread, rtol=1e-5)
    assert found["active_units"] == sum(each > 0.01 for each in spread)
    oracle, errors = models.oracle(of.model), []
    for n, datum in enumerate(x):
        seed = random.fold(random.seed(0, "validation"), n // 100)
        eps = of.model.noise(Draws(1), tf.range(100), seed, tf.constant(0)).posterior[n % 100, 0].numpy()
        errors.append(np.mean((datum - oracle.w @ (means[n] + np.sqrt(variance[n]) * eps) - oracle.b) ** 2))
    assert found["squared_error"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert (found["data"], found["samples"], found["split"], found["pseudo"]) == (size, 30, "test", False)


def test_elbo_rate_and_log_p_are_the_exact_ones_within_their_monte_carlo_errors():
    of = parts()
    for variable in of.model.posterior.trainable_variables[2:]:
        variable.assign(0 * variable + (len(variable.shape) == 1))  # a wide q, whose weights have all moments
    found, x = evaluated(of, 2000), of.data.test.x
    exact = {
        "elbo": models.exact_elbos(of.model, x).mean(),
        "rate": of.model.encode(tf.constant(x)).kl(of.model.prior).numpy().mean(),
        "iw_bound": np.mean([models.oracle(of.model).log_marginal(each) for each in x]),
    }
    for name, value in exact.items():
        assert abs(found[name]["mean"] - value) < 3 * found[name]["monte_carlo_error"] + 1e-5, name


def test_a_latent_that_says_nothing_is_no_active_unit():
    of = parts()
    kernel = of.model.posterior.loc_head.kernel
    kernel.assign(np.array([1, 1e-4, 1]) * kernel)
    assert evaluated(of)["active_units"] == 2
    kernel.assign(0 * kernel)
    found = evaluated(parts(of.model, y_train=np.arange(60) % 3, y_test=np.arange(230) % 3))
    assert found["active_units"] == 0
    assert found["logistic_accuracy"] == pytest.approx(1 / 3, abs=0.05)
    assert 0 <= found["knn_accuracy"] <= 1


def test_what_cannot_be_computed_is_null():
    whole, one = evaluated(parts(models.linear_gaussian(FullCovarianceGaussian))), evaluated(parts(), 1, 1)
    assert (whole["kl_per_dimension"], whole["knn_accuracy"], whole["logistic_accuracy"]) == (None, None, None)
    assert one["elbo"].keys() == {"mean", "standard_error", "monte_carlo_error"}
    assert (one["elbo"]["standard_error"], one["elbo"]["monte_carlo_error"]) == (None, None)
    implicit = evaluated(parts(models.linear_gaussian(ImplicitPosterior)))
    names = ("elbo", "rate", "iw_bound", "effective_sample_size", "kl_per_dimension")
    assert [implicit[name] for name in names] == [None] * 5
    assert implicit["distortion"]["monte_carlo_error"] > 0
    assert implicit["active_units"] >= 0
    assert whole.keys() == one.keys() == implicit.keys()
    for labels in (np.arange(60) * 0.5, np.arange(60) + 1000):
        found = evaluated(parts(y_train=labels, y_test=np.arange(230)))
        assert (found["knn_accuracy"], found["logistic_accuracy"]) == (None, None)


def test_a_number_that_is_not_finite_ends_it():
    of = parts()
    of.model.decoder.trainable_variables[1].assign([np.inf] * models.D)
    with pytest.raises(RunError, match="evaluation/elbo on the test data is not finite"):
        evaluated(of)


def test_the_split_must_be_there_and_fit_the_likelihood():
    of = parts()
    without = types.SimpleNamespace(model=of.model, data=models.dataset())
    with pytest.raises(
        ConfigError, match=r"^split=test: test data: holds no array x_test; it holds x_train; split=val"
    ):
        evaluated(without)
    of.model.likelihood.support = "binary"
    with pytest.raises(ConfigError, match=r"^split=test: data: x_test\[.*\] = .* lies outside \[0, scale=1\]"):
        evaluated(of)


def test_names_for_dashboards_are_flat():
    numbers = {"elbo": {"mean": 1, "standard_error": 2}, "rate": None, "kl_per_dimension": [3], "step": 4}
    names = {"elbo": 1, "elbo_standard_error": 2, "kl_per_dimension": [3], "step": 4}
    assert flat(numbers) == {f"evaluation/{name}": value for name, value in names.items()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that has evaluated itself, with W&B."""
    directory = tmp_path_factory.mktemp("runs") / "finished"
    own = ["logger=wandb", "trainer.evaluate=true", "trainer.evaluation_samples=7"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vi.runs.job.draw_pictures", lambda *_: ())  # the evaluation draws
        return vi.train([*SMALL, *own], directory=directory)


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of it, without its evaluation, that may be changed."""
    directory = shutil.copytree(finished.directory, tmp_path / "copy", symlinks=True)
    shutil.rmtree(directory / "evaluation")
    (directory / "evaluation.json").unlink()
    return dataclasses.replace(finished, directory=directory)


def read(run):
    return json.loads((run.directory / "evaluation.json").read_text())


def summary_of(run):
    """The W&B summary, the last file winning."""
    found = {}
    for record in records(run.directory, f"offline-run-*-{run.summary['wandb_id']}", "summary"):
        found |= record.get("update", {})
    return found


def test_a_run_that_evaluates_itself_says_what_the_command_says(finished, copy):
    again = copy.evaluate(samples=7)
    assert read(copy) == again
    own = flat(read(finished))
    assert flat(again).keys() == own.keys()
    for name, value in flat(again).items():
        if name != "evaluation/seconds":
            assert value == (own[name] if isinstance(value, str) else pytest.approx(own[name], rel=1e-4)), name
    assert again["step"] == finished.summary["best"]["step"]
    assert again["kl_per_dimension"] is not None
    assert again["logistic_accuracy"] is not None
    names = ("latent_space", "manifold", "reconstructions", "prior_samples", "curves")
    for run in (finished, copy):
        assert {path.stem for path in (run.directory / "evaluation").iterdir()} >= set(names)
        summary = summary_of(run)
        assert {name: summary.get(name) for name in flat(read(run))} == flat(read(run))
        assert summary["status"] == "finished"
    pictures = [name for record in records(copy.directory, "offline-run-*") for name in record["item"]]
    for name in names:
        assert pictures.count(f"figures/evaluation/{name}.path") == 2
    assert "evaluation" not in json.loads((finished.directory / "summary.json").read_text())


@pytest.mark.usefixtures("without_pictures")
def test_other_weights_other_data_fewer_samples(copy):
    found = copy.evaluate("last", "validation", 2, 11)
    assert [found[name] for name in ("checkpoint", "split", "samples", "data")] == ["last", "validation", 2, 11]
    assert found["step"] == copy.summary["step"]


@pytest.mark.usefixtures("without_pictures")
def test_a_run_without_wandb_gets_none(copy):
    text = (copy.directory / "config.yaml").read_text()
    settings = yaml.safe_load(text)
    settings["logger"]["wandb"] = None
    (copy.directory / "config.yaml").write_text(yaml.safe_dump(settings))
    before = len(list((copy.directory / "wandb").glob("offline-run-*")))
    copy.evaluate(samples=1, size=10)
    assert len(list((copy.directory / "wandb").glob("offline-run-*"))) == before


def test_an_evaluation_that_is_interrupted_leaves_nothing(copy, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(scores, "knn_accuracy", interrupt)
    before = sorted(copy.directory.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        copy.evaluate(samples=1)
    assert sorted(copy.directory.rglob("*")) == before


def test_a_run_that_is_to_evaluate_itself_needs_a_test_set_before_it_trains(tmp_path):
    np.savez(tmp_path / "my.npz", x_train=models.data(40))
    own = ["data=arrays", f"data.path={tmp_path / 'my.npz'}", "likelihood=gaussian", "trainer.batch_size=10"]
    with pytest.raises(ConfigError, match=r"^trainer\.evaluate=true: .*my\.npz: holds no array x_test"):
        vi.train([*SMALL, *own, "trainer.evaluate=true"], directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("without_pictures")
def test_the_command_prints_a_table(copy, command):
    code, out, err = command("evaluate", f"run={copy.directory}", "samples=7", "size=20")
    assert (code, err) == (0, "")
    for part in ("20 test data with 7 samples each", "± data", "± Monte Carlo", "elbo", "iw_bound", "nats per datum"):
        assert part in out
    assert f"{read(copy)['elbo']['mean']:.3f}" in out
    assert read(copy)["data"] == 20


ANSWERS = {
    "": "run is not set; give it on the command line, run=VALUE.",
    "run=RUN sample=3": "sample: there is no such key; did you mean samples?",
    "run=RUN +nope=3": "nope: there is no such key.",
    "run=RUN samples=0": "samples=0: must be a whole number of at least 1.",
    "run=RUN samples=1,2": "samples=1,2: holds several values; a list needs brackets.",
    "run=RUN ~samples": "samples is not set: must be a whole number of at least 1.",
    "run=RUN size=-1": "size=-1: must be a whole number of at least 1, or null.",
    "run=RUN split=all": "split=all: must be test, validation or train.",
    "run=RUN checkpoint=new": "checkpoint=new: must be best or last.",
    "run=RUN data.path=x": "data.path=x: the data of the run are read from no path.",
    "run=RUN data=mnist": "data: there is no such key; did you mean data.path?",
    "run=RUN [3": "[3: is not of the form KEY=VALUE; quote a value with spaces, commas or braces.",
    "run=RUN --nope": "unrecognized arguments: --nope; see vi-evaluate --help.",
    "run=nope": "run=nope: holds no config.yaml, so it is not the directory of a run.",
    "run=SWEEP": "run=SWEEP: is the directory of a sweep; give one of its jobs, such as run=SWEEP/0.",
}


@pytest.mark.parametrize("arguments", ANSWERS)
def test_every_mistake_is_one_sentence(arguments, finished, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "SWEEP" / "0").mkdir(parents=True)
    (tmp_path / "RUN").symlink_to(finished.directory)
    code, _, err = command("evaluate", *arguments.split())
    assert (code, err) == (2, f"vi-evaluate: {ANSWERS[arguments]}\n")


def test_what_fails_later_has_an_exit_code_of_its_own(copy, monkeypatch, command):
    for error, code, text in (
        (vi.Interrupted(15), 143, "interrupted."),
        (KeyboardInterrupt(), 130, "interrupted."),
        (RunError("it failed."), 1, "it failed."),
        (ZeroDivisionError("a\nb"), 1, "ZeroDivisionError: a (HYDRA_FULL_ERROR=1 shows where)."),
    ):
        monkeypatch.setattr(
            "vi.evaluation.scores.evaluate_model", lambda *_, error=error, **__: (_ for _ in ()).throw(error)
        )
        found, _, err = command("evaluate", f"run={copy.directory}")
        assert (found, err) == (code, f"vi-evaluate: {text}\n")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sys, "argv", ["vi-evaluate", f"run={copy.directory}"])
    with pytest.raises(ZeroDivisionError):
        vi_evaluate()


def test_other_data_than_the_run_s_are_refused(copy):
    file = copy.directory / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"data_hash": "other"}))
    with pytest.raises(ConfigError, match=r"the data differ from the training data of the run; see data\.path"):
        copy.evaluate()


def test_help_needs_no_tensorflow_and_explains_every_key(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('imported')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from vi.commands.evaluate import main; main()"
    result = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    lines = (compose.conf_directory() / "evaluate.yaml").read_text().splitlines()
    for line in lines:
        assert line in result.stdout
        assert " # " in line or line == "data:"
    assert "Usage: vi-evaluate run=RUN_DIR" in result.stdout


def test_every_key_of_the_command_has_a_rule():
    text = (compose.conf_directory() / "evaluate.yaml").read_text()
    assert [key for key, _ in keys.leaves(yaml.safe_load(text))] == sections.dotted_keys(sections.REQUESTS["evaluate"])
