"""Cyclical annealing, the warm-ups of the KL weight, and the schedules of the learning rates."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import vi
from tests.support.runs import TINY
from vi.errors import ConfigError
from vi.runs import build
from vi.settings import compose
from vi.training.schedules import Annealing, Cyclical


def test_each_cycle_rises_linearly_and_stays_and_after_the_last_it_is_at_its_end():
    schedule = Cyclical(period=10, cycles=2, rise=0.5, end=2.0)
    values = [float(schedule(tf.constant(step, tf.int64))) for step in range(25)]
    cycle = [0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.0, 2.0, 2.0, 2.0]
    np.testing.assert_allclose(values, [*cycle, *cycle, *[2.0] * 5], rtol=1e-6)


def test_it_is_made_again_from_its_config():
    schedule = Cyclical(7, 3, 0.25, 4.0)
    again = Cyclical.from_config(schedule.get_config())
    assert [float(again(step)) for step in range(30)] == [float(schedule(step)) for step in range(30)]


@pytest.mark.parametrize(("warmup", "at_100", "at_2500"), [("linear", 0.02, 0.5), ("cyclical", 0.04, 1.0)])
def test_a_warm_up_is_chosen_by_name(warmup, at_100, at_2500):
    parts = build.build(compose.resolve(*compose.compose(["data=digits", f"warmup={warmup}"])))
    assert isinstance(parts.beta, keras.optimizers.schedules.LearningRateSchedule)
    assert [float(parts.beta(step)) for step in (0, 100, 2500)] == pytest.approx([0.0, at_100, at_2500])


def test_a_warm_up_takes_settings_of_its_own():
    composed = compose.resolve(*compose.compose(["warmup=cyclical", "trainer.beta.cycles=2", "trainer.beta.end=4.0"]))
    assert composed["trainer"]["beta"]["cycles"] == 2


@pytest.mark.parametrize("wrong", [{"period": 0}, {"period": 10, "rise": 0.0}, {"period": 10, "rise": 1.5}])
def test_a_cycle_that_is_none_is_one_sentence(wrong):
    with pytest.raises(ConfigError, match=r"^(period=0: must be at least 1|rise=.*: must be above 0 and at most 1)\."):
        Cyclical(**wrong)


def test_a_temperature_falls_exponentially_to_its_minimum():
    schedule = Annealing(rate=0.1, minimum=0.3)
    values = [float(schedule(tf.constant(step, tf.int64))) for step in (0, 1, 5, 12, 13, 1000)]
    np.testing.assert_allclose(values, [*np.exp([0.0, -0.1, -0.5, -1.2]), 0.3, 0.3], rtol=1e-6)


def parts_of(*overrides):
    return build.build(compose.resolve(*compose.compose(["data=digits", "trainer.epochs=8", *overrides])))


def rates(overrides, epochs, group="inference", every=1):
    """The learning rates of a group at some epochs; the digits make 11.98 steps of 120 data an epoch."""
    parts = parts_of("trainer.batch_size=120", *overrides)
    optimizer, steps = parts.optimizers[group], len(parts.data.train) / 120
    found = []
    for epoch in epochs:
        optimizer.iterations.assign(round(epoch * steps / every))
        found.append(float(optimizer.learning_rate))
    return found


@pytest.mark.parametrize(
    ("choice", "factors"),
    [
        (["schedule=cosine"], [1.0, (1 + math.cos(math.pi / 8)) / 2, 0.5, 0.0]),
        (["schedule=cosine", "schedule.warmup_epochs=4"], [0.0, 0.25, 1.0, 0.5]),
        (["schedule=linear"], [1.0, 0.875, 0.5, 0.0]),
        (["schedule=exponential", "schedule.decay_epochs=2"], [1.0, 0.5**0.5, 0.25, 0.0625]),
        (["schedule=stages", "schedule.boundary_epochs=[2,6]"], [1.0, 1.0, 0.1, 0.01]),
        (
            ["schedule=restarts", "schedule.first_decay_epochs=2.5"],
            [1.0, (1 + math.cos(math.pi / 2.5)) / 2, None, None],
        ),
    ],
)
def test_a_schedule_multiplies_the_learning_rate_over_epochs(choice, factors):
    expected = [factor for factor in factors if factor is not None]
    found = rates([*choice, "optimizer.learning_rate=0.2"], [0, 1, 4, 8][: len(expected)])
    assert found == pytest.approx([0.2 * factor for factor in expected], rel=0.03, abs=1e-6)  # half a step of 12


def test_each_group_keeps_its_own_learning_rate_below_the_schedule():
    overrides = [
        "schedule=linear",
        "optimizer=adamw",
        "optimizer.learning_rate=0.1",
        "optimizer.inference.learning_rate=2",
    ]
    assert rates(overrides, [4], "generative") == pytest.approx([0.05], rel=1e-3)
    assert rates(overrides, [4], "inference") == pytest.approx([1.0], rel=1e-3)


def test_a_group_that_is_updated_less_often_follows_the_same_epochs():
    overrides = ["schedule=linear", "optimizer.learning_rate=0.1", "trainer.update_every.inference=3"]
    assert rates(overrides, [4], every=3) == pytest.approx([0.05], rel=0.03)


def test_the_weight_of_the_kl_can_rise_over_epochs_too():
    overrides = ["warmup=linear", "~trainer.beta.decay_steps", "+trainer.beta.decay_epochs=4"]
    parts = parts_of("trainer.batch_size=120", *overrides)
    steps = len(parts.data.train) / 120
    assert [float(parts.beta(round(epoch * steps))) for epoch in (0, 2, 4, 8)] == pytest.approx(
        [0, 0.5, 1, 1], abs=0.01
    )


def test_whole_numbers_in_a_schedule_are_real_numbers():
    stages = ["schedule=stages", "schedule.boundary_epochs=[2,4]", "schedule.values=[1,0.5,0]"]
    assert rates([*stages, "optimizer.learning_rate=1"], [1, 3, 6]) == pytest.approx([1.0, 0.5, 0.0])
    line = ["schedule=linear", "schedule.initial_learning_rate=1", "schedule.end_learning_rate=0"]
    assert rates([*line, "optimizer.learning_rate=1"], [0, 4]) == pytest.approx([1.0, 0.5], rel=0.03)
    beta = parts_of("warmup=linear", "trainer.beta.initial_learning_rate=0", "trainer.beta.end_learning_rate=1").beta
    assert float(beta(2500)) == pytest.approx(0.5)
    rate = "optimizer.learning_rate={_target_: keras.optimizers.schedules.ExponentialDecay, initial_learning_rate: 1, "
    optimizer = parts_of(rate + "decay_steps: 10, decay_rate: 0.25}").optimizers["inference"]
    optimizer.iterations.assign(5)
    assert float(optimizer.learning_rate) == pytest.approx(0.5)


def test_the_config_of_a_run_keeps_the_epochs_of_its_schedule():
    config = compose.resolve(*compose.compose(["data=digits", "trainer.epochs=8", "schedule=cosine"]))
    assert config["schedule"]["decay_epochs"] == 8


@pytest.mark.slow
def test_a_run_that_goes_on_after_the_end_of_its_schedule_says_so(tmp_path, caplog, without_pictures):
    before = vi.train([*TINY, "schedule=linear"], tmp_path).load("last").variables
    after = vi.train([f"resume={tmp_path}", "trainer.epochs=2"]).load("last").variables
    assert "The schedule of the learning rates has ended at 0, so that further epochs change no weights." in caplog.text
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old.numpy(), new.numpy())
