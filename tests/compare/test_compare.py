"""Runs side by side: every run is shown, numbers are exact, and the page works in a browser without a network."""

import copy
import io
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import rich.console
import yaml
from matplotlib.image import imread

from vi.compare import compare, page, tables, write_comparison
from vi.compare.columns import BOUNDS
from vi.compare.recorded import RecordedRun
from vi.compare.settings import name_settings
from vi.runs.directory import lock
from vi.settings.keys import FILLED_IN

ADAM = {"_target_": "keras.optimizers.Adam", "learning_rate": 0.001}
CONFIG = {
    "encoder": {"_target_": "vi.networks.mlp_encoder", "hidden": [256, 128]},
    "estimator": {"_target_": "vi.estimators.AnalyticKL", "samples": 1},
    "optimizer": ADAM | {"generative": ADAM, "inference": ADAM},
    "trainer": {"epochs": 10, "beta": 1.0, "steps_per_call": "auto", "validation_samples": 100},
    "data": {"_target_": "vi.data.digits", "path": None, "seed": 0},
    "logger": {"wandb": {"mode": "offline"}},
    "model": {"latent_dim": 2, "event_shape": [8, 8, 1]},
    "name": "default",
    "pseudo": False,
}
ESTIMATORS = {
    "analytic_kl": {"_target_": "vi.estimators.AnalyticKL", "samples": 1},
    "multi_sample": {"_target_": "vi.estimators.AnalyticKL", "samples": 25},
    "monte_carlo_kl": {"_target_": "vi.estimators.MonteCarloKL", "samples": 1, "divergence_samples": 0},
}


def make_run(directory: Path, *overrides: str, iw_bound=-95.0, epochs=10, **summary) -> Path:
    """The files of a run with these overrides; its best and final bounds are 0.5 apart, its KL is 20."""
    directory.mkdir(parents=True)
    config, choices, seed = copy.deepcopy(CONFIG), {"estimator": "analytic_kl"}, 0
    for override in overrides:
        key, value = override.split("=", 1)
        if key == "estimator":
            config["estimator"], choices["estimator"] = dict(ESTIMATORS[value]), value
            continue
        section, _, leaf = key.lstrip("+").rpartition(".")
        place = config
        for part in section.split(".") if section else []:
            place = place.setdefault(part, {})
        place[leaf] = yaml.safe_load(value)
        seed = config.get("seed", 0)
    config["seed"] = seed
    (directory / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(config))))
    epoch = np.arange(1, epochs + 1)
    frame = pd.DataFrame({"step": 100 * epoch, "epoch": epoch, "seconds": (1.0 + seed) * epoch})
    frame["validation/iw_bound"] = iw_bound - 0.5 - 300 * (np.exp(-1.0 * epoch) - np.exp(-epochs))
    frame["validation/elbo"] = frame["validation/iw_bound"] - 1
    frame["validation/kl"] = 20.0
    frame["validation/nll"] = -frame["validation/elbo"] - 20
    frame["train/bound"] = frame["validation/elbo"] + 2
    frame.to_csv(directory / "metrics.csv", index=False, lineterminator="\r\n")
    final = dict(zip(BOUNDS, [iw_bound - 0.5, iw_bound - 1.5, 1.5 - iw_bound - 20, 20.0], strict=True))
    best = dict(zip(BOUNDS, [iw_bound, iw_bound - 1, 1 - iw_bound - 20, 20.0], strict=True))
    whole = {
        "status": "finished",
        "seed": seed,
        "pseudo": False,
        "parameters": {"generative": 1000, "inference": 2000},
        "data_hash": "0123456789abcdef",
        "overrides": list(overrides),
        "choices": choices,
        "epoch": float(epochs),
        "seconds": 100.0 + 10 * seed,
        "examples_per_second": 5000.0,
        "final": final,
        "best": {"step": 900} | best,
        "knn_accuracy": 0.9,
    }
    unfinished = summary.get("status", "finished") != "finished"
    if unfinished:
        whole = {key: value for key, value in whole.items() if key not in ("final", "best", "epoch", "knn_accuracy")}
    write_summary(directory, **whole | summary)
    return directory


