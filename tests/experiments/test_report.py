"""The table of results is written from small files alone, and says what it is a mean of."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from experiments import report
from vi.compare.results.estimates import Estimate
from vi.compare.results.files import KEYS, name_of, read_results
from vi.compare.results.rows import read_systems
from vi.compare.results.sections import TERMS
from vi.runs.directory import lock
from vi.settings.conf import conf_directory

SECTIONS = {"model": {"latent_dim": 2}, "estimator": {"samples": 1}, "trainer": {"epochs": 50}}
FINAL = {"validation/nll": 145.0, "validation/kl": 7.0, "validation/elbo": -152.0, "validation/iw_bound": -150.0}
EVALUATION = {
    "checkpoint": "best",
    "step": 29000,
    "split": "validation",
    "elbo": {"mean": -118.25, "standard_error": 0.25, "monte_carlo_error": 0.01},
    "iw_bound": {"mean": -115.5, "standard_error": 0.24, "monte_carlo_error": 0.02},
    "rate": {"mean": 25.75, "standard_error": 0.05, "monte_carlo_error": 0.0},
    "distortion": {"mean": 92.5, "standard_error": 0.23, "monte_carlo_error": 0.01},
    "effective_sample_size": {"mean": 12.34, "median": 11.0},
    "kl_per_dimension": [1.23456789, 0.000123456],
    "active_units": 2,
    "squared_error": 0.04,
    "knn_accuracy": 0.971,
    "logistic_accuracy": None,
}


def make_run(directory, *overrides, files=(), **summary):
    """The files of a finished run with these overrides."""
    directory.mkdir(parents=True)
    typed = dict(each.split("=", 1) for each in overrides)
    whole = {
        "status": "finished",
        "name": typed.get("experiment", "default"),
        "seed": int(typed.get("seed", 0)),
        "estimator": "AnalyticKL",
        "samples": 1,
        "kind": "lower",
        "pseudo": False,
        "started": "2026-11-20T10:00:00",
        "resumed": [],
        "parameters": {"generative": 1000, "inference": 2000},
        "device": "CPU (x86_64)",
        "data_hash": "0123456789abcdef",
        "command": f"vi-train -m {' '.join(overrides)}",
        "overrides": list(overrides),
        "choices": {"experiment": typed.get("experiment"), "debug": typed.get("debug")},
        "epoch": 50.0,
        "step": 30000,
        "seconds": 100.0,
        "examples_per_second": 30000.0,
        "final": FINAL,
        "best": {"step": 29000} | FINAL,
        "knn_accuracy": 0.7,
        "git_commit": "0" * 40,
        "versions": {"python": "3.11.7", "vi": "0.1.0"},
    }
    (directory / "config.yaml").write_text(yaml.safe_dump(SECTIONS))
    (directory / "summary.json").write_text(json.dumps(whole | summary))
    for name, content in dict(files).items():
        (directory / f"{name}.json").write_text(json.dumps({"step": 29000} | content))
    return directory


def elbo(value):
    return FINAL | {"validation/elbo": value}


@pytest.fixture
def folder(tmp_path):
    """Of the report: a table with one row of each kind."""
    rows = [
        {"system": "A1", "figures": [{"experiment": "mlp", "label": "NELBO", "number": "final.validation/elbo"}]},
        {
            "system": "A6",
            "figures": [{"experiment": "fa", "number": "closed_form.loglik", "against": "closed_form.optimum"}],
        },
        {
            "system": "D2",
            "details": "sweep",
            "figures": [
                {
                    "experiment": "beta",
                    "label": label,
                    "number": f"final.validation/{name}",
                    "sweep": "trainer.beta=1,2,8",
                }
                for label, name in (("rate", "kl"), ("distortion", "nll"))
            ],
        },
        {"system": "C6", "ours": "a test"},
    ]
    rows[0]["figures"][0]["scale"] = -1
    rows = [{"shows": "Something a|b", "reference": "known"} | row for row in rows]
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "systems.yaml").write_text(yaml.safe_dump(rows))
    return tmp_path / "report"


def row(folder, system):
    """The cells of a system in README.md."""
    (line,) = re.findall(rf"^\| ({system} \|.*) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    return re.split(r"(?<!\\) ?\| ?", line)


def test_an_evaluation_of_weights_that_the_run_has_left_behind_is_left_out(folder, tmp_path, capsys):
    old = {"evaluation": EVALUATION | {"step": 20}, "closed_form": {"optimum": -1.25}}
    make_run(tmp_path / "runs" / "0", "experiment=mlp", files=old)
    report.main([str(tmp_path / "runs")], folder)
    result = written(folder, "mlp-seed0.json")
    assert result["evaluation"] is None
    assert result["closed_form"]["optimum"] == -1.25
    assert "its evaluation.json of step 20 is older than its last weights" in capsys.readouterr().err


def written(folder, name):
    return json.loads((folder / "results" / name).read_text())


def test_a_finished_run_becomes_a_small_file_without_paths(folder, tmp_path):
    long = EVALUATION | {"kl_per_dimension": list(np.linspace(0, 1, 64)), "extra": [float("nan")]}
    make_run(
        tmp_path / "runs" / "0",
        *("experiment=mlp", "seed=3", "model.latent_dim=64", "estimator=multi_sample"),
        *(
            f"hydra.run.dir={tmp_path}/runs/0",
            "logger=none",
            "logger.wandb.dir=/srv/w",
            f"data.path={tmp_path}/mnist.npz",
        ),
        files={"evaluation": long, "closed_form": {"optimum": -1.25}},
    )
    report.main([str(tmp_path / "runs")], folder)
    name = "mlp-estimator=multi_sample-model.latent_dim=64-seed3.json"
    assert [file.name for file in (folder / "results").iterdir()] == [name]
    text = (folder / "results" / name).read_text()
    result = json.loads(text)
    assert tuple(result) == KEYS
    assert len(text) < 6000
    assert text.endswith("}\n")
    assert str(tmp_path) not in text
    assert result["command"] == "vi-train experiment=mlp seed=3 model.latent_dim=64 estimator=multi_sample"
    assert result["overrides"] == ["experiment=mlp", "seed=3", "model.latent_dim=64", "estimator=multi_sample"]
    assert result["evaluation"]["kl_per_dimension"][1] == 0.01587
    assert result["evaluation"]["extra"] == [None]
    assert (result["closed_form"], result["note"], result["final"]) == ({"step": 29000, "optimum": -1.25}, None, FINAL)


def test_what_has_not_finished_or_is_no_experiment_is_named_and_left(folder, tmp_path, capsys):
    runs = tmp_path / "runs"
    make_run(runs / "good", "experiment=mlp")
    make_run(runs / "stopped", "experiment=mlp", status="interrupted")
    make_run(runs / "wrong", "experiment=mlp", status="failed", error="step 7: not finite.")
    make_run(runs / "killed", "experiment=mlp", status="running")
    make_run(runs / "busy", "experiment=mlp", status="running")
    make_run(runs / "plain", "seed=1")
    make_run(runs / "tried", "experiment=mlp", "debug=fast")
    make_run(runs / "from", "experiment=mlp", "init_from=/srv/run")
    make_run(runs / "older", "experiment=mlp", started="2026-11-19T10:00:00", final=elbo(-1.0))
    with lock(runs / "busy"):
        report.main([str(runs)], folder)
    said = capsys.readouterr().err.splitlines()
    assert sorted(said) == [
        "report.py: busy (running) is not collected. It is still training.",
        "report.py: from (finished) is not collected. It names a path of this machine, /srv/run.",
        "report.py: killed (killed) is not collected. Its process ended without recording why.",
        "report.py: older (finished) is not collected. good is a later run of the same.",
        "report.py: plain (finished) is not collected. It belongs to no experiment.",
        "report.py: stopped (interrupted) is not collected. It was stopped before its end.",
        "report.py: tried (finished) is not collected. It was made with debug=fast.",
        "report.py: wrong (failed) is not collected. step 7: not finite.",
    ]
    assert [file.name for file in (folder / "results").iterdir()] == ["mlp-seed0.json"]
    assert written(folder, "mlp-seed0.json")["final"] == FINAL


def test_collecting_again_replaces_all_but_the_note(folder, tmp_path):
    report.main([str(make_run(tmp_path / "a", "experiment=mlp", files={"evaluation": EVALUATION}))], folder)
    file = folder / "results" / "mlp-seed0.json"
    file.write_text(json.dumps(written(folder, file.name) | {"note": "Beside another training."}))
    report.main([str(make_run(tmp_path / "b", "experiment=mlp", final=elbo(-99.0)))], folder)
    again = written(folder, file.name)
    assert (again["final"], again["evaluation"]) == (elbo(-99.0), None)
    assert again["note"] == "Beside another training."
    assert row(folder, "A1")[5] == "1 min 40 s<sup>1</sup>"
    assert "\n<sup>1</sup> Beside another training.\n" in (folder / "README.md").read_text()


def test_a_run_that_was_gone_on_with_is_of_its_last_settings(folder, tmp_path):
    again = [{"step": 1, "at": "", "command": "vi-train resume=/srv/run trainer.epochs=80 logger=none"}]
    report.main([str(make_run(tmp_path / "a", "experiment=mlp", "trainer.epochs=50", resumed=again))], folder)
    assert written(folder, "mlp-trainer.epochs=80-seed0.json")["command"] == "vi-train experiment=mlp trainer.epochs=80"


def test_a_figure_is_the_mean_and_the_sd_over_seeds(folder, tmp_path):
    values, seconds = [-151.74, -151.81, -151.93, -151.64, -152.23], [100.0, 101.0, 102.0, 103.0, 104.0]
    for seed, (value, time) in enumerate(zip(values, seconds, strict=True)):
        make_run(tmp_path / "runs" / str(seed), "experiment=mlp", f"seed={seed}", final=elbo(value), seconds=time)
    make_run(tmp_path / "runs" / "9", "experiment=mlp", "trainer.epochs=1", final=elbo(-300.0))
    report.main([str(tmp_path / "runs")], folder)
    mean, sd = -np.mean(values), np.std(values, ddof=1)
    assert row(folder, "A1")[1:] == [
        r"Something a\|b",
        "known",
        f"NELBO {mean:.2f} ± {sd:.2f} nats (sd, 5 seeds)",
        "`vi-train -m experiment=mlp seed=0,1,2,3,4`",
        "1 min 42 s",
    ]
    results = read_results(folder / "results")
    estimate = Estimate.of(results[:5], "final.validation/elbo")
    np.testing.assert_allclose((estimate.mean, estimate.sd), (-mean, sd))
    np.testing.assert_allclose(estimate.standard_error, sd / np.sqrt(5))
    assert estimate.show(3, "se", "nats") == f"−{mean:.3f} ± {sd / np.sqrt(5):.3f} nats (se, 5 seeds)"


def test_one_seed_is_called_so_and_what_is_missing_too(folder, tmp_path):
    report.main([], folder)
    assert row(folder, "A1")[3:] == ["NELBO: not run", "`vi-train experiment=mlp`", "–"]
    assert row(folder, "C6")[3:] == ["a test", "–", "–"]
    make_run(tmp_path / "runs" / "0", "experiment=mlp", seconds=3723.0)
    make_run(tmp_path / "runs" / "1", "experiment=fa", files={"closed_form": {"loglik": -12.34, "optimum": -12.3}})
    report.main([str(tmp_path / "runs")], folder)
    assert row(folder, "A1")[3:] == ["NELBO 152.00 nats (one seed)", "`vi-train experiment=mlp`", "1 h 2 min"]
    assert row(folder, "A6")[3] == "−12.34 nats (one seed), against −12.30"
    report.main([str(make_run(tmp_path / "again", "experiment=fa"))], folder)
    assert row(folder, "A6")[3] == "not recorded"


def test_pseudo_likelihoods_are_marked(folder, tmp_path):
    run = make_run(tmp_path / "a", "experiment=mlp", pseudo=True, files={"evaluation": EVALUATION})
    report.main([str(run)], folder)
    assert row(folder, "A1")[3] == "NELBO 152.00 nats (one seed)†"
    text = (folder / "README.md").read_text()
    assert "\n† A pseudo-likelihood" in text
    assert "| `mlp`† | best, validation | 1 | −118.25 ± 0.25 | −115.50 ± 0.24 | 25.75 ± 0.05 | 92.50 ± 0.23 |" in text
    assert "± 0.23 | 2 of 2 | 12.3 | 97.10 | – |" in text


def test_a_sweep_says_its_course_and_has_a_table_and_a_picture(folder, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(report.pictures, "rate_distortion", lambda *given: drawn.append(given), raising=False)
    for job, (beta, kl, nll) in enumerate([("1", 20.0, 90.0), ("2.0", 15.0, 95.0), ("8", 5.0, 120.0)]):
        final = FINAL | {"validation/kl": kl, "validation/nll": nll, "validation/elbo": -nll - kl}
        overrides = ("experiment=beta", f"trainer.beta={beta}")
        files = {"evaluation": EVALUATION} if job == 0 else {}
        report.main([str(make_run(tmp_path / str(job), *overrides, final=final, files=files))], folder)
    ours, command, time = row(folder, "D2")[3:]
    assert ours == (
        "rate 20.00 → 5.00 nats, falls throughout (one seed each)<br>"
        "distortion 90.00 → 120.00 nats, rises throughout (one seed each)"
    )
    assert (command, time) == ("`vi-train -m experiment=beta trainer.beta=1,2,8`", "1 min 40 s")
    text = (folder / "README.md").read_text()
    assert "| 1 | 1 | −118.25 ± 0.25 | −115.50 ± 0.24 | 25.75 ± 0.05 | 92.50 ± 0.23 |" in text
    assert "| 8 | 1 | −125.00 | −150.00 | 5.00 | 120.00 |" in text
    assert f"]({report.PICTURE})" in text
    path, frame = drawn[-1]
    assert path == folder / report.PICTURE
    np.testing.assert_array_equal(frame["beta"], [1, 2, 8])
    np.testing.assert_array_equal(frame["rate"], [25.75, 15, 5])
    np.testing.assert_array_equal(frame["distortion standard error"], [0.23, np.nan, np.nan])


def test_a_mixture_of_evaluated_and_other_seeds_is_of_what_all_have():
    one = {"final": FINAL, "evaluation": EVALUATION}
    other = {"final": FINAL | {"validation/kl": 9.0}, "evaluation": None}
    estimate = Estimate.of([one, other], TERMS["rate"])
    assert (estimate.mean, estimate.n) == (8.0, 2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is damaged: "),
        ("[]", "is damaged: it must hold a JSON object."),
        (json.dumps(dict.fromkeys(KEYS[1:])), "lacks experiment; collect the run again."),
    ],
)
def test_a_damaged_results_file_is_one_sentence(folder, capsys, content, sentence):
    (folder / "results").mkdir()
    (folder / "results" / "a.json").write_text(content)
    assert refused(folder, capsys).startswith(f"report.py: {folder / 'results' / 'a.json'}: {sentence}")


def test_a_wrong_command_is_one_sentence(folder, capsys, tmp_path):
    assert refused(folder, capsys, "nowhere") == "report.py: nowhere: there is no such directory.\n"
    assert "holds no run" in refused(folder, capsys, str(folder))
    assert "unrecognized arguments: --fast" in refused(folder, capsys, "--fast")


def refused(folder, capsys, *arguments):
    with pytest.raises(SystemExit) as error:
        report.main(arguments, folder)
    said = capsys.readouterr().err
    assert (error.value.code, said.count("\n")) == (2, 1)
    return said


def test_results_that_no_row_shows_are_named(folder, tmp_path, capsys):
    report.main([str(make_run(tmp_path / "a", "experiment=mlp", "trainer.epochs=1"))], folder)
    assert capsys.readouterr().err == "report.py: mlp-trainer.epochs=1-seed0.json belongs to no row of systems.yaml.\n"


SYSTEMS = read_systems(report.HERE / "systems.yaml")


def test_the_tracked_table_is_what_the_tracked_results_say():
    results = read_results(report.HERE / "results")
    written = (report.HERE / "README.md").read_text()
    assert written == report.readme(SYSTEMS, results), "run `make report`"


def test_the_tracked_results_are_small_and_name_no_machine():
    for file in (report.HERE / "results").glob("*.json"):
        text = file.read_text()
        assert len(text) < 6000, file
        assert not re.search(r"/(home|root|tmp|work)/", text), file
        assert file.name == name_of(json.loads(text))


def test_every_experiment_has_a_row():
    named = {figure.experiment for system in SYSTEMS for figure in system.figures}
    assert {file.stem for file in (Path(conf_directory()) / "experiment").glob("*.yaml")} - {
        "mnist_mlp",
        "target_density",
    } <= named
    assert len({system.system for system in SYSTEMS}) == len(SYSTEMS)
