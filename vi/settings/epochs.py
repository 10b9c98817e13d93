"""Settings of schedules in epochs. The schedules themselves count steps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from vi.errors import ConfigError
from vi.kinds import Kind, NonNegative, Positive, is_list
from vi.settings.constructors import read
from vi.settings.keys import show

COUNTED = {
    "decay_epochs": "decay_steps",
    "first_decay_epochs": "first_decay_steps",
    "warmup_epochs": "warmup_steps",
    "boundary_epochs": "boundaries",
}
"""The settings in epochs, and the arguments of Keras's schedules in steps."""

_EPOCHS = Positive.of(float)
KINDS = {
    "decay_epochs": _EPOCHS,
    "first_decay_epochs": _EPOCHS,
    "warmup_epochs": NonNegative.of(float),
    "boundary_epochs": Kind(
        "a list of positive epochs that rises, such as [20, 40]",
        lambda v: is_list(v) and all(map(_EPOCHS.test, v)) and all(a < b for a, b in itertools.pairwise(v)),
    ),
}


def in_steps(settings: Mapping[str, Any], steps: float) -> dict[str, Any]:
    """The settings of a schedule with its epochs in steps.

    Other whole numbers of Keras's schedules become floats, since the type of the schedule's values follows from them.

    Args:
        settings: checked by `check_epochs`.
        steps: the steps of an epoch.
    """
    if not str(settings.get("_target_")).startswith("keras."):
        return dict(settings)
    found = {name: value if name in COUNTED.values() else _real(value) for name, value in settings.items()}
    for name in _of_epochs(settings):
        del found[name]
        value = settings[name]
        found[COUNTED[name]] = [_rounded(each * steps) for each in value] if is_list(value) else _rounded(value * steps)
    return found


def check_epochs(key: str, settings: Mapping[str, Any]) -> None:
    """Raises ConfigError for a setting in epochs that is not allowed, or that is given in steps, too."""
    for name in _of_epochs(settings):
        if not KINDS[name].test(settings[name]):
            raise ConfigError(f"{key}.{name}={show(settings[name])}: must be {KINDS[name].allowed}.")
        if (steps := COUNTED[name]) in settings:
            raise ConfigError(
                f"{key}.{name}={show(settings[name])} and {key}.{steps}={show(settings[steps])}: only one of them can "
                f"be given; ~{key}.{name} leaves out one."
            )


def _of_epochs(settings: Mapping[str, Any]) -> list[str]:
    """The settings of one of Keras's schedules that count epochs."""
    target = str(settings.get("_target_"))
    if not target.startswith("keras.") or (constructor := read(target)) is None:
        return []
    return [name for name in settings if COUNTED.get(name) in constructor.arguments]


def _rounded(steps: float) -> int:
    """A whole number of steps; at least one, if there are any."""
    return max(round(steps), steps > 0)


def _real(value: Any) -> Any:
    if is_list(value):
        return [_real(each) for each in value]
    return float(value) if type(value) is int else value