def write_summary(directory: Path, **summary) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "summary.json").write_text(json.dumps(summary))


def names(comparison) -> list[str]:
    return list(comparison.settings.index)


def state_of(comparison, path: str) -> tuple[str, str]:
    row = comparison.runs.set_index("path").loc[path]
    return row["state"], row["sentence"]


def written(comparison, folder: Path) -> dict[str, str]:
    """The texts of the outputs."""
    files = write_comparison(comparison, folder)
    assert [file.name for file in files] == [f"comparison.{kind}" for kind in ("csv", "md", "png", "html")]
    return {file.suffix[1:]: file.read_text() for file in files if file.suffix != ".png"}


# Numbers


def test_means_and_standard_errors_over_seeds_are_exact(tmp_path):
    for seed, bound in enumerate([-90.0, -92.0, -97.0]):
        make_run(tmp_path / str(seed), f"seed={seed}", iw_bound=bound)
    row = compare(tmp_path).settings.iloc[0]
    error = np.std([-90.0, -92.0, -97.0], ddof=1) / np.sqrt(3)
    for name, mean in (("iw_bound best", -93), ("iw_bound final", -93.5), ("elbo best", -94), ("nll final", 74.5)):
        assert row[f"validation/{name}"] == pytest.approx(mean)
        assert row[f"validation/{name} standard error"] == pytest.approx(error)
    assert row["validation/kl best standard error"] == 0
    assert row[["parameters", "seconds", "examples_per_second", "knn_accuracy"]].tolist() == [3000, 110, 5000, 0.9]
    assert row["seconds standard error"] == pytest.approx(10 / np.sqrt(3))
    assert (row["seeds"], row["runs"], row["finished"]) == ("0 1 2", 3, 3)


def test_one_seed_has_no_standard_error(tmp_path):
    make_run(tmp_path / "0", "seed=7")
    comparison = compare(tmp_path)
    assert comparison.settings.filter(like="standard error").isna().all(axis=None)
    assert "±" not in written(comparison, tmp_path)["md"].splitlines()[-1]


def test_a_seed_that_ran_twice_is_one_draw_and_said_so(tmp_path):
    for path, seed, bound in (("0", 0, -90.0), ("1", 1, -94.0), ("again/0", 0, -92.0)):
        make_run(tmp_path / path, f"seed={seed}", iw_bound=bound)
    comparison = compare(tmp_path)
    row = comparison.settings.iloc[0]
    assert row["validation/iw_bound best"] == pytest.approx((-91 - 94) / 2)
    assert row["validation/iw_bound best standard error"] == pytest.approx(1.5)
    assert any("same seed" in note for note in comparison.notes)


def test_settings_are_sorted_by_their_best_bound_and_those_without_come_last(tmp_path):
    for i, (beta, bound) in enumerate([(1, -95.0), (2, -90.0), (3, -99.0)]):
        make_run(tmp_path / str(i), f"trainer.beta={beta}", iw_bound=bound)
    make_run(tmp_path / "3", "trainer.beta=4", status="failed", error="Out of luck.")
    without = {"validation/nll": 70.0}
    make_run(tmp_path / "4", "trainer.beta=5", final=without, best={"step": 9} | without)
    assert names(compare(tmp_path)) == [f"trainer.beta={beta}" for beta in (2, 1, 3, 5, 4)]


def test_an_error_too_small_for_two_decimals_gets_a_third(tmp_path):
    for seed, bound in enumerate([-90.0, -90.004]):
        make_run(tmp_path / str(seed), f"seed={seed}", iw_bound=bound)
    assert "-90.002 ± 0.002" in written(compare(tmp_path), tmp_path)["md"]


# Settings and their names


def test_a_name_holds_the_choices_that_differ_without_the_keys_that_they_imply(tmp_path):
    for i, estimator in enumerate(ESTIMATORS):
        make_run(tmp_path / str(i), f"estimator={estimator}", "trainer.epochs=10", iw_bound=-90.0 - i)
    assert names(compare(tmp_path)) == [f"estimator={estimator}" for estimator in ESTIMATORS]


