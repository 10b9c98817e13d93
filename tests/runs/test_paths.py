"""A run that was started with relative paths opens from any directory, and says whose path is meant."""

import numpy as np
import pytest

import vi
from tests.support.runs import TINY, leave_no_pictures
from vi.errors import ConfigError
from vi.runs.api import diagnose, evaluate
from vi.settings import compose, saved

SMALL = [*TINY, "data=arrays", "data.path=own.npz", "likelihood=gaussian", "trainer.batch_size=20"]


def data_in(place):
    """Writes data into a directory."""
    x = np.random.default_rng(0).standard_normal((60, 4)).astype("float32")
    np.savez(place / "own.npz", x_train=x, x_test=x[:20])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with data and two runs on them, started there by relative paths; the second starts from the first."""
    place = tmp_path_factory.mktemp("place")
    data_in(place)
    with pytest.MonkeyPatch.context() as patch:
        leave_no_pictures(patch)
        patch.chdir(place)
        vi.train(SMALL, directory="first")
        vi.train([*SMALL, "init_from=first"], directory="second")
    return place


def config_of(place, *overrides):
    """The config of a run that starts in a directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return compose.resolve(*compose.compose([*SMALL, *overrides]))


def test_the_config_has_absolute_paths(tmp_path):
    data_in(tmp_path)
    config = config_of(tmp_path, "init_from=first")
    assert config["data"]["path"] == str(tmp_path / "own.npz")
    assert config["init_from"] == str(tmp_path / "first")


@pytest.mark.slow
def test_it_is_evaluated_diagnosed_and_goes_on_from_another_directory(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert evaluate(place / "second", samples=2)["elbo"]
    gradients, _ = diagnose(place / "second", ["iwae"], [2], repeats=20, batch_size=4, checkpoint="initial")
    assert len(gradients)
    summary = vi.train([f"resume={place / 'second'}", "trainer.epochs=2"]).summary
    assert summary["status"] == "finished"


@pytest.mark.slow
def test_a_relative_path_that_is_typed_means_the_current_directory(place, tmp_path, monkeypatch):
    (tmp_path / "moved.npz").write_bytes((place / "own.npz").read_bytes())
    monkeypatch.chdir(tmp_path)
    run = vi.train([f"resume={place / 'first'}", "trainer.epochs=2", "data.path=moved.npz"])
    assert run.config["data"]["path"] == str(tmp_path / "moved.npz")
    assert evaluate(place / "second", samples=2, data_path="moved.npz")["elbo"]


@pytest.mark.parametrize(("path", "seen"), [("/nowhere/own.npz", ""), ("own.npz", " (seen from {here})")])
def test_data_that_are_gone_are_said_to_be_those_of_the_run(path, seen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    config = config_of(tmp_path)
    config["data"]["path"] = path
    saved.save(config, run / "config.yaml")
    end = f"the run's data are not at {path}{seen.format(here=tmp_path)}; data.path=PATH says where they are now."
    for call, what in (
        (lambda: evaluate(run, samples=2), f"run={run}: {end}"),
        (lambda: vi.train([f"resume={run}"]), f"resume={run}: {end}"),
    ):
        with pytest.raises(ConfigError) as error:
            call()
        assert str(error.value) == what


def test_a_missing_file_is_said_to_be_missing_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VI_DATA_DIR", "data")
    cases = {
        ("data=arrays", "data.path=own.npz"): f"data.path=own.npz: there is no such file in {tmp_path};",
        ("data=omniglot", "data.path=own"): f"data.path=own: there is no such folder with omniglot28_resized.npz in "
        f"{tmp_path}.",
        ("data=omniglot",): f"VI_DATA_DIR=data: there is no such folder with omniglot28_resized.npz in {tmp_path}.",
    }
    for overrides, sentence in cases.items():
        with pytest.raises(ConfigError) as error:
            vi.train([*TINY, *overrides])
        assert str(error.value).startswith(sentence)
