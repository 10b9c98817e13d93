"""Cyclical annealing, and the warm-ups that configs offer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

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
