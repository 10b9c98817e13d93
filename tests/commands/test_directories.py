"""Runs and sweeps that begin in the same second: each has a directory of its own."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

import vi
from tests.support.runs import TINY
from vi.commands.directories import _require_same_sweep
from vi.errors import ConfigError
from vi.runs.directory import claim

FROZEN = """
import datetime
import hydra.core.utils

class Frozen(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return cls(2026, 1, 2, 3, 4, 5)

hydra.core.utils.datetime = Frozen
"""
TRAINED = """
from vi.commands import jobs

def train(config, directory, line, typed):
    (directory / "config.yaml").open("x").close()
    return {"best": {"validation/nll": 1.0}, "epoch": 1.0, "overrides": [], "test_data": True}

jobs._train = train
"""
MAIN = "from vi.commands.train import main\nmain()\n"
NAMES = ["2026-01-02_03-04-05", "2026-01-02_03-04-05_2"]


def start(code, *arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(Path(vi.__file__).parents[1])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, text=True, **pipes)


def finish(processes):
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors


def found(folder):
    return sorted(path.name for path in folder.iterdir())


def test_of_many_that_claim_one_name_each_gets_its_own(tmp_path):
    claimed = []
    threads = [threading.Thread(target=lambda: claimed.append(claim(tmp_path / "a" / "b.c"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found(tmp_path / "a") == sorted(path.name for path in claimed)
    assert set(found(tmp_path / "a")) == {"b.c", *(f"b.c_{number}" for number in range(2, 21))}


def test_runs_and_sweeps_of_one_second_do_not_share_a_directory(tmp_path):
    code = FROZEN + TRAINED + MAIN
    finish([start(code, *arguments, cwd=tmp_path) for arguments in ((), ("-m", "seed=0,1")) for _ in range(2)])
    assert found(tmp_path / "outputs" / "default") == NAMES
    assert found(tmp_path / "outputs" / "multirun") == NAMES
    for name in NAMES:
        assert (tmp_path / "outputs" / "default" / name / "config.yaml").exists()
        sweep = tmp_path / "outputs" / "multirun" / name
        assert found(sweep) == ["0", "1", "multirun.yaml"]
        assert yaml.safe_load((sweep / "multirun.yaml").read_text())["hydra"]["sweep"]["dir"].endswith(name)
        assert all((sweep / job / "config.yaml").exists() for job in "01")


def test_a_directory_that_the_user_names_is_not_renamed(tmp_path):
    code = TRAINED + MAIN
    finish([start(code, "hydra.run.dir=mine", cwd=tmp_path), start(code, "-m", "hydra.sweep.dir=all", cwd=tmp_path)])
    assert found(tmp_path) == ["all", "mine"]


@pytest.mark.slow
def test_sweeps_of_one_second_train_all_their_jobs(tmp_path):
    grid = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1", *TINY, "logger=none"]
    finish([start(FROZEN + MAIN, *grid, cwd=tmp_path) for _ in range(2)])
    assert found(tmp_path / "outputs" / "multirun") == NAMES
    summaries = [json.loads(file.read_text()) for file in tmp_path.glob("outputs/multirun/*/*/summary.json")]
    assert [summary["status"] for summary in summaries] == ["finished"] * 4


@pytest.mark.slow
def test_runs_from_python_of_one_second_do_not_share_a_directory(tmp_path):
    code = FROZEN + "import types, vi.runs.api\nvi.runs.api.datetime = types.SimpleNamespace(datetime=Frozen)\n"
    code += f"assert vi.train({TINY!r}).summary['status'] == 'finished'\n"
    finish([start(code, cwd=tmp_path) for _ in range(2)])
    assert found(tmp_path / "outputs" / "default") == NAMES


def test_the_overrides_of_a_sweep_are_shown_whole_so_that_they_can_be_typed_again(tmp_path):
    begun = ["data=arrays", "++data.path=my.csv", "seed=0,1"]
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump({"hydra": {"overrides": {"task": begun}}}))
    _require_same_sweep(tmp_path, ["data=arrays", "data.path=moved.csv", "seed=0,1"])
    with pytest.raises(ConfigError, match=r"in the same order: data=arrays data\.path=my\.csv seed=0,1\.$"):
        _require_same_sweep(tmp_path, ["data=arrays", "seed=0,1,2"])