def test_keys_that_were_typed_are_named_beside_the_choice(tmp_path):
    make_run(tmp_path / "0", "estimator=multi_sample", "estimator.samples=50", iw_bound=-90.0)
    make_run(tmp_path / "1", "estimator=multi_sample", iw_bound=-91.0)
    make_run(tmp_path / "2", "estimator=analytic_kl", iw_bound=-92.0)
    assert names(compare(tmp_path)) == [
        "estimator=multi_sample, estimator.samples=50",
        "estimator=multi_sample, estimator.samples=25",
        "estimator=analytic_kl, estimator.samples=1",
    ]


def test_a_warm_up_is_named_by_its_choice(tmp_path):
    make_run(tmp_path / "0", "estimator.free_bits=0.5", "warmup=cyclical", iw_bound=-90.0)
    make_run(tmp_path / "1", "estimator.free_bits=0.5", "warmup=linear", iw_bound=-91.0)
    assert ["warmup=cyclical" in name for name in names(compare(tmp_path))] == [True, False]
    assert ["warmup=linear" in name for name in names(compare(tmp_path))] == [False, True]


def test_a_component_of_ones_own_is_named_by_its_path(tmp_path):
    for i, target in enumerate(["my.IWAE", "my.DReG"]):
        run = make_run(tmp_path / str(i), f"estimator._target_={target}", iw_bound=-90.0 - i)
        summary = json.loads((run / "summary.json").read_text())
        write_summary(run, **summary | {"choices": {"estimator": "custom"}})
    assert names(compare(tmp_path)) == ["estimator=my.IWAE", "estimator=my.DReG"]


def test_runs_without_a_record_of_choices_are_named_by_classes_and_keys(tmp_path):
    for i, estimator in enumerate(ESTIMATORS):
        make_run(tmp_path / str(i), f"estimator={estimator}", iw_bound=-90.0 - i, choices=None, overrides=None)
    assert names(compare(tmp_path)) == [
        "estimator=AnalyticKL, estimator.samples=1",
        "estimator=AnalyticKL, estimator.samples=25",
        "estimator=MonteCarloKL, estimator.samples=1",
    ]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (["model.latent_dim=8", "model.latent_dim=4"], ["model.latent_dim=8", "model.latent_dim=4"]),
        (["encoder.hidden=[64]", "encoder.hidden=[64, 32]"], ["encoder.hidden=[64]", "encoder.hidden=[64,32]"]),
        (["data.seed=0", "data.seed=1"], ["data.seed=0", "data.seed=1"]),
        (["trainer.matmul=bfloat16", "trainer.matmul=tf32"], ["trainer.matmul=bfloat16", "trainer.matmul=tf32"]),
        (["optimizer.generative.learning_rate=0.1", "model.latent_dim=2"], ["optimizer.generative.learning_rate=0.1"]),
        (
            ["trainer.beta={_target_: keras.optimizers.schedules.PolynomialDecay, decay_steps: 5}", "trainer.beta=4"],
            ["trainer.beta=PolynomialDecay(decay_steps=5)", "trainer.beta=4"],
        ),
    ],
)
def test_values_are_named_as_they_are_typed(tmp_path, values, shown):
    for i, override in enumerate(values):
        make_run(tmp_path / str(i), override, iw_bound=-90.0 - i)
    assert names(compare(tmp_path))[: len(shown)] == shown


@pytest.mark.parametrize(
    "override",
    [
        *("seed=3", "trainer.steps_per_call=7", "data.path=elsewhere.npz", "logger.wandb=null", "pseudo=null"),
        *("trainer.beta=1", "optimizer.generative.learning_rate=0.001", "model.event_shape=null", "name=another"),
    ],
)
def test_what_changes_no_result_makes_no_other_setting(tmp_path, override):
    make_run(tmp_path / "0", "trainer.beta=1.0")
    make_run(tmp_path / "1", override)
    make_run(tmp_path / "2", "trainer.beta=4")
    assert sorted(compare(tmp_path).settings["runs"]) == [1, 2]


