"""Checkpoints are whole or absent, few, and give everything back."""

import contextlib
import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.support.training import make_trainer, weights
from vi.errors import ConfigError, RunError
from vi.training.checkpoints import Checkpoints


def test_a_trainer_that_is_restored_goes_on_bit_for_bit(tmp_path):
    straight = make_trainer(jit=True)
    straight.run(30)
    first = make_trainer(jit=True)
    first.run(13)
    Checkpoints(tmp_path, first.state).save(13, {"step": 13, "best_step": None})
    second = make_trainer(jit=True, seed=0)
    state = Checkpoints(tmp_path, second.state).restore("last")
    second.run(17)
    assert state == {"step": 13, "best_step": None}
    np.testing.assert_array_equal(weights(second), weights(straight))
    np.testing.assert_array_equal(second.sums.numpy(), straight.sums.numpy())


def test_restoring_into_a_trainer_that_has_run_is_exact_too(tmp_path):
    trainer = make_trainer(jit=True)
    trainer.run(13)
    checkpoints = Checkpoints(tmp_path, trainer.state)
    checkpoints.save(13, {})
    trainer.run(20)
    expected = weights(trainer)
    checkpoints.restore("last")
    trainer.run(20)
    np.testing.assert_array_equal(weights(trainer), expected)


def test_a_step_can_be_written_again_and_rests_of_a_killed_process_are_removed(tmp_path):
    variable = tf.Variable(1.0)
    checkpoints = Checkpoints(tmp_path, {"model": [variable]})
    checkpoints.save(1, {})
    (tmp_path / ".step_000000002.partial").mkdir()
    (tmp_path / ".hidden").touch()
    variable.assign(2.0)
    checkpoints.save(1, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "step_000000001"]
    variable.assign(3.0)
    checkpoints.restore("last")
    assert variable.numpy() == 2


def save_four(directory):
    """Checkpoints of steps 9, 10, 11 and 100, of which 9, then 11 is the best; the value is the step."""
    variable = tf.Variable(0.0)
    checkpoints = Checkpoints(directory, {"model": [variable]})
    for step, best in ((9, 9), (10, 9), (11, 11), (100, 11)):
        variable.assign(float(step))
        checkpoints.save(step, {"best_step": best})
    return variable, checkpoints


def names(directory):
    return sorted(int(path.name.removeprefix("step_")) for path in directory.iterdir())


def test_the_last_two_are_kept_and_the_best_of_each(tmp_path):
    variable, checkpoints = save_four(tmp_path)
    assert names(tmp_path) == [11, 100]
    checkpoints.restore("best")
    assert variable.numpy() == 11
    checkpoints.restore("last")
    assert variable.numpy() == 100
    checkpoints.save(101, {"best_step": 101})
    assert names(tmp_path) == [11, 100, 101]
    checkpoints.save(102, {"best_step": 101})
    assert names(tmp_path) == [101, 102]


def damage(folder, how):
    if how == "missing":
        shutil.rmtree(folder)
    elif how == "empty":
        for file in folder.iterdir():
            file.unlink()
    else:
        name, part = how
        (file,) = folder.glob(name)
        whole = file.read_bytes()
        file.write_bytes(whole[: int(part * len(whole))])


@pytest.mark.parametrize(
    "how", ["missing", "empty", *((n, p) for n in ("*.index", "*.data*", "state.json") for p in (0, 0.3, 0.9))]
)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(tmp_path, caplog, how):
    variable = tf.Variable(tf.zeros([50]))
    checkpoints = Checkpoints(tmp_path, {"model": [variable]})
    for step in (1, 2):
        variable.assign(tf.fill([50], float(step)))
        checkpoints.save(step, {"step": step, "best_step": step})
    damage(tmp_path / "step_000000002", how)
    for which in ("last", "best"):
        caplog.clear()
        variable.assign(tf.zeros([50]))
        assert checkpoints.restore(which)["step"] == 1
        assert variable.numpy().tolist() == [1.0] * 50
        if how != "missing" and not (which == "best" and how in ("empty", *[("state.json", p) for p in (0, 0.3, 0.9)])):
            assert "step_000000002 is damaged" in caplog.text


def test_where_all_are_damaged_a_sentence_says_so(tmp_path):
    _, checkpoints = save_four(tmp_path)
    for folder in tmp_path.iterdir():
        damage(folder, "empty")
    with pytest.raises(ConfigError, match=r"holds no last checkpoint that can be read\."):
        checkpoints.restore("last")


