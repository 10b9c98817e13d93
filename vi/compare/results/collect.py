"""Makes results files from the directories of finished runs."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vi.compare.recorded import RecordedRun, find
from vi.compare.results.files import ABOUT, FROM_FILES, FROM_SUMMARY, KEYS, name_of, read_json
from vi.compare.settings import key_of
from vi.files import write

WITHOUT_EFFECT = r"(hydra|logger|sweep)([./].*)?|data\.path|resume|trainer\.evaluat(e|ion_samples)"
"""A regular expression of the keys that do not change a result."""
MACHINE_PATH = re.compile(r"""["'=\[{(,:\s]~?/[^"'\s,]+""")
Say = Callable[[str], None]


def collect(directories: Sequence[Path], folder: Path, say: Say) -> list[Path]:
    """Writes a results file for each finished run of an experiment in and below the directories; returns the paths.

    Of several runs with the same file name the latest is kept. The note of an existing file is kept.

    Args:
        directories: to search for runs.
        folder: the folder of the results files.
        say: is called with a sentence for each run that is left out, with the reason.

    Raises:
        ConfigError: a directory does not exist or holds no run.
    """
    latest: dict[str, tuple[RecordedRun, dict[str, Any]]] = {}
    for run in sorted(find(directories), key=lambda run: str(run.summary.get("started"))):
        if reason := _refusal(run):
            say(f"{run.path} ({run.state}) is not collected. {reason}")
            continue
        result = _result_of(run, say)
        if path := MACHINE_PATH.search(json.dumps(result | {"device": None}, ensure_ascii=False)):
            say(f"{run.path} ({run.state}) is not collected. It names a path of this machine, {path[0][1:]}.")
            continue
        name = name_of(result)
        if name in latest:
            say(f"{latest[name][0].path} ({run.state}) is not collected. {run.path} is a later run of the same.")
        latest[name] = run, result
    folder.mkdir(exist_ok=True)
    for name, (_, result) in latest.items():
        if (folder / name).exists():
            result["note"] = read_json(folder / name).get("note")
        write(folder / name, json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return [folder / name for name in latest]


def _refusal(run: RecordedRun) -> str:
    """The reason why a run is not collected; empty for a collected run."""
    choices = run.summary.get("choices") or {}
    if run.state != "finished":
        return run.sentence
    if choices.get("debug") is not None:
        return f"It was made with debug={choices['debug']}."
    return "" if choices.get("experiment") else "It belongs to no experiment."


def _result_of(run: RecordedRun, say: Say) -> dict[str, Any]:
    """The content of the results file of a run."""
    summary = run.summary
    overrides = [each for each in _latest_overrides(summary) if not re.fullmatch(WITHOUT_EFFECT, key_of(each))]
    files = {
        name: read_json(file) if (file := run.directory / f"{name}.json").exists() else None for name in FROM_FILES
    }
    for name, content in files.items():
        if content is not None and content.get("step") not in (summary["step"], summary["best"]["step"]):
            age = f"of step {content.get('step')} is older than its last weights"
            say(f"{run.path}: its {name}.json {age}, and is left out.")
            files[name] = None
    whole = {
        "experiment": summary["choices"]["experiment"],
        "seed": summary["seed"],
        "command": shlex.join(["vi-train", *overrides]),
        "overrides": overrides,
        **{name: summary.get(name) for name in (*FROM_SUMMARY, *ABOUT)},
        **{name: _shorten(content) for name, content in files.items()},
    }
    return {name: whole.get(name) for name in KEYS}


def _latest_overrides(summary: Mapping[str, Any]) -> list[str]:
    """The overrides of a run, replaced by the values that were typed when the run was resumed."""
    overrides = {key_of(each): each for each in map(str, summary.get("overrides") or [])}
    for again in summary.get("resumed") or []:
        words = shlex.split(again["command"]) if again["command"].startswith("vi-train ") else []
        if "resume" in map(key_of, words):
            overrides |= {key_of(word): word for word in words if "=" in word and not word.startswith("-")}
    return list(overrides.values())


def _shorten(content: Any) -> Any:
    """The same JSON with numbers in lists rounded to four digits, and numbers that are not finite replaced by null."""
    if isinstance(content, dict):
        return {name: _shorten(each) for name, each in content.items()}
    if isinstance(content, list):
        return [float(f"{each:.4g}") if isinstance(each, float) else each for each in map(_shorten, content)]
    return None if isinstance(content, float) and not math.isfinite(content) else content