def test_names_count_where_nothing_else_differs(tmp_path):
    make_run(tmp_path / "0", "name=a", iw_bound=-91.0)
    assert names(compare(tmp_path)) == ["a"]
    make_run(tmp_path / "1", "name=b", iw_bound=-90.0)
    assert names(compare(tmp_path)) == ["name=b", "name=a"]


def test_other_data_are_another_setting_and_a_note_in_every_output(tmp_path):
    make_run(tmp_path / "0", "data.path=a.npz", data_hash="aaaa")
    make_run(tmp_path / "1", "data.path=b.npz", data_hash="bbbb", iw_bound=-99.0)
    comparison = compare(tmp_path)
    assert names(comparison) == ["data_hash=aaaa", "data_hash=bbbb"]
    for text in written(comparison, tmp_path).values():
        assert "The runs used 2 different data sets, so their numbers do not compare." in text


def test_the_same_data_in_different_forms_are_noted(tmp_path):
    make_run(tmp_path / "0", "+data.binarization=dynamic")
    make_run(tmp_path / "1", "+data.binarization=none")
    (note,) = [note for note in compare(tmp_path).notes if "different forms" in note]
    assert "data.binarization=dynamic" in note
    assert "data.binarization=none" in note


def test_pseudo_numbers_are_marked_and_a_note_in_every_output(tmp_path, command):
    make_run(tmp_path / "0", "+data.binarization=dynamic")
    make_run(tmp_path / "1", "+data.binarization=none", pseudo=True, iw_bound=-50.0)
    texts = written(compare(tmp_path), tmp_path)
    _, out, _ = command("compare", str(tmp_path))
    for text in (*texts.values(), " ".join(out.split())):
        assert "no density of the data" in text
        assert "data.binarization=none (pseudo)" in text


def test_bounds_of_different_sample_numbers_are_noted(tmp_path):
    make_run(tmp_path / "0")
    make_run(tmp_path / "1", "trainer.validation_samples=1000")
    assert any("different numbers of samples" in note for note in compare(tmp_path).notes)


# Runs that have not finished


def test_a_curve_that_is_one_dot_is_noted_with_what_gives_a_curve(tmp_path):
    run = make_run(tmp_path / "0", epochs=1)
    make_run(tmp_path / "1", "trainer.beta=2", epochs=10)
    comparison = compare([tmp_path])
    note = "A curve is one dot if its run was evaluated once: 0. A smaller trainer.evaluate_every gives a curve."
    assert len(pd.read_csv(run / "metrics.csv")) == 1
    assert note in comparison.notes


def test_every_run_is_shown_with_its_state_and_why(tmp_path):
    make_run(tmp_path / "0", "seed=0", iw_bound=-90.0)
    make_run(tmp_path / "1", "seed=1", status="failed", error="The loss is not finite\nat step 200.")
    make_run(tmp_path / "2", "seed=2", status="interrupted", epochs=4)
    make_run(tmp_path / "3", "seed=3", status="running", epochs=5)
    make_run(tmp_path / "4", "seed=4", status="running", epochs=6)
    (make_run(tmp_path / "5", "seed=5") / "summary.json").write_text("{")
    (make_run(tmp_path / "6", "seed=6") / "config.yaml").write_text("a: [")
    (make_run(tmp_path / "7", "seed=7") / "metrics.csv").write_text("step,epoch,seconds\n1,2,x\n")
    (make_run(tmp_path / "8", "seed=8") / "summary.json").unlink()
    make_run(tmp_path / "9", "seed=9", final=None)
    with lock(tmp_path / "3"):
        comparison = compare(tmp_path)
    assert state_of(comparison, "0") == ("finished", "")
    assert state_of(comparison, "1") == ("failed", "The loss is not finite at step 200.")
    assert state_of(comparison, "2")[0] == "interrupted"
    assert state_of(comparison, "3")[0] == "running"
    assert state_of(comparison, "4")[0] == "killed"
    assert state_of(comparison, "8")[0] == "killed"
    for path, words in (
        ("5", "summary.json: is damaged"),
        ("6", "config.yaml: is damaged"),
        ("7", "metrics.csv: is damaged"),
        ("9", "no final numbers"),
    ):
        state, sentence = state_of(comparison, path)
        assert state == "damaged"
        assert words in sentence
        assert str(tmp_path) not in sentence
    assert comparison.settings[["runs", "finished", "damaged"]].sum().tolist() == [10, 1, 4]
    assert comparison.settings["runs"].tolist() == [10]
    assert comparison.settings.iloc[0]["validation/iw_bound best"] == -90.0
    texts = written(comparison, tmp_path)
    for kind in ("md", "html"):
        for words in ("not finite at step 200.", "interrupted", "killed", "damaged", "4 of 10", "1 of 10"):
            assert words in texts[kind]


