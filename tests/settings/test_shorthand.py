"""A class of the user's own is chosen by its dotted path, which is short for custom, its target, and pluses."""

import json
import sys

import pytest
import yaml

import vi
from tests.support.commands import run
from tests.support.runs import TINY
from vi.errors import ConfigError
from vi.settings.compose import compose, resolve
from vi.settings.keys import COMPONENTS

OWN = """
import vi.data
import vi.estimators
import vi.networks
from vi.estimators import Estimator
from vi.ops import log_mean_exp

class IWAE(Estimator):
    def __init__(self, samples: int = 1, power: float = 1.0):
        super().__init__(samples)
        self.power = power

    def bound(self, particles):
        return log_mean_exp(self.power * particles.log_weight, axis=1) / self.power

def anything(**options): ...
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory with a module of the user's own, which is the current one."""
    (tmp_path / "my_module.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield tmp_path
    sys.modules.pop("my_module", None)


def settings(overrides):
    return resolve(*compose(overrides))


def test_the_short_form_is_the_long_one(place):
    long = settings(["estimator=custom", "estimator._target_=my_module.IWAE", "+estimator.power=0.5"])
    short = settings(["estimator=my_module.IWAE", "estimator.power=0.5"])
    assert short["estimator"] == {"_target_": "my_module.IWAE", "power": 0.5}
    assert short.pop("choices") == long.pop("choices") | {"estimator": "my_module.IWAE"}
    assert short == long


@pytest.mark.parametrize("group", COMPONENTS)
def test_it_holds_for_every_group(group, place):
    config = settings([f"{group}=my_module.anything", f"{group}.power=[1,2]"])
    assert config[group] == {"_target_": "my_module.anything", "power": [1, 2]}


def test_arguments_of_the_optimizer_of_one_group_need_no_plus():
    config = settings(["optimizer.inference.learning_rate=3e-4", "optimizer.inference.clipnorm=1"])
    assert config["optimizer"]["inference"] == {"learning_rate": 3e-4, "clipnorm": 1}


@pytest.mark.slow
def test_a_sweep_takes_both_and_is_gone_on_with(place):
    sweep = ["-m", "estimator=iwae,my_module.IWAE", "estimator.samples=2", *TINY, "hydra.sweep.dir=sweep"]
    result = run(*sweep, cwd=place)
    assert result.returncode == 0, result.stderr
    configs = [yaml.safe_load((place / f"sweep/{job}/config.yaml").read_text()) for job in range(2)]
    assert [config["estimator"]["_target_"] for config in configs] == ["vi.estimators.IWAE", "my_module.IWAE"]
    assert [config["estimator"]["samples"] for config in configs] == [2, 2]
    overrides = json.loads((place / "sweep/1/summary.json").read_text())["overrides"]
    assert overrides[:2] == ["estimator=my_module.IWAE", "estimator.samples=2"]
    again = run(*sweep[:-1], "sweep.resume=sweep", cwd=place)
    assert again.returncode == 0, again.stderr
    assert "has finished before" in again.stdout + again.stderr


@pytest.mark.slow
def test_a_run_goes_on_under_either_name(place):
    short = ["estimator=my_module.IWAE", "estimator.power=0.5"]
    first = vi.train([*TINY, *short], directory=place / "run")
    assert first.config["estimator"] == {"_target_": "my_module.IWAE", "power": 0.5}
    second = vi.train([f"resume={first.directory}", "trainer.epochs=2", *short])
    assert second.summary["step"] > first.summary["step"]
    long = ["estimator=custom", "estimator._target_=my_module.IWAE", "+estimator.power=0.5"]
    third = vi.train([f"resume={first.directory}", "trainer.epochs=3", *long])
    assert third.summary["step"] > second.summary["step"]
    with pytest.raises(ConfigError, match=r"^estimator=my_module\.Other: the run in .* has estimator=my_module\.IWAE"):
        vi.train([f"resume={first.directory}", "estimator=my_module.Other"])
    with pytest.raises(ConfigError, match=r"^estimator\.power=2: the run in .* has estimator\.power=0\.5"):
        vi.train([f"resume={first.directory}", "estimator.power=2"])
