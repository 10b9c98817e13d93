"""`vi-train` in real processes: what it prints, its exit codes, and the files that it leaves."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.support.commands import COMMAND, run
from vi.commands import train

TINY = [
    *("trainer.epochs=2", "trainer.evaluate_every=1", "trainer.jit=false", "logger=none"),
    *("trainer.validation_samples=2", "trainer.validation_size=10"),
]


SLOW_TO_IMPORT = ("keras", "matplotlib", "numpy", "pandas", "plotly", "sklearn", "tensorflow", "wandb")


def test_help_is_for_people_and_imports_nothing_slow(tmp_path):
    for name in SLOW_TO_IMPORT:
        (tmp_path / f"{name}.py").write_text("raise ImportError('imported')")
    result = run("--help", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert result.returncode == 0
    for part in ("estimator: analytic_kl, chi_upper_bound, custom, dreg, ", "data: ", "Examples:", "vi-train -m "):
        assert part in result.stdout
    assert result.stdout.count("\n      vi-train") + result.stdout.count("\n  vi-train") == 5
    assert sorted(path.stem for path in tmp_path.iterdir()) == list(SLOW_TO_IMPORT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer.epochs=-3"], "vi-train: trainer.epochs=-3: must be a finite number above 0.\n"),
        (
            ["estimator=iwea"],
            "vi-train: estimator=iwea: there is no such choice; did you mean iwae? Allowed: analytic_kl, ",
        ),
        (["data=omniglot"], "vi-train: data.path=null: must be the folder of omniglot28_resized.npz"),
        (["estimator=custom", "estimator._target_=my.Own"], "vi-train: estimator._target_=my.Own: "),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, message, tmp_path):
    result = run(*arguments, *TINY[:1], cwd=tmp_path) if "epochs" not in arguments[0] else run(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in left if path.name != "train.log"] == []


def test_a_traceback_is_shown_where_it_is_asked_for(tmp_path):
    result = run("seed=-1", cwd=tmp_path, HYDRA_FULL_ERROR="1")
    assert "Traceback" in result.stderr


@pytest.mark.slow
def test_a_run_by_the_script_as_by_the_command(tmp_path):
    script = [sys.executable, str(Path(__file__).parents[2] / "experiments" / "train.py")]
    result = run(*TINY, "hydra.run.dir=run", cwd=tmp_path, command=script)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    for part in ("validation/iw_bound (nats per datum)", "10-nearest-neighbour accuracy", "figures", "Next:"):
        assert part in result.stdout
    figures = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    names = ["latent_space", "manifold", "latent_space_and_manifold", "reconstructions", "samples", "modes"]
    names += ["prior_samples", "curves"]
    if shutil.which("dot"):
        names += ["encoder_diagram", "decoder_diagram", "model_diagram"]
    assert figures == {f"{name}.png" for name in names}
    again = run(*TINY, "hydra.run.dir=run", cwd=tmp_path, command=script)
    assert again.returncode == 2
    assert "already holds a run" in again.stderr


@pytest.mark.slow
def test_a_run_outlives_the_reader_of_its_output(tmp_path):
    process = subprocess.Popen([*COMMAND, *TINY, "hydra.run.dir=run"], cwd=tmp_path, stdout=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(300) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_a_failing_component_is_a_sentence_with_the_traceback_in_a_file(tmp_path):
    code = ["from vi.estimators import Estimator", "class Bad(Estimator):", "    def bound(self, p): return p.nothing"]
    (tmp_path / "my.py").write_text("\n".join(code))
    result = run(*TINY, "estimator=custom", "estimator._target_=my.Bad", "hydra.run.dir=run", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("vi-train: AttributeError: 'Particles' object has no attribute 'nothing'")
    assert "p.nothing" in (tmp_path / "run" / "traceback.txt").read_text()


@pytest.mark.slow
def test_a_run_with_xla_and_wandb_prints_no_noise_and_needs_no_git(tmp_path):
    result = run(*TINY[:2], *TINY[4:], "hydra.run.dir=run", cwd=tmp_path, PATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    (file,) = tmp_path.glob("run/wandb/offline-run-*/*.wandb")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(file)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [json.loads(line)["history"]["item"] for line in lines if json.loads(line)["type"] == "history"]
    logged = [row for row in rows if "train/bound" in row]
    metrics = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert [row["step"] for row in logged] == metrics["step"].tolist()
    for name in metrics:
        assert [row[name] for row in logged] == pytest.approx(metrics[name].tolist()), name
    assert "\nThe first step took " in (tmp_path / "run" / "train.log").read_text()
    assert sum(any(key.startswith("figures/") for key in row) for row in rows) == 8
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["git_commit"] is None


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_directory(tmp_path):
    root = Path(__file__).parents[2]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(root)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, capture_output=True)
    assert (site / "vi" / "conf" / "estimator" / "multi_sample.yaml").is_file()
    (empty / "mine.py").write_text(
        "from vi.estimators import Estimator\nfrom vi.ops import log_mean_exp\n"
        "class IWAE(Estimator):\n    def bound(self, particles): return log_mean_exp(particles.log_weight, axis=1)\n"
    )
    command = [
        sys.executable,
        "-c",
        "import vi; assert 'site' in vi.__file__; from vi.commands.train import main; main()",
    ]
    own = ["estimator=custom", "estimator._target_=mine.IWAE", "estimator.samples=3"]
    result = run(*TINY, *own, cwd=empty, command=command, PYTHONPATH=str(site))
    assert result.returncode == 0, result.stderr
    (summary,) = empty.glob("outputs/default/*/summary.json")
    assert json.loads(summary.read_text())["estimator"] == "IWAE"


def test_a_sweep_names_its_directory_and_the_command_that_compares_its_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train.Directories, "sweep", tmp_path / "my sweep")
    train._end_sweep()
    assert capsys.readouterr().out == ""  # it has no job
    (tmp_path / "my sweep" / "0").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    train._end_sweep()
    first, second, command = capsys.readouterr().out.splitlines()
    assert (first, second) == ("Sweep: my sweep", "Next:")
    assert shlex.split(command, comments=True)[1:] == ["my sweep"]