def test_a_job_that_failed_before_training_belongs_to_the_setting_that_was_typed(tmp_path):
    make_run(tmp_path / "0", "trainer.beta=4", "trainer.epochs=10", "seed=0")
    make_run(tmp_path / "1", "trainer.beta=2", "trainer.epochs=10", "seed=0", iw_bound=-99.0)
    for path, beta in (("2", 4), ("3", 8)):
        overrides = [f"trainer.beta={beta}", "trainer.epochs=10", "seed=1"]
        write_summary(tmp_path / path, status="failed", error="No such file.", overrides=overrides)
    comparison = compare(tmp_path)
    assert names(comparison) == ["trainer.beta=4", "trainer.beta=2", "trainer.beta=8"]
    assert comparison.settings["failed"].tolist() == [1, 0, 1]
    assert state_of(comparison, "2") == ("failed", "No such file.")


def test_a_job_that_was_run_again_stands_beside_its_old_folder(tmp_path):
    make_run(tmp_path / "3", "seed=0", status="failed", error="Out of memory.")
    make_run(tmp_path / "3_retry_1", "seed=0")
    make_run(tmp_path / "10", "seed=1")
    comparison = compare(tmp_path)
    assert comparison.runs["path"].tolist() == ["3", "3_retry_1", "10"]
    assert comparison.settings[["runs", "finished", "failed"]].iloc[0].tolist() == [3, 2, 1]


def test_a_line_that_is_just_being_written_is_not_read(tmp_path):
    run = make_run(tmp_path / "0", status="running", epochs=5)
    whole = (run / "metrics.csv").read_bytes()
    (run / "metrics.csv").write_bytes(whole + b"600,6,6.0,-9")
    row = compare(tmp_path).runs.iloc[0]
    assert row["epoch"] == 5
    assert row["validation/iw_bound last"] == pytest.approx(-95.5)
    assert np.isnan(row["validation/iw_bound best"])
    (run / "metrics.csv").write_bytes(b"step,ep")
    assert compare(tmp_path).runs.iloc[0]["state"] == "killed"


def test_only_unfinished_runs_are_a_comparison_too(tmp_path):
    write_summary(tmp_path / "0", status="failed", error="No <such> | file.", overrides=["data=mnist"])
    comparison = compare(tmp_path)
    texts = written(comparison, tmp_path)
    assert r"No \<such> \| file." in texts["md"]
    assert "No &lt;such&gt; | file." in texts["html"]
    assert imread(tmp_path / "comparison.png").std() > 0


# Curves


def test_curves_are_means_over_seeds_at_the_same_epoch_and_their_mean_seconds(tmp_path):
    make_run(tmp_path / "0", "seed=0", iw_bound=-90.0)
    make_run(tmp_path / "1", "seed=1", iw_bound=-94.0)
    curves = compare(tmp_path).curves
    assert curves["epoch"].tolist() == list(range(1, 11))
    np.testing.assert_allclose(curves["seconds"], 1.5 * curves["epoch"])
    assert curves["validation/iw_bound"].iloc[-1] == pytest.approx(-92.5)
    np.testing.assert_allclose(curves["validation/iw_bound standard error"], 2.0)
    assert set(curves["run"]) == {""}


