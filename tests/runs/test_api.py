"""Runs from Python: train, resume, load and replay; every refusal is one sentence."""

import datetime
import json
import logging
import os
import shutil
import subprocess
import sys
import textwrap
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import vi
from tests.support.runs import TINY, assert_same_run, leave_no_pictures, metrics
from vi.errors import ConfigError, RunError
from vi.runs import build
from vi.runs import directory as directories
from vi.settings import compose, overrides, saved

SMALL = [*TINY, "encoder.hidden=[16]", "decoder.hidden=[16]", "trainer.jit=true", "optimizer.learning_rate=0.01"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of four epochs, never interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        leave_no_pictures(patch)
        return vi.train([*SMALL, "trainer.epochs=4"], directory=tmp_path_factory.mktemp("runs") / "finished").directory


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run, which a test may change."""
    return shutil.copytree(finished, tmp_path / "copy")


def test_overrides_are_a_list():
    with pytest.raises(ConfigError, match="overrides are a list of texts"):
        vi.train("seed=1")


def test_train_and_load_give_the_model_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = vi.train([*TINY, "trainer.epochs=3", "estimator.samples=2", "trainer.monitor=train/bound"])
    assert run.directory.parts[:2] == ("outputs", "default")
    names = {path.name for path in run.directory.iterdir()}
    assert names == {"config.yaml", "metrics.csv", "summary.json", "model.txt", "checkpoints", "figures"}
    assert len(run.metrics) == 3
    assert list(run.metrics)[:6] == ["step", "epoch", "seconds", "train/loss", "train/bound", "train/elbo"]
    np.testing.assert_allclose(run.metrics["train/elbo"], -run.metrics["train/nll"] - run.metrics["train/kl"])
    assert len(list((run.directory / "checkpoints").iterdir())) in (2, 3)
    summary = json.loads((run.directory / "summary.json").read_text())
    assert (summary["status"], summary["seed"], summary["pseudo"], summary["kind"]) == ("finished", 0, False, "lower")
    assert list(summary["startup"]) == ["imports", "building", "compiling", "first_step"]
    best = run.metrics.loc[run.metrics["train/bound"].idxmax()]
    assert {name: summary["best"][name] for name in ("step", "train/bound")} == dict(best[["step", "train/bound"]])
    model = vi.load(run.directory)
    x = tf.ones([3, 8, 8, 1])
    assert model.encode(x).mean().shape == (3, 2)
    np.testing.assert_array_equal(model.generate(4), run.load("best").generate(4))
    assert run.load("last").generate(4).shape == (4, 8, 8, 1)
    with pytest.raises(ConfigError, match="already holds a run"):
        vi.train(TINY, directory=run.directory)
    with pytest.raises(ConfigError, match="checkpoint=newest: must be best or last"):
        vi.load(run.directory, "newest")
    with pytest.raises(ConfigError, match=r"holds no config\.yaml"):
        vi.load(tmp_path)
    for text, message in (("a: [", "is damaged"), ("", "is not the config of a run"), ("a: 1", "is not the config")):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(ConfigError, match=message):
            vi.load(tmp_path)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
def test_the_number_of_steps_in_a_call_changes_no_result(tmp_path):
    frames, models = [], []
    for name, steps in (("a", "auto"), ("b", "auto"), ("c", "5")):
        small = ["encoder.hidden=[16]", "decoder.hidden=[16]", "trainer.validation_samples=1"]
        overrides = [*TINY, *small, "trainer.epochs=2", "trainer.jit=true", f"trainer.steps_per_call={steps}"]
        run = vi.train(overrides, directory=tmp_path / name)
        frames.append(run.metrics.drop(columns="seconds"))
        models.append([v.numpy() for v in run.load("last").variables])
    for frame, weights in zip(frames[1:], models[1:], strict=True):
        assert frame.equals(frames[0])
        assert all(np.array_equal(*pair) for pair in zip(weights, models[0], strict=True))


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_double_precision_runs_and_loads_as_such(tmp_path):
    run = vi.train([*TINY, "trainer.precision=float64"], directory=tmp_path / "run")
    keras.config.set_floatx("float32")
    assert {v.dtype for v in run.load().variables} == {"float64"}


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_a_run_in_bfloat16_says_so_and_is_resumed_in_it(tmp_path):
    tiny = [*TINY, "trainer.matmul=bfloat16"]
    whole = vi.train([*tiny, "trainer.epochs=2"], directory=tmp_path / "whole")
    vi.train(tiny, directory=tmp_path / "run")
    resumed = vi.train([f"resume={tmp_path / 'run'}", "trainer.epochs=2"])
    assert (resumed.config["trainer"]["matmul"], resumed.summary["matmul"]) == ("bfloat16", "bfloat16")
    assert "train/* is computed with these products" in resumed.summary["matmul_remark"]
    for ours, theirs in zip(resumed.load("last").variables, whole.load("last").variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)  # without XLA they agree to rounding
    with pytest.raises(ConfigError, match=r"trainer\.matmul=float32: the run in .* has trainer\.matmul=bfloat16; only"):
        vi.train([f"resume={tmp_path / 'run'}", "trainer.matmul=float32"])


def test_what_fails_before_training_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for wrong in (["trainer.batch_size=5000"], ["data=mnist", "data.path=/nowhere"]):
        for directory in (tmp_path / "run", None):
            with pytest.raises(ConfigError):
                vi.train([*TINY, *wrong], directory=directory)
            assert list(tmp_path.iterdir()) == []


def test_runs_of_one_second_have_directories_of_their_own(tmp_path, monkeypatch):
    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vi.runs.api.datetime", types.SimpleNamespace(datetime=Frozen))
    monkeypatch.setattr("vi.runs.job.Job.__init__", lambda *_: None)
    monkeypatch.setattr("vi.runs.job.Job.execute", lambda self, directory: {})
    names = [vi.train(TINY).directory.name for _ in range(3)]
    assert names == ["2026-01-02_03-04-05", "2026-01-02_03-04-05_2", "2026-01-02_03-04-05_3"]


@pytest.mark.usefixtures("without_pictures")
def test_a_run_that_fails_says_so_in_its_summary(tmp_path):
    with pytest.raises(vi.RunError, match=r"(is|are) not finite for"):
        vi.train(
            [*TINY, "optimizer=sgd", "optimizer.learning_rate=1e6", "trainer.epochs=50"], directory=tmp_path / "run"
        )
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "not finite" in summary["error"]


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
def test_a_run_goes_on_for_more_epochs_as_if_it_had_never_stopped(finished, tmp_path):
    first = vi.train([*SMALL, "trainer.epochs=2"], directory=tmp_path / "run")
    second = vi.train([f"resume={first.directory}", "trainer.epochs=4", "logger=none", "seed=0"])
    assert second.directory == first.directory
    assert_same_run(finished, second.directory)
    assert second.summary["seconds"] > first.summary["seconds"]
    assert [entry["step"] for entry in second.summary["resumed"]] == [first.summary["step"]]
    assert (second.summary["started"], second.summary["command"]) == (
        first.summary["started"],
        first.summary["command"],
    )
    assert saved.read(second.directory)["trainer"]["epochs"] == 4


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
def test_a_finished_run_is_finished_again(finished, copy):
    vi.train([f"resume={copy}"])
    assert_same_run(finished, copy)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), [("variables.data-00000-of-00001", 0.9), ("state.json", 0.5)])
def test_a_truncated_newest_checkpoint_is_passed_over_and_the_end_is_the_same(finished, copy, caplog, name, part):
    newest = sorted((copy / "checkpoints").iterdir())[-1]
    whole = (newest / name).read_bytes()
    (newest / name).write_bytes(whole[: int(part * len(whole))])
    vi.train([f"resume={copy}"])
    assert f"{newest} is damaged" in caplog.text
    assert_same_run(finished, copy)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
def test_a_missing_newest_checkpoint_falls_back_too(finished, copy):
    shutil.rmtree(sorted((copy / "checkpoints").iterdir())[-1])
    vi.train([f"resume={copy}"])
    assert_same_run(finished, copy)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
def test_a_run_without_a_checkpoint_begins_anew(finished, copy):
    shutil.rmtree(copy / "checkpoints")
    vi.train([f"resume={copy}"])
    assert_same_run(finished, copy)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    "lost", ["half of the last row", *(pytest.param(lost, marks=pytest.mark.slow) for lost in ("all", "summary"))]
)
def test_what_a_kill_has_lost_is_written_again(finished, copy, lost, caplog):
    caplog.set_level(logging.INFO, "vi.runs.job")
    file = copy / "metrics.csv"
    lines = file.read_text().splitlines(keepends=True)
    if lost == "all":
        file.unlink()
    elif lost == "summary":
        (copy / "summary.json").write_text("{")
    else:
        file.write_text("".join(lines[:-1]) + (lines[-1][:20] if "half" in lost else ""))
    vi.train([f"resume={copy}"])
    assert "Nothing is left to train: the run has done its 4 epochs." in caplog.text
    assert "Going on" not in caplog.text
    if lost == "all":
        assert len(metrics(copy)) == 1
    else:
        assert_same_run(finished, copy)


REFUSED = {
    "seed=1": "seed=1: the run in {run} has seed=0; only trainer.epochs, trainer.profile, data.path and logger may",
    "estimator=multi_sample": "estimator=multi_sample: the run in {run} has estimator=analytic_kl; only ",
    "estimator.samples=2": "estimator.samples=2: the run in {run} has estimator.samples=1; only ",
    "optimizer.learning_rate=3": "optimizer.learning_rate=3: the run in {run} has optimizer.learning_rate=0.01; only ",
    "optimizer.inference.learning_rate=3": "optimizer.inference.learning_rate=3: the run in {run} has "
    "optimizer.inference.learning_rate=null; only ",
    "data=mnist": "data=mnist: the run in {run} has data=digits; only ",
    "experiment=mnist_mlp": "experiment=mnist_mlp: the run in {run} has experiment=null; only ",
    "+estimator.power=2": "estimator.power: vi.estimators.AnalyticKL has no such argument; it takes samples, ",
    "~trainer.epochs": "~trainer.epochs: nothing can be taken out of a run that is resumed.",
    "trainer.epochs=2": "trainer.epochs=2: the run has done 4",
    "trainer.epochs=-2": "trainer.epochs=-2: must be a finite number above 0.",
    "hydra.run.dir=other": "hydra.run.dir=other: a resumed run stays in its directory; leave this out.",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_may_not_change_is_refused_and_named_and_nothing_is_touched(copy, override):
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError) as error:
        vi.train([f"resume={copy}", override])
    assert str(error.value).startswith(REFUSED[override].format(run=copy))
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "override",
    [
        *(
            "seed=0",
            "estimator=analytic_kl",
            "data=digits",
            "model={latent_dim: 2}",
            "encoder.hidden=${decoder.hidden}",
        ),
        "optimizer.inference.learning_rate=0.01",
    ],
)
def test_the_same_value_typed_again_is_no_difference(finished, override):
    typed = [f"resume={finished}", override]
    assert overrides.resumed(finished, typed, compose.compose(typed)[0]) == saved.read(finished)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
def test_a_run_goes_on_with_its_data_where_they_have_moved_but_not_with_other_data(tmp_path):
    x = np.random.default_rng(0).standard_normal((60, 3)).astype("float32")
    for name, array in (("a.npz", x), ("b.npz", x), ("other.npz", x + 1)):
        np.savez(tmp_path / name, x_train=array)
    own = ["data=arrays", f"data.path={tmp_path / 'a.npz'}", "likelihood=gaussian", "trainer.batch_size=20"]
    run = vi.train([*SMALL, *own], directory=tmp_path / "run").directory
    (tmp_path / "a.npz").unlink()
    vi.train([f"resume={run}", f"data.path={tmp_path / 'b.npz'}"])
    assert saved.read(run)["data"]["path"] == str(tmp_path / "b.npz")
    with pytest.raises(ConfigError, match=r"the data differ from the training data of the run; see data\.path"):
        vi.train([f"resume={run}", f"data.path={tmp_path / 'other.npz'}"])


@pytest.mark.usefixtures("without_pictures")
def test_one_process_at_a_time_works_in_a_directory(copy):
    with directories.lock(copy), pytest.raises(ConfigError, match=r"another process is at work in it"):
        vi.train([f"resume={copy}"])


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
def test_a_new_run_may_start_from_the_best_weights_of_another(finished, tmp_path):
    start = vi.load(finished, "best")
    run = vi.train([*SMALL, f"init_from={finished}", "optimizer.learning_rate=1e-12"], directory=tmp_path / "run")
    for a, b in zip(run.load("last").variables, start.variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert run.summary["step"] == 12
    resumed = vi.train([f"resume={run.directory}", "trainer.epochs=2"])  # from its own weights, not from the other's
    assert resumed.config["init_from"] == str(finished)
    for init_from, message in (
        (tmp_path, "holds no config.yaml"),
        (finished, r"init_from=.*has shape \(16, 2\) there"),
    ):
        with pytest.raises(ConfigError, match=message):
            vi.train([*SMALL, f"init_from={init_from}", "model.latent_dim=5"], directory=tmp_path / "other")
        assert not (tmp_path / "other").exists()


NAN = """
    import numpy as np
    import tensorflow as tf
    from sklearn.datasets import load_digits
    from vi.estimators import AnalyticKL

    class Nan(AnalyticKL):
        \"\"\"Is not finite for one datum, whose picture is known.\"\"\"
        def __init__(self, samples=1, pixels=()):
            super().__init__(samples)
            self.pixels = tf.constant(pixels, tf.float32)
        def bound(self, particles):
            same = tf.reduce_all(tf.reshape(particles.x * 16, [-1, 64]) == self.pixels, axis=1)
            return super().bound(particles) + tf.where(same, np.nan, 0.0)
        def losses(self, particles, step):
            loss = -self.bound(particles)
            return type(super().losses(particles, step))(loss, loss)
"""


@pytest.mark.usefixtures("without_pictures")
def test_one_datum_that_is_not_finite_is_named_and_the_step_can_be_replayed(tmp_path, monkeypatch, finished):
    (tmp_path / "my_nan.py").write_text(textwrap.dedent(NAN))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    data = build.build(saved.read(finished)).data
    pixels = data.train.x[777].ravel().tolist()
    bad = ["estimator=custom", "estimator._target_=my_nan.Nan", f"+estimator.pixels={pixels}", "data.binarization=none"]
    bad += ["trainer.jit=false"]
    with pytest.raises(RunError) as error:
        vi.train([*SMALL, *bad, "trainer.batch_size=50"], directory="run")
    text = str(error.value)
    for part in (
        "the bound, the generative loss and the inference loss are not finite for 1 of the 50 data",
        f"(x_train[{data.train.index[777]}])",
        "no checkpoint was written",
        "vi.replay('run/nonfinite')",
    ):
        assert part in text
    replay = vi.replay("run/nonfinite")
    assert f"{replay};" in text
    assert replay.data.tolist() == [data.train.index[777]]
    np.testing.assert_array_equal(replay.x * 16, data.train.x[replay.index])
    assert np.isnan(replay.terms["the bound"]).tolist() == (replay.index == 777).tolist()
    assert np.isfinite(replay.terms["the log-likelihood"]).all()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["error"], summary["step"]) == ("failed", text, replay.step)
    skipping = vi.train([*SMALL, *bad, "trainer.nonfinite=skip", "trainer.epochs=2"], directory=tmp_path / "skip")
    assert skipping.metrics["skipped_steps"].tolist() == [1, 2]
    assert skipping.summary["skipped_steps"] == 2


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
def test_a_learning_rate_of_a_million_stops_with_the_weights_before_the_step(tmp_path):
    wild = ["optimizer=sgd", "optimizer.learning_rate=1e6", "trainer.epochs=50"]
    with pytest.raises(
        RunError, match=r"^step \d+: .* not finite for \d+ of the 100 data \(x_train\[[\d, …]+\]\); "
    ) as error:
        vi.train([*SMALL, *wild], directory=tmp_path / "run")
    replay = vi.replay(tmp_path / "run" / "nonfinite")
    assert f"{replay};" in str(error.value)
    assert replay.causes
    report = json.loads((tmp_path / "run" / "nonfinite" / "report.json").read_text())
    assert (report["step"], report["seed"], report["causes"]) == (replay.step, 0, replay.causes)


OVERFLOW = """
    import tensorflow as tf
    from vi.estimators import AnalyticKL

    class Huge(AnalyticKL):
        \"\"\"Is finite for each datum, and overflows in the mean over the batch.\"\"\"
        def bound(self, particles):
            return super().bound(particles) + 3e37
"""


@pytest.mark.usefixtures("without_pictures")
def test_a_mean_that_overflows_is_named(tmp_path, monkeypatch):
    (tmp_path / "my_huge.py").write_text(textwrap.dedent(OVERFLOW))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RunError, match=r"^step 0: the mean train/bound is not finite for 100 of the 100 data") as error:
        vi.train([*TINY, "estimator=custom", "estimator._target_=my_huge.Huge"], directory=tmp_path / "run")
    assert str(error.value).endswith("look at the scale of the data; data.standardize=true or data.scale often helps.")
    assert "learning_rate" not in str(error.value)


@pytest.mark.usefixtures("without_pictures")
def test_where_the_step_cannot_be_examined_its_number_is_still_said(tmp_path, monkeypatch):
    def fail(trainer):
        raise ValueError("no memory")

    monkeypatch.setattr("vi.runs.failure.examine", fail)
    wild = ["optimizer=sgd", "optimizer.learning_rate=1e9"]
    with pytest.raises(
        RunError, match=r"^step \d+ is not finite; no checkpoint .*not be kept \(ValueError: no memory\)"
    ):
        vi.train([*TINY, *wild], directory=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "failed"


def test_beside_resume_hydra_composes_nothing_but_its_own_and_the_logger(finished):
    """So a run can be resumed after the config directory that held its choices has gone."""
    resume = f"resume={finished}"
    typed = [resume, "+study=mine", "data=mydata", "logger=none", "hydra.job.chdir=false", "trainer.epochs=9"]
    assert overrides.composable(typed) == [resume, "logger=none", "hydra.job.chdir=false"]
    assert overrides.composable(typed[1:]) == typed[1:]


def test_only_a_kept_step_can_be_replayed(finished, tmp_path):
    with pytest.raises(ConfigError, match="holds no step that can be replayed"):
        vi.replay(finished / "checkpoints")
    with pytest.raises(ConfigError, match=r"holds no config\.yaml"):
        vi.replay(tmp_path / "nonfinite")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
def test_a_full_disk_leaves_the_last_good_checkpoint_whole_and_one_sentence(small_disk, finished):
    ballast = small_disk / "ballast"
    run = shutil.copytree(finished, small_disk / "run")
    free = shutil.disk_usage(small_disk).free
    ballast.write_bytes(b"0" * (free - 16_384))
    with pytest.raises(RunError) as error:
        vi.train([f"resume={run}", "trainer.epochs=8"])
    assert "the checkpoint of step 60 could not be written (No space left on device); " in str(error.value)
    assert "the last good one is step_000000048" in str(error.value)
    assert "\n" not in str(error.value)
    assert vi.load(run, "last").generate(1).shape == (1, 8, 8, 1)
    ballast.unlink()
    vi.train([f"resume={run}", "trainer.epochs=4"])
    assert_same_run(finished, run)


@pytest.mark.usefixtures("without_pictures")
def test_a_real_likelihood_of_bits_is_remarked(tmp_path, caplog):
    overrides = [*TINY, "encoder.hidden=[4]", "decoder.hidden=[4]", "likelihood=gaussian", "trainer.epochs=0.1"]
    vi.train(overrides, directory=tmp_path / "bits")
    assert "The data are bits (data.binarization=dynamic), but the likelihood is of real data" in caplog.text


@pytest.mark.parametrize("chosen", [None, "0"])
def test_import_hides_the_first_lines_of_tensorflow_unless_the_user_has_chosen(chosen):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment |= {} if chosen is None else {"TF_CPP_MIN_LOG_LEVEL": chosen}
    shown = "import os, vi; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    printed = subprocess.run([sys.executable, "-c", shown], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout == f"{chosen or '3'}\n"


@pytest.mark.slow
def test_the_first_use_of_tensorflow_prints_nothing():
    printed = subprocess.run(
        [sys.executable, "-c", "import vi; vi.testing"], capture_output=True, text=True, check=True
    )
    assert printed.stdout + printed.stderr == ""
