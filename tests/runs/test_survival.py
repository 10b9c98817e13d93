"""Real processes that are killed, interrupted and run side by side, and how their runs go on."""

import json
import os
import random
import signal
import subprocess
import time

import pytest
import yaml

from tests.support.commands import COMMAND, run
from tests.support.runs import assert_same_run

TINY = [
    *("trainer.validation_samples=2", "trainer.validation_size=10", "encoder.hidden=[16]", "decoder.hidden=[16]"),
    *("trainer.jit=true", "trainer.evaluate_every=5", "trainer.steps_per_call=5", "logger=none"),
]
OWN = ["estimator=custom", "estimator._target_=sabotage.Same"]
SABOTAGE = """
import os, signal
from vi.training import checkpoints as checkpoint
from vi.loggers import metrics_file
from vi.estimators import AnalyticKL

class Same(AnalyticKL):
    pass

def half_a_checkpoint(real, folder, variables):
    real(folder, variables)
    data = next(folder.glob("variables.data*"))
    data.write_bytes(data.read_bytes()[:1000])

def whole_but_not_yet_named(real, folder, variables):
    real(folder, variables)
    (folder / "state.json").write_text("{}")

def half_a_row(real, file, row):
    with file.path.open("a") as stream:
        stream.write(",".join(map(str, row.values()))[:30])

def no_row(real, file, row):
    pass

MOMENTS = {
    "half a checkpoint": (checkpoint, "write", half_a_checkpoint),
    "whole but not yet named": (checkpoint, "write", whole_but_not_yet_named),
    "half a row": (metrics_file.MetricsFile, "log", half_a_row),
    "no row": (metrics_file.MetricsFile, "log", no_row),
}
if moment := os.environ.get("SABOTAGE"):
    owner, name, deed = MOMENTS[moment]
    real, calls = getattr(owner, name), []

    def sabotaged(*arguments):
        calls.append(name)
        if len(calls) == 3:
            deed(real, *arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)

    setattr(owner, name, sabotaged)
"""


def start(*arguments, cwd, **env):
    """A process in its own group, as a shell starts it; its output goes to the file `out`."""
    with (cwd / "out").open("w") as out:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=cwd,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
            start_new_session=True,
        )


def wait_for(condition, process, seconds=240):
    """Waits until the condition holds or the process has ended."""
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < end, "the process has not come so far"
        time.sleep(0.01)


def rows(run_dir):
    file = run_dir / "metrics.csv"
    return len(file.read_text().splitlines()) if file.exists() else 0


def kill_at_random(run_dir, arguments, seed):
    """Starts or resumes a run, and kills it at a random moment after it has logged a new row."""
    before = rows(run_dir)
    process = start(*arguments, cwd=run_dir.parent)
    wait_for(lambda: rows(run_dir) > before, process)
    time.sleep(random.Random(seed).uniform(0, 0.3))
    process.kill()
    return process.wait() == -signal.SIGKILL