def test_a_mean_goes_as_far_as_all_seeds_went_and_unfinished_runs_stand_alone(tmp_path):
    make_run(tmp_path / "0", "seed=0")
    make_run(tmp_path / "1", "seed=1", epochs=7)
    make_run(tmp_path / "2", "seed=2", epochs=3, status="failed", error="Bad luck.")
    curves = compare(tmp_path).curves
    assert curves.groupby("run")["epoch"].max().to_dict() == {"": 7, "2": 3}


def test_the_page_draws_means_solid_with_bands_and_unfinished_runs_dashed(tmp_path):
    make_run(tmp_path / "0", "seed=0")
    make_run(tmp_path / "1", "seed=1")
    make_run(tmp_path / "2", "trainer.beta=4", status="failed", error="Bad luck.")
    drawn = page.curves(compare(tmp_path), "validation/iw_bound", "seconds").data
    assert [line.name for line in drawn if line.name] == ["trainer.beta=1", "trainer.beta=4, 2: unfinished"]
    assert [line.line.dash for line in drawn if line.name] == ["solid", "dash"]
    assert [line.fill for line in drawn if not line.name] == [None, "tonexty"]


def test_the_picture_is_readable_with_many_settings_and_without_a_bound(tmp_path):
    for i in range(12):
        make_run(tmp_path / str(i), f"trainer.beta={i}", f"+model.note=a${i}", iw_bound=-90.0 - i)
    comparison = compare(tmp_path)
    assert comparison.main_metrics == ["validation/iw_bound"]
    frame = pd.read_csv(tmp_path / "0" / "metrics.csv").drop(columns="validation/iw_bound")
    frame.to_csv(tmp_path / "0" / "metrics.csv", index=False)
    comparison = compare(tmp_path)
    assert comparison.main_metrics == ["validation/iw_bound", "validation/nll"]
    write_comparison(comparison, tmp_path)
    picture = imread(tmp_path / "comparison.png")
    assert 1300 < picture.shape[1] < 1500
    assert 900 < picture.shape[0] < 1600
    assert not list(tmp_path.glob(".*"))


# The command


def run_command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", "from vi.commands.compare import main; main()", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_reads_one_or_several_directories_and_says_where_the_files_are(tmp_path, command, monkeypatch):
    make_run(tmp_path / "a" / "0", "seed=0")
    make_run(tmp_path / "b" / "0", "seed=1")
    make_run(tmp_path / "a" / "0" / "wandb" / "files")
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("compare", "a")
    assert code == 0
    assert "a/comparison.html" in out
    assert "1 of 1" in (tmp_path / "a" / "comparison.md").read_text()
    command("compare", "a", "b", "a/0")
    assert "2 of 2" in (tmp_path / "comparison.md").read_text()
    command("compare", "a/0", "--output", "new/place")
    assert (tmp_path / "new" / "place" / "comparison.csv").exists()


@pytest.mark.parametrize(("arguments", "words"), [(["nowhere"], "no such directory"), (["empty"], "holds no run")])
def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    done = run_command(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("vi-compare: ")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_comparing_imports_neither_tensorflow_nor_hydra(tmp_path):
    make_run(tmp_path / "0")
    code = (
        "import sys; from vi.compare import compare, write_comparison; write_comparison(compare('.'), '.');"
        "sys.exit(bool({'tensorflow', 'keras', 'hydra', 'omegaconf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# The page in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Debian's chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for switch in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", f"user-data-dir={tmp_path_factory.mktemp('browser')}"),
    ):
        options.add_argument(f"--{switch}")
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """The page of three settings, one of them without a finished run, with a picture each."""
    folder = tmp_path_factory.mktemp("runs")
    for i, (beta, bound) in enumerate([(1, -100.0), (2, -9.5), (2, -9.7)]):
        run = make_run(folder / str(i), f"trainer.beta={beta}", f"seed={i}", iw_bound=bound)
        (run / "figures").mkdir()
        PIL.Image.new("RGB", (1400, 300), "white").save(run / "figures" / "curves.png")
    error = "</script><script>console.error('escaped')</script>"
    make_run(folder / "3", "trainer.beta=<b>&", status="failed", error=error)
    write_comparison(compare(folder), folder)
    browser.get((folder / "comparison.html").as_uri())
    return browser


