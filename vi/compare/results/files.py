"""A results file: the numbers, the command and the versions of one finished run of an experiment, as JSON."""

from __future__ import annotations

import math
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vi.compare.settings import key_of
from vi.errors import ConfigError
from vi.files import read_json

FROM_SUMMARY = (
    *("estimator", "samples", "pseudo", "data_hash", "epoch", "step", "seconds", "examples_per_second"),
    *("parameters", "final", "best", "knn_accuracy"),
)
"""The keys of a run's summary.json that a results file keeps."""
FROM_FILES = ("evaluation", "closed_form")
"""Other JSON files of a run that a results file holds, each under its name."""
ABOUT = ("git_commit", "versions", "device")
KEYS = ("experiment", "seed", "command", "overrides", *FROM_SUMMARY, *FROM_FILES, "note", *ABOUT)
"""All keys of a results file, in order. `note` is written by a person."""

Result = Mapping[str, Any]
Results = Sequence[Result]
Place = str | Mapping[str, float]
"""The place of a number in a results file: a dotted path, or dotted paths with the weights of their sum."""


def read_results(folder: Path) -> list[dict[str, Any]]:
    """All results files of a folder, in the order of their names.

    Raises:
        ConfigError: a file is damaged or lacks a key.
    """
    results = []
    for file in sorted(folder.glob("*.json")):
        results.append(read_json(file))
        if missing := [name for name in KEYS if name not in results[-1]]:
            raise ConfigError(f"{file}: lacks {', '.join(missing)}; collect the run again.")
    return results


def name_of(result: Result) -> str:
    """The name of the file: the experiment, the distinguishing overrides, the seed."""
    settings = sorted(urllib.parse.quote(each, safe="=+,[]") for each in distinguishing(result["overrides"]))
    experiment, seed = (urllib.parse.quote(str(result[key]), safe="") for key in ("experiment", "seed"))
    return "-".join([experiment, *settings, f"seed{seed}"]) + ".json"


def distinguishing(overrides: Iterable[str]) -> list[str]:
    """The overrides that change a setting of the experiment: all except `experiment` and `seed`."""
    return [each for each in overrides if key_of(each) not in ("experiment", "seed")]


def swept_value(result: Result) -> float:
    """The number that the first distinguishing override sets; NaN if it sets no number."""
    try:
        return float(distinguishing(result["overrides"])[0].partition("=")[2])
    except ValueError:
        return math.nan


def look_up(result: Result, place: Place) -> Any:
    """The value at a dotted path, or the weighted sum of the values at several; None if a value is missing."""
    if isinstance(place, Mapping):
        terms = [(look_up(result, each), weight) for each, weight in place.items()]
        return None if any(term is None for term, _ in terms) else sum(term * weight for term, weight in terms)
    found: Any = result
    for part in place.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
