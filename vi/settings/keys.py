"""The keys of a config: the groups, the leaves of a config, and the texts of keys and values."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MISSING = "???"
GROUPS = ("generative", "inference", "auxiliary")
"""The groups of parameters: θ, φ and ψ."""
COMPONENTS = ("data", "encoder", "posterior", "decoder", "likelihood", "prior", "estimator", "optimizer")
"""The groups of choices that name a class or function."""
NAMED = (*COMPONENTS, "schedule")
"""The groups whose choice may be a dotted path."""
CHOSEN = ("trainer", "schedule", "warmup", "logger", "experiment", "debug", "sweep")
"""The other groups of choices."""
FILLED_IN = ("pseudo", "model.event_shape", "model.standardized", "model.columns")
COMMANDS = ("resume", "sweep", "trust")
"""The keys of a command that are not in the config of a run."""
MAY_CHANGE = ("trainer.epochs", "trainer.profile", "data.path", "logger")
"""The keys that may change when a run is resumed."""


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of a nested config and their values; lists, and schedules with their settings, are values."""
    for name, value in config.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and not _is_schedule(key, value):
            yield from leaves(value, f"{key}.")
        else:
            yield key, value


def _is_schedule(key: str, value: Mapping[str, Any]) -> bool:
    section, _, name = key.partition(".")
    below = bool(name) and not (section == "optimizer" and name in GROUPS)
    return below and "_target_" in value and "_partial_" not in value


def is_of(key: str, sections: Sequence[str]) -> bool:
    """Whether a dotted key is one of these sections, or lies below one of them."""
    return any(key == section or key.startswith(f"{section}.") for section in sections)


def show(value: Any) -> str:
    """A value in the syntax of a config."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def suggestion(wrong: str, allowed: Sequence[str]) -> str:
    """The end of a sentence: the closest allowed name as a question, or a full stop."""
    close = difflib.get_close_matches(wrong, [name for name in allowed if name != wrong], 1)
    return f"; did you mean {close[0]}?" if close else "."