def column(browser, i: int) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelectorAll('#settings tbody tr')].map(row => row.cells[arguments[0]].innerText)", i
    )


def test_the_page_loads_without_an_error_and_asks_for_nothing(opened):
    asked = opened.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in asked if not name.startswith("data:")] == []
    assert opened.get_log("browser") == []
    assert opened.find_elements("css selector", "[data-title^='Share']") == []
    assert "trainer.beta=<b>&" in column(opened, 0)


def test_a_click_on_a_heading_sorts_by_value_and_again_the_other_way(opened):
    headings = opened.find_elements("css selector", "#settings thead th")
    titles = [heading.text.split() for heading in headings]
    best = titles.index(["iw_bound", "best"])
    assert headings[best].get_attribute("aria-sort") == "descending"
    for way, order in (
        ("ascending", ["-100.00", "-9.60\n± 0.10", "–"]),
        ("descending", ["-9.60\n± 0.10", "-100.00", "–"]),
    ):
        headings[best].find_element("tag name", "button").click()
        assert headings[best].get_attribute("aria-sort") == way
        assert column(opened, best) == order
    headings[0].find_element("tag name", "button").send_keys("\n")
    assert column(opened, 0) == ["trainer.beta=<b>&", "trainer.beta=1", "trainer.beta=2"]
    assert headings[best].get_attribute("aria-sort") is None


def test_the_curves_follow_the_selectors(opened):
    def shown():
        return opened.execute_script(
            "const p = document.querySelector('.js-plotly-plot');"
            "return [p.layout.yaxis.title.text, p.layout.xaxis.title.text,"
            " p.querySelectorAll('.scatterlayer .trace').length]"
        )

    assert shown() == ["validation/iw_bound, nats per datum", "epoch", 5]
    for selector, choice in (("metric", "validation/kl"), ("axis", "seconds")):
        opened.find_element(
            "css selector", f"#{selector} option[value='{choice}'], #{selector} option:nth-child(4)"
        ).click()
        time.sleep(0.2)
    assert shown() == ["validation/kl, nats per datum", "seconds, mean over seeds", 5]
    assert opened.get_log("browser") == []


def test_pictures_are_inside_the_page_one_run_for_a_setting(opened):
    widths = opened.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert widths == [900, 900]


def test_how_a_config_was_chosen_makes_no_setting_of_its_own(tmp_path):
    """One seed by a ready sweep, one by hand without a dashboard: they are of one setting."""
    for seed, chosen in enumerate([{"sweep": "estimators", "logger": "wandb"}, {"sweep": None, "logger": "none"}]):
        file = make_run(tmp_path / str(seed), f"seed={seed}") / "config.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"choices": chosen}))
    assert len(compare([tmp_path]).settings) == 1


def test_the_terminal_shows_the_speed_which_leaves_out_compiling(tmp_path):
    make_run(tmp_path / "0", "seed=0")
    console = rich.console.Console(file=io.StringIO(), width=100)
    tables.print_tables(console, compare(tmp_path))
    shown = console.file.getvalue()
    assert "examples/s" in shown
    assert "seconds" not in shown


@pytest.mark.parametrize("key", FILLED_IN)
def test_what_a_run_fills_in_itself_tells_no_settings_apart(key):
    section, _, name = key.rpartition(".")
    runs = []
    for i, value in enumerate((None, True)):
        filled = {section: {name: value}} if section else {name: value}
        runs.append(RecordedRun(Path(str(i)), str(i), "finished", "", {"seed": i, "name": "run", **filled}))
    first, second = name_settings(runs)
    assert first == second
