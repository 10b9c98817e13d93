"""Which runs are of one setting, and a short name for it: what distinguishes it from the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vi.compare.runs import Run
from vi.settings.schema import COMPONENTS, GROUPS, is_of, leaves, show

# What is not a setting: it changes no result, or follows from what does. Names are for people; data.path only says
# where the data lie, and what they are the hash tells.
NO_SETTING = (
    *("seed", "name", "choices", "pseudo", "data.path", "trainer.steps_per_call", "model.event_shape", "logger"),
    *("trainer.diagnose_every", "trainer.evaluate", "trainer.evaluation_samples"),
)
PRESETS = ("experiment", "debug", "trainer", "warmup")

Row = dict[str, str]


def name_settings(runs: Sequence[Run]) -> list[str]:
    """The name of each run's setting; runs of one setting have the same.

    A setting is a config but for the seed. Its name holds the keys that differ between settings, those that were typed
    before those that follow from them.
    """
    known = [(run, _settings(run.config)) for run in runs if run.config]
    _tell_data_apart(known)
    if len(_by_setting(known)) == 1:
        known = [(run, row | {"name": show(run.config.get("name"))}) for run, row in known]
    settings = _by_setting(known)
    names = {
        run.directory: name for name, members in zip(_names(settings), settings, strict=True) for run, _ in members
    }
    return [names.get(run.directory) or _name_by_overrides(run, runs, names) for run in runs]


def _by_setting(known: Sequence[tuple[Run, Row]]) -> list[list[tuple[Run, Row]]]:
    settings: dict[frozenset, list[tuple[Run, Row]]] = defaultdict(list)
    for run, row in known:
        settings[frozenset(row.items())].append((run, row))
    return list(settings.values())


def _settings(config: Mapping[str, Any]) -> Row:
    """The keys of a config that are settings, with their values as text."""
    row = {key: _text(value) for key, value in leaves(config) if not is_of(key, NO_SETTING)}
    for group in GROUPS:
        for key in [key for key in row if key.startswith(f"optimizer.{group}.")]:
            if row[key] == row.get(key.replace(f".{group}.", ".", 1)):
                del row[key]
    return row


def _tell_data_apart(known: Sequence[tuple[Run, Row]]) -> None:
    """Adds the hash of the data where equal configs read different ones."""
    for members in _by_setting(known):
        hashes = [str(run.summary.get("data_hash", "unknown")) for run, _ in members]
        if len({*hashes} - {"unknown"}) > 1:
            for (_, row), data_hash in zip(members, hashes, strict=True):
                row["data_hash"] = data_hash


def _names(settings: list[list[tuple[Run, Row]]]) -> list[str]:
    members = [[run for run, _ in each] for each in settings]
    choices = [next((c for run in each if (c := run.summary.get("choices"))), None) for each in members]
    recorded = all(isinstance(each, dict) for each in choices)
    rows = [
        _choices(each[0][0].config, chosen if recorded else None) | each[0][1]
        for each, chosen in zip(settings, choices, strict=True)
    ]
    everything = dict.fromkeys(key for row in rows for key in row)
    differing = [key for key in everything if len({row.get(key) for row in rows}) > 1]
    typed = {_key(text).removesuffix("._target_") for each in members for run in each for text in run.overrides or ()}

    def told(key: str, by: list[str]) -> bool:
        pairs = {(tuple(row.get(k) for k in by), row.get(key)) for row in rows}
        return len(pairs) == len({given for given, _ in pairs})

    kept = [key for key in differing if key in typed or any(each.startswith(f"{key}.") for each in typed)]
    for key in differing:
        component = key.split(".")[0]
        # Without a record of what was typed, a choice tells no more than the keys of its own component.
        by = kept if recorded else [component] if component in kept else []
        if key not in kept and not (by and told(key, by)):
            kept.append(key)
    kept.sort(key=differing.index)
    return [
        ", ".join(f"{key}={row[key]}" for key in kept if key in row and not (key in PRESETS and row[key] == "null"))
        or show(each[0].config.get("name"))
        for row, each in zip(rows, members, strict=True)
    ]


def _choices(config: Mapping[str, Any], choices: Mapping[str, Any] | None) -> Row:
    """The chosen component of each group: a file of `conf/`, or else the class."""
    row = {}
    for component in COMPONENTS:
        settings = config.get(component)
        target = str(settings.get("_target_")) if isinstance(settings, Mapping) else "null"
        choice = (choices or {}).get(component, "custom")
        row[component] = str(choice) if choice != "custom" else _short(target)
    return row | {preset: show((choices or {}).get(preset)) for preset in PRESETS}


def _name_by_overrides(run: Run, runs: Sequence[Run], names: Mapping[Path, str]) -> str:
    """For a run without a config: the setting of which the same was typed, else what was."""
    unknown = f"unknown ({run.path})"
    if run.overrides is None:
        return unknown
    recorded = [other for other in runs if other.overrides is not None]
    for other in recorded:
        if other.directory in names and set(_typed(other)) == set(_typed(run)):
            return names[other.directory]
    common = set.intersection(*(set(_typed(other)) for other in recorded))
    name = ", ".join(text for text in _typed(run) if text not in common)
    return unknown if name in {"", *names.values()} else name


def _typed(run: Run) -> list[str]:
    return [text for text in run.overrides or () if not is_of(_key(text), NO_SETTING)]


def _key(override: str) -> str:
    return override.lstrip("+~").split("=")[0]


def _text(value: Any) -> str:
    """A value as it is typed, shortly; equal numbers give equal texts."""
    if isinstance(value, Mapping):
        settings = ", ".join(
            f"{key}={_text(each)}" for key, each in sorted(value.items(), key=str) if key != "_target_"
        )
        return f"{_short(str(value.get('_target_', '')))}({settings})"
    if isinstance(value, list):
        return f"[{','.join(_text(each) for each in value)}]"
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else show(value)


def _short(target: str) -> str:
    """The name of a class of ours or Keras's; another is called by its whole path."""
    return target.rsplit(".", 1)[-1] if target.startswith(("vi.", "keras.")) else target
