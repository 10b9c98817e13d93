"""The profile of a train step and of a run: its terms, what it leaves, and that it changes no number."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import vi
from tests.support.runs import TINY, assert_same_run, eagerly, leave_no_pictures
from tests.support.training import make_trainer, weights
from vi.diagnostics import profile as of_step
from vi.estimators import IWAE, WakeSleep
from vi.loggers.profile import MEANINGS
from vi.runs import profile as of_run
from vi.training.fit import Progress

TERMS = [
    *("data", "noise", "encoder", "sampling", "decoder", "likelihood"),
    *("loss", "backward", "metrics", "optimizer", "rest"),
]


@pytest.fixture
def hurried(monkeypatch):
    """Profiles of a few steps."""
    monkeypatch.setattr(of_step, "SECONDS", 0.001)
    monkeypatch.setattr(of_step, "ROUNDS", 1)


def state(trainer):
    return [tf.identity(variable).numpy() for group in trainer.state.values() for variable in group]


def assert_same(before, after):
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_steps_that_are_timed_leave_the_training_as_it_was():
    with eagerly():
        trainer = make_trainer()
        trainer.run(1)
        before = state(trainer)
        assert of_step._run(trainer, 2) > 0
    assert_same(before, state(trainer))


@pytest.mark.slow
def test_a_profile_has_the_terms_of_the_step_and_leaves_the_training_as_it_was(hurried):
    trainer = make_trainer(IWAE(3))
    trainer.run(4)
    before = state(trainer)
    found = of_step.profile_step(trainer)
    assert list(found) == TERMS
    assert all(milliseconds >= 0 for milliseconds in found.values())
    assert_same(before, state(trainer))
    trainer.run(3)
    plain = make_trainer(IWAE(3))
    plain.run(7)
    np.testing.assert_allclose(weights(trainer), weights(plain), rtol=1e-5, atol=1e-7)


def test_dreams_are_a_term_where_the_estimator_dreams():
    names = list(of_step.parts(make_trainer(WakeSleep(2))))
    assert names[names.index("likelihood") : names.index("backward")] == ["likelihood", "dreams", "loss"]
    assert {*names, "rest", "step", "evaluation", "host"} == set(MEANINGS)


@pytest.mark.slow
def test_the_first_part_is_the_data_of_each_step_and_the_last_part_the_whole_step():
    trainer, steps = make_trainer(IWAE(3)), 9
    parts = of_step.parts(trainer)
    x, *_ = of_step._loop(trainer, parts["data"], steps)()
    np.testing.assert_array_equal(x, trainer.batches.at(steps - 1)[0].x)
    of_step._loop(trainer, parts["optimizer"], steps)()
    other = make_trainer(IWAE(3))
    other.run(steps)
    np.testing.assert_allclose(weights(trainer), weights(other), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([1.0, 3.0, 3.5, 7.0], [1, 2, 0.5, 3.5]),
        ([1.0, 4.0, 2.0, 7.0], [1, 2, 0, 4]),  # the longer part is the faster one: both take their mean
        ([2.0, 9.0, 1.0, 4.0], [2, 2, 0, 0]),  # no part is longer than the whole
    ],
)
def test_increments_are_not_negative_and_add_up_to_the_whole(times, expected):
    found = of_step.increments(np.array(times))
    np.testing.assert_allclose(found, expected)
    assert sum(found) == pytest.approx(times[-1])


@pytest.mark.slow
def test_xla_leaves_out_what_a_part_does_not_need():
    trainer = make_trainer(IWAE(3), jit=True)
    products = []
    for name in ("data", "encoder", "decoder", "backward"):
        loop = tf.function(of_step._loop(trainer, of_step.parts(trainer)[name], 3), jit_compile=True)
        products.append(loop.experimental_get_compiler_ir()(stage="optimized_hlo").count(" dot("))
    assert products[0] == 0 < products[1] < products[2] < products[3]


def test_the_clock_of_a_run_tells_compiling_evaluation_and_host_apart():
    clock = of_run.Clock()
    clock.progress(Progress(step=10, seconds=100.0, training_seconds=50.0))  # a run that is resumed
    clock.progress(Progress(step=11, seconds=107.0, training_seconds=50.0))  # the first call compiles
    clock.progress(Progress(step=50, seconds=110.0, training_seconds=52.5))
    clock.log({"seconds": 114.0})  # the first evaluation compiles
    clock.progress(Progress(step=110, seconds=117.0, training_seconds=55.0))
    clock.log({"seconds": 118.0})
    assert clock.compiling == 7 + 3
    assert clock.between() == {"evaluation": pytest.approx(20.0), "host": pytest.approx(10.0)}


def test_a_clock_without_steps_has_nothing_between_them():
    clock = of_run.Clock()
    clock.progress(Progress(step=10, seconds=100.0))
    assert (clock.between(), clock.compiling) == ({}, 0.0)


def test_a_profile_that_fails_is_a_warning_and_the_run_goes_on(tmp_path, monkeypatch, caplog):
    def busy(*_):
        raise tf.errors.AlreadyExistsError(None, None, "Another profiler session is active.")

    monkeypatch.setattr(of_run, "profile_step", lambda *_: {"data": 1.0})
    monkeypatch.setattr(of_run, "trace", busy)
    of_run.profile(None, of_run.Clock(), None, tmp_path, lambda: None)
    assert caplog.messages[-1] == "trainer.profile is given up: Another profiler session is active."


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["estimator=wake_sleep", "trainer.update_every.inference=2"]])
def test_a_run_with_a_profile_is_the_same_run_bit_for_bit(more, tmp_path, hurried, monkeypatch, capsys):
    leave_no_pictures(monkeypatch)
    own = [*TINY, "trainer.jit=true", "encoder.hidden=[8]", "decoder.hidden=[8]", *more]
    vi.train(own, directory=tmp_path / "plain")
    vi.train([*own, "trainer.profile=true"], directory=tmp_path / "profiled")
    assert_same_run(tmp_path / "plain", tmp_path / "profiled")
    shown = capsys.readouterr().out
    terms = pd.read_csv(tmp_path / "profiled" / "profile" / "profile.csv").set_index("term")
    assert [term for term in terms.index if term != "dreams"] == [*TERMS, "evaluation", "host"]
    assert all(f"\n  {term} " in shown for term in terms.index)
    assert (terms >= 0).all(axis=None)
    assert terms["percent"].sum() == pytest.approx(100, abs=1e-3)
    (trace,) = (tmp_path / "profiled" / "profile").glob("plugins/profile/*/*.xplane.pb")
    assert trace.stat().st_size > 1000
    assert "tensorboard --logdir" in shown


@pytest.mark.slow
def test_a_finished_run_is_profiled_when_it_is_resumed(tmp_path, hurried, monkeypatch, capsys):
    leave_no_pictures(monkeypatch)
    vi.train([*TINY, "encoder.hidden=[8]", "decoder.hidden=[8]"], directory=tmp_path)
    run = vi.train([f"resume={tmp_path}", "trainer.profile=true"])
    assert list(pd.read_csv(run.directory / "profile" / "profile.csv")["term"]) == TERMS
