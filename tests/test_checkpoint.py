"""Checkpoints are whole or absent, few, and give everything back."""

import numpy as np
import pytest
import tensorflow as tf

from tests.test_trainer import make_trainer, weights
from vi.checkpoint import Checkpoints
from vi.errors import ConfigError


def test_a_trainer_that_is_restored_goes_on_bit_for_bit(tmp_path):
    straight = make_trainer(jit=True)
    straight.run(30)
    first = make_trainer(jit=True)
    first.run(13)
    Checkpoints(tmp_path, first.state).save(13, {"step": 13})
    second = make_trainer(jit=True, seed=0)
    state = Checkpoints(tmp_path, second.state).restore("last")
    second.run(17)
    assert state == {"step": 13}
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


def test_the_last_two_and_the_best_are_kept(tmp_path):
    variable = tf.Variable(0.0)
    checkpoints = Checkpoints(tmp_path, {"model": [variable]})
    for step in (9, 10, 11, 100):
        variable.assign(float(step))
        checkpoints.save(step, {})
        if step in (9, 11):
            checkpoints.save(step, {}, best=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best_000000011", "step_000000011", "step_000000100"]
    checkpoints.restore("best")
    assert variable.numpy() == 11
    checkpoints.restore("last")
    assert variable.numpy() == 100


def test_a_write_that_breaks_off_leaves_the_last_good_one(tmp_path, monkeypatch):
    variable = tf.Variable(1.0)
    checkpoints = Checkpoints(tmp_path, {"model": [variable]})
    checkpoints.save(1, {})
    variable.assign(2.0)
    monkeypatch.setattr("vi.checkpoint.json.dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        checkpoints.save(2, {})
    checkpoints.restore("last")
    assert variable.numpy() == 1


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
    with pytest.raises(ConfigError, match="holds no best checkpoint"):
        Checkpoints(tmp_path, {"model": [tf.Variable(0.0)]}).restore("best")
