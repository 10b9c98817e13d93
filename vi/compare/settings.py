"""Groups runs into settings, and names each setting by its differing keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vi.compare.recorded import RecordedRun
from vi.settings.keys import COMPONENTS, GROUPS, is_of, leaves, show

NO_SETTING = (
    *("seed", "name", "choices", "pseudo", "data.path", "trainer.steps_per_call", "model.event_shape", "logger"),
    *(
        "model.standardized",
        "model.columns",
        "trainer.diagnose_every",
        "trainer.profile",
        "trainer.evaluate",
        "trainer.evaluation_samples",
    ),
)
"""Keys that do not define a setting: they change no result, or follow from other keys.

data.path is one of them because data_hash identifies the data.
"""
PRESETS = ("experiment", "debug", "trainer", "schedule", "warmup")

Row = dict[str, str]


def name_settings(runs: Sequence[RecordedRun]) -> list[str]:
    """The name of each run's setting. Runs of the same setting get the same name.

    A setting is a config without the keys of `NO_SETTING`. Its name has the keys that differ between settings. A key
    that was not typed is left out if the typed keys already determine its value.
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


def _by_setting(known: Sequence[tuple[RecordedRun, Row]]) -> list[list[tuple[RecordedRun, Row]]]:
    settings: dict[frozenset, list[tuple[RecordedRun, Row]]] = defaultdict(list)
    for run, row in known:
        settings[frozenset(row.items())].append((run, row))
    return list(settings.values())


def _settings(config: Mapping[str, Any]) -> Row:
    """The keys of a config that define its setting, with their values as text."""
    row = {key: _text(value) for key, value in leaves(config) if not is_of(key, NO_SETTING)}
    for group in GROUPS:
        for key in [key for key in row if key.startswith(f"optimizer.{group}.")]:
            if row[key] == row.get(key.replace(f".{group}.", ".", 1)):
                del row[key]
    return row


def _tell_data_apart(known: Sequence[tuple[RecordedRun, Row]]) -> None:
    """Adds the hash of the data to runs with equal configs and different data."""
    for members in _by_setting(known):
        hashes = [str(run.summary.get("data_hash", "unknown")) for run, _ in members]
        if len({*hashes} - {"unknown"}) > 1:
            for (_, row), data_hash in zip(members, hashes, strict=True):
                row["data_hash"] = data_hash


def _names(settings: list[list[tuple[RecordedRun, Row]]]) -> list[str]:
    members = [[run for run, _ in each] for each in settings]
    choices = [next((c for run in each if (c := run.summary.get("choices"))), None) for each in members]
    recorded = all(isinstance(each, dict) for each in choices)
    rows = [
        _choices(each[0][0].config, chosen if recorded else None) | each[0][1]
        for each, chosen in zip(settings, choices, strict=True)
    ]
    everything = dict.fromkeys(key for row in rows for key in row)
    differing = [key for key in everything if len({row.get(key) for row in rows}) > 1]
    typed = {key_of(text).removesuffix("._target_") for each in members for run in each for text in run.overrides or ()}

    def told(key: str, by: list[str]) -> bool:
        pairs = {(tuple(row.get(k) for k in by), row.get(key)) for row in rows}
        return len(pairs) == len({given for given, _ in pairs})

    kept = [key for key in differing if key in typed or any(each.startswith(f"{key}.") for each in typed)]
    for key in differing:
        component = key.split(".")[0]
        # Without a record of the typed overrides, a choice determines the keys of its own component only.
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
    """The chosen component of each group: the name of its file in `conf/`, or its class if the choice is custom."""
    row = {}
    for component in COMPONENTS:
        settings = config.get(component)
        target = str(settings.get("_target_")) if isinstance(settings, Mapping) else "null"
        choice = (choices or {}).get(component, "custom")
        row[component] = str(choice) if choice != "custom" else _short(target)
    return row | {preset: show((choices or {}).get(preset)) for preset in PRESETS}


def _name_by_overrides(run: RecordedRun, runs: Sequence[RecordedRun], names: Mapping[Path, str]) -> str:
    """The name of a run without a config: the setting of a run with the same overrides, else the overrides."""
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


def _typed(run: RecordedRun) -> list[str]:
    return [text for text in run.overrides or () if not is_of(key_of(text), NO_SETTING)]


def key_of(override: str) -> str:
    """The key of an override such as `+trainer.beta=2`."""
    return override.lstrip("+~").split("=")[0]


def _text(value: Any) -> str:
    """A short text of a value, as typed by a user. Equal numbers give equal texts."""
    if isinstance(value, Mapping):
        settings = ", ".join(
            f"{key}={_text(each)}" for key, each in sorted(value.items(), key=str) if key != "_target_"
        )
        return f"{_short(str(value.get('_target_', '')))}({settings})"
    if isinstance(value, list):
        return f"[{','.join(_text(each) for each in value)}]"
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else show(value)


def _short(target: str) -> str:
    """The name of a class of vi or Keras; the whole dotted path of any other class."""
    return target.rsplit(".", 1)[-1] if target.startswith(("vi.", "keras.")) else target
