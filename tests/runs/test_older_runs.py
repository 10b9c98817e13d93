"""A run of an older version, kept in tests/data, opens, is evaluated and goes on."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import vi
from vi.errors import ConfigError
from vi.runs.api import evaluate
from vi.settings import saved

KEPT = Path(__file__).parents[1] / "data" / "old_run"
"""Four epochs on digits by version 0.1.0 at commit dff2788: 8 hidden units, 48 steps."""
NEW_SINCE = [
    *(("init_from",), ("choices",), ("model", "output_bias"), ("trainer", "update_every"), ("trainer", "nonfinite")),
    *(
        ("trainer", "evaluation_samples"),
        ("trainer", "diagnose_every"),
        ("estimator", "capacity"),
        ("encoder", "offset"),
    ),
]
"""Keys as if they had come after that version."""


def copy(place, without=()):
    """A copy of the run, without these keys."""
    run = Path(shutil.copytree(KEPT, place / "run"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    for *sections, name in without:
        section = config
        for each in sections:
            section = section[each]
        del section[name]
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return run


@pytest.fixture(params=[(), NEW_SINCE], ids=["as it was", "without keys that are new since"])
def run(request, tmp_path):
    return copy(tmp_path, request.param)


def test_it_opens_and_its_evaluation_is_the_one_that_it_logged(run):
    model = vi.load(run)
    assert np.isfinite(model.generate(3)).all()
    elbo = evaluate(run, split="validation", samples=100)["elbo"]
    error_of_one_sample = 10 * elbo["monte_carlo_error"]  # the run logged one sample, here are 100
    assert elbo["mean"] == pytest.approx(-42.29678715551179, abs=4 * error_of_one_sample)


@pytest.mark.slow
def test_it_goes_on_from_its_last_step(run):
    resumed = vi.train([f"resume={run}", "trainer.epochs=6"])
    assert (resumed.summary["status"], resumed.summary["step"]) == ("finished", 72)
    assert list(resumed.metrics["step"]) == [24, 48, 72]
    assert resumed.config["trainer"]["update_every"] == {"generative": 1, "inference": 1, "auxiliary": 1}


def test_what_differs_from_it_is_still_refused(run):
    with pytest.raises(ConfigError, match=r"^trainer\.batch_size=50: the run in .* has trainer\.batch_size=100;"):
        vi.train([f"resume={run}", "trainer.batch_size=50"])


def test_a_file_of_today_says_the_same_as_a_file_of_then(tmp_path):
    assert saved.read(copy(tmp_path, NEW_SINCE))["trainer"] == saved.read(KEPT)["trainer"]


MOVED = {
    "vi.schedules.Annealing": "vi.training.schedules.Annealing",
    "vi.densities.gaussian": "vi.distributions.densities.gaussian",
    "vi.synthetic.linear_gaussian": "vi.data.linear_gaussian",
    "vi.synthetic.nothing": "vi.data.nothing",
    "vi.relaxations.Annealing": "vi.training.schedules.Annealing",
    "vi.relaxations.GumbelSoftmax": "vi.posteriors.GumbelSoftmax",
    "vi.data.mnist": "vi.data.mnist",
    "my.schedules.Annealing": "my.schedules.Annealing",
}


@pytest.mark.parametrize("path", MOVED)
def test_a_class_at_an_older_path_is_found_where_it_is_now(path):
    config = yaml.safe_load((KEPT / "config.yaml").read_text())
    config["estimator"]["capacity"] = {"_target_": path, "values": [{"_target_": path}]}
    capacity = saved.as_of_today(config)["estimator"]["capacity"]
    assert capacity == {"_target_": MOVED[path], "values": [{"_target_": MOVED[path]}]}


def test_a_key_that_is_missing_means_what_it_meant_then():
    config = yaml.safe_load((KEPT / "config.yaml").read_text())
    config["estimator"] = {"_target_": "vi.estimators.IWAE"}
    config["posterior"] = {"_target_": "vi.posteriors.LocationScale"}
    config["data"] = {"_target_": "vi.data.mnist"}
    today = saved.as_of_today(config)
    assert today["estimator"]["samples"] == 1
    assert today["posterior"] == {
        "_target_": "vi.posteriors.LocationScale",
        "scale": "log_variance",
        "base": "normal",
        "base_scale": 1.0,
    }
    assert (today["data"]["validation"], today["data"]["scale"]) == (None, 1.0)


def test_a_config_of_today_holds_every_setting_of_a_component(tmp_path):
    from vi.settings.compose import compose, resolve

    config = resolve(*compose(["estimator=vi.estimators.Renyi"]))
    assert config["estimator"] == {"_target_": "vi.estimators.Renyi", "samples": 5, "alpha": 0.5}
    assert saved.as_of_today(config) == config


def test_the_kept_run_is_small_and_names_no_machine():
    files = [file for file in KEPT.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 150_000
    assert [file for file in files if b"/root" in file.read_bytes() or b"/home" in file.read_bytes()] == []