def test_later_checkpoints_are_forgotten(tmp_path):
    _, checkpoints = save_four(tmp_path)
    checkpoints.forget_after(11)
    assert names(tmp_path) == [11]


def test_a_write_that_breaks_off_leaves_the_last_good_one_and_says_which(tmp_path, monkeypatch):
    variable = tf.Variable(1.0)
    checkpoints = Checkpoints(tmp_path, {"model": [variable]})
    checkpoints.save(1, {})
    variable.assign(2.0)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(
        RunError, match=r"step 2 could not be written \(No space left.*; the last good one is step_0+1\."
    ):
        checkpoints.save(2, {})
    assert names(tmp_path) == [1]
    checkpoints.restore("last")
    assert variable.numpy() == 1


def test_a_model_of_another_shape_is_refused_in_a_sentence(tmp_path):
    Checkpoints(tmp_path, {"model": [tf.Variable(tf.zeros([2, 3]))]}).save(1, {})
    for variables, message in (
        ([tf.Variable(tf.zeros([2, 4]))], r"a variable of model .* has shape \(2, 3\) there, and \(2, 4\) here"),
        ([tf.Variable(tf.zeros([2, 3]))] * 2, "holds 1 variables of model, not 2"),
        ([], "holds 1 variables of model, not 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            Checkpoints(tmp_path, {"model": variables}).restore("last")


def test_the_model_alone_can_be_read(tmp_path):
    trainer = make_trainer()
    Checkpoints(tmp_path, trainer.state).save(0, {})
    other = make_trainer().model
    for variable in other.variables:
        variable.assign(tf.zeros_like(variable))
    Checkpoints(tmp_path, {"model": other.variables}).restore("last")
    for a, b in zip(trainer.model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_none_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="holds no best checkpoint that can be read"):
        Checkpoints(tmp_path, {"model": [tf.Variable(0.0)]}).restore("best")


def test_a_checkpoint_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    trainer = make_trainer()
    checkpoints = Checkpoints(tmp_path, trainer.state)
    checkpoints.save(2, {"step": 2})
    rename = Path.rename
    full = OSError(28, "No space left on device")

    def fails(path, target):
        if path.name == ".step_000000002.partial":
            raise full
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(RunError, match="the last good one is step_000000002"):
        checkpoints.save(2, {"step": 2, "again": True})
    assert checkpoints.restore("last") == {"step": 2}


class Killed(BaseException):
    """The process ends here; nothing is caught."""


def killed_before(operation, patch):
    """Ends the process before one of the operations that change the directory: the first is 0."""
    count = iter(range(1000))

    def counted(function):
        def call(*args, **options):
            if next(count) == operation:
                raise Killed
            return function(*args, **options)

        return call

    for owner, name in ((Path, "mkdir"), (Path, "rename"), (Path, "write_text"), (shutil, "rmtree"), (os, "unlink")):
        patch.setattr(owner, name, counted(getattr(owner, name)))


@pytest.mark.parametrize("again", ["restored", "resumed", "saved"])
def test_a_process_killed_anywhere_while_it_replaces_a_checkpoint_loses_none(tmp_path, monkeypatch, again):
    variable = tf.Variable(0.0)
    for operation in range(1000):
        checkpoints = Checkpoints(tmp_path / str(operation), {"model": [variable]})
        for step in (1, 2):
            variable.assign(float(step))
            checkpoints.save(step, {"step": step, "best_step": 2, "value": step})
        variable.assign(3.0)
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            killed_before(operation, patch)
            checkpoints.save(2, {"step": 2, "best_step": 2, "value": 3})
            break
        before = sorted(checkpoints.directory.rglob("*"))
        assert checkpoints
        for which in ("last", "best"):
            state = checkpoints.restore(which)
            assert (state["step"], state["value"]) == (2, int(variable.numpy()))
        assert sorted(checkpoints.directory.rglob("*")) == before  # a reader changes no file
        value = state["value"]
        if again == "resumed":
            checkpoints.forget_after(2)
            assert names(checkpoints.directory) == [1, 2]
            checkpoints.forget_after(1)
            assert names(checkpoints.directory) == [1]
        elif again == "saved":
            checkpoints.save(3, {"step": 3, "best_step": 2})
            assert names(checkpoints.directory) == [2, 3]
            checkpoints.restore("best")
            assert variable.numpy() == value
    assert operation > 6
