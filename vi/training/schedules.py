"""Schedules of the training step that Keras lacks."""

from __future__ import annotations

from typing import Annotated, Any

import keras

from vi.errors import SettingError
from vi.kinds import NonNegative, Positive, Range


class Cyclical(keras.optimizers.schedules.LearningRateSchedule):
    """Cyclical annealing of the KL weight (Fu et al., 2019, eq. 6): in each cycle the weight rises, then stays.

    Args:
        period: the steps of a cycle.
        cycles: the number of cycles. After them the value is `end`.
        rise: the fraction of a cycle in which the value rises from 0 to `end`.
        end: the value after the rise.

    Raises:
        ConfigError: `period` is below 1, or `rise` is not above 0 and at most 1.
    """

    def __init__(
        self,
        period: Annotated[int, Positive],
        cycles: Annotated[int, NonNegative] = 4,
        rise: Annotated[float, Range(above=0, high=1)] = 0.5,
        end: float = 1.0,
    ):
        if period < 1:
            raise SettingError("period", period, "must be at least 1.")
        if not 0 < rise <= 1:
            raise SettingError("rise", rise, "must be above 0 and at most 1.")
        self.period, self.cycles, self.rise, self.end = period, cycles, rise, end

    def __call__(self, step: Any) -> Any:
        """The value at a step."""
        ops, dtype = keras.ops, keras.config.floatx()
        within = ops.cast(ops.mod(step, self.period), dtype) / self.period
        risen = self.end * ops.minimum(1.0, within / self.rise)
        return ops.where(step < self.cycles * self.period, risen, ops.cast(self.end, dtype))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"period": self.period, "cycles": self.cycles, "rise": self.rise, "end": self.end}


class Annealing(keras.optimizers.schedules.LearningRateSchedule):
    """The temperature max(minimum, exp(−rate · step)) of Jang et al. (2017, section 4).

    Args:
        rate: the rate of the decay from 1.
        minimum: the lowest temperature.
    """

    def __init__(self, rate: Annotated[float, NonNegative], minimum: Annotated[float, NonNegative] = 0.5):
        self.rate, self.minimum = float(rate), float(minimum)

    def __call__(self, step: Any) -> Any:
        """The temperature at a step."""
        ops = keras.ops
        return ops.maximum(ops.exp(-self.rate * ops.cast(step, keras.config.floatx())), self.minimum)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"rate": self.rate, "minimum": self.minimum}


class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate times the factor of a schedule.

    Args:
        learning_rate: the learning rate where the factor is 1.
        factor: the factor, a schedule of the training step.
        every: n: the optimizer updates at every n-th training step. It counts its updates.
    """

    def __init__(
        self,
        learning_rate: Annotated[float, Positive],
        factor: keras.optimizers.schedules.LearningRateSchedule,
        every: Annotated[int, Positive] = 1,
    ):
        self.learning_rate, self.factor, self.every = learning_rate, factor, every

    def __call__(self, step: Any) -> Any:
        """The learning rate at an update."""
        return self.learning_rate * self.factor(step * self.every)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"learning_rate": self.learning_rate, "factor": self.factor, "every": self.every}