def survive(tmp_path, moments, random_kills):
    """Kills one run at all these moments and resumes it each time. It must end as a run that was never killed."""
    (tmp_path / "sabotage.py").write_text(SABOTAGE)
    options = [*TINY, *OWN, f"trainer.epochs={25 * len(moments) + 50 * random_kills}"]
    done = run(*options, "hydra.run.dir=straight", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run_dir, killed = tmp_path / "killed", 0
    first = [*options, "hydra.run.dir=killed"]
    for moment in moments:
        process = start(*(["resume=killed"] if run_dir.exists() else first), cwd=tmp_path, SABOTAGE=moment)
        assert process.wait() == -signal.SIGKILL, (moment, (tmp_path / "out").read_text())
    for seed in range(random_kills):
        killed += kill_at_random(run_dir, ["resume=killed"] if run_dir.exists() else first, seed)
    done = run("resume=killed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "straight", run_dir)
    return killed


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(tmp_path):
    assert survive(tmp_path, ["half a checkpoint", "half a row"], random_kills=1) > 0


@pytest.mark.slow
def test_a_run_survives_twenty_kills_at_random_moments(tmp_path):
    assert survive(tmp_path, ["whole but not yet named", "no row"], random_kills=20) >= 15


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_call_saves_and_says_how_to_go_on(tmp_path, number, code):
    process = start(*TINY, "trainer.epochs=100000", "hydra.run.dir=run", cwd=tmp_path)
    wait_for(lambda: rows(tmp_path / "run") > 3, process)
    process.send_signal(number)
    assert process.wait(60) == code
    assert (tmp_path / "out").read_text().endswith("vi-train: interrupted; vi-train resume=run goes on.\n")
    assert_saved(tmp_path / "run")


@pytest.mark.slow
def test_two_runs_never_share_a_directory(tmp_path):
    process = start(*TINY, "trainer.epochs=100000", "hydra.run.dir=run", cwd=tmp_path)
    wait_for(lambda: rows(tmp_path / "run") > 1, process)
    second = run("resume=run", cwd=tmp_path)
    process.kill()
    process.wait()
    assert second.returncode == 2
    assert second.stderr == "vi-train: run: another process is at work in it; wait until it has ended.\n"


GRID = ["estimator.samples=1,2", "optimizer=sgd", "optimizer.learning_rate=0.001,1e9", "trainer.epochs=10"]


def statuses(sweep):
    found = {path.parent.name: json.loads(path.read_text())["status"] for path in sweep.glob("*/summary.json")}
    return dict(sorted(found.items()))


def assert_saved(run_dir):
    """The summary of the run is at the step of its newest checkpoint."""
    summary = json.loads((run_dir / "summary.json").read_text())
    (*_, newest) = sorted((run_dir / "checkpoints").iterdir())
    assert (summary["status"], f"step_{summary['step']:09d}") == ("interrupted", newest.name)


@pytest.mark.slow
def test_a_failed_job_stops_no_other_and_a_sweep_goes_on_where_it_was_left(tmp_path):
    result = run("-m", *GRID, *TINY, "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert result.returncode == 1
    assert "job 3 (" in result.stdout
    assert "Sweep: sweep\nNext:\n" in result.stdout
    assert statuses(tmp_path / "sweep") == {"0": "finished", "1": "failed", "2": "finished", "3": "failed"}
    named = [line for line in result.stderr.splitlines() if line.startswith("vi-train: ")]
    assert [line.split(" (")[0] for line in named] == ["vi-train: job 1", "vi-train: job 3"]
    assert all("not finite for" in line for line in named)
    finished = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "sweep" / "0").rglob("*") if path.suffix != ".log"
    }

    summary = tmp_path / "sweep" / "2" / "summary.json"
    summary.write_text(summary.read_text().replace('"status": "finished"', '"status": "interrupted"'))
    result = run("-m", "sweep.resume=sweep", *GRID[:2], "optimizer.learning_rate=0.001,1e8", *TINY, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(
        "vi-train: sweep.resume=sweep: give the same overrides again, in the same order: estimator.samples=1,2 "
    )
    result = run("-m", "sweep.resume=sweep", *GRID, *TINY, cwd=tmp_path)
    assert result.returncode == 1
    assert statuses(tmp_path / "sweep") == {
        **{"0": "finished", "1": "failed", "1_retry_1": "failed", "2": "finished"},
        **{"3": "failed", "3_retry_1": "failed"},
    }
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert json.loads((tmp_path / "sweep" / "2" / "summary.json").read_text())["resumed"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_in_processes_saves_its_jobs_and_begins_no_other(tmp_path, number):
    """Ctrl-C in a terminal reaches every process of the group; kill reaches the first one only. One worker is idle."""
    grid = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "trainer.epochs=5,100000", *TINY]
    grid += ["trainer.evaluate_every=5" if number == signal.SIGTERM else "trainer.evaluate_every=5000"]
    process = start(*grid, "hydra.sweep.dir=sweep", cwd=tmp_path)
    done = tmp_path / "sweep" / "0" / "summary.json"
    wait_for(lambda: done.exists() and '"finished"' in done.read_text(), process)
    wait_for(lambda: "Compiling" in (tmp_path / "sweep" / "1" / "train.log").read_text(), process)
    time.sleep(3)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert statuses(tmp_path / "sweep") == {"0": "finished", "1": "interrupted"}
    assert_saved(tmp_path / "sweep" / "1")
    out = (tmp_path / "out").read_text()
    assert "vi-train -m sweep.resume=sweep with the same overrides goes on" in out
    assert "Traceback" not in out


@pytest.mark.slow
def test_what_was_typed_for_the_logger_stays_when_a_run_goes_on(tmp_path):
    logger = ["logger=wandb", "logger.wandb.mode=disabled", "logger.wandb.project=mine", "logger.wandb.tags=[a]"]
    done = run(*TINY, *logger, "trainer.epochs=5", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run("resume=run", "trainer.epochs=10", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["logger"]["wandb"] == {
        "mode": "disabled",
        "project": "mine",
        "entity": None,
        "tags": ["a"],
        "group": None,
    }
    assert config["trainer"]["epochs"] == 10


@pytest.mark.slow
def test_an_optuna_study_goes_on_after_a_trial_that_fails(tmp_path):
    study = ["sweep=optuna", "hydra.sweeper.n_trials=3", "hydra.sweep.dir=sweep", "optimizer=sgd"]
    study += ["hydra.sweeper.sampler.seed=5"]  # the first trial fails, the others do not
    space = "hydra.sweeper.params={optimizer.learning_rate: 'choice(0.001, 1e9)'}"
    result = run("-m", *study, space, *TINY, "trainer.epochs=5", cwd=tmp_path)
    found = list(statuses(tmp_path / "sweep").values())
    assert len(found) == 3
    assert "finished" in found
    assert result.returncode == (1 if "failed" in found else 0)
    best = max(
        json.loads(path.read_text())["best"]["validation/iw_bound"]
        for path in (tmp_path / "sweep").glob("*/summary.json")
        if "best" in json.loads(path.read_text())
    )
    assert f"best_value: {best}" in (tmp_path / "sweep" / "optimization_results.yaml").read_text()
