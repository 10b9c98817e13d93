"""Compares runs: means over seeds for each setting, learning curves, and notes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vi.compare.columns import BEST, BEST_NLL, BOUNDS, CURVES, ERROR, NUMBERS
from vi.compare.comparison import Comparison
from vi.compare.notes import notes
from vi.compare.recorded import STATES, RecordedRun, find, number, root_of
from vi.compare.settings import name_settings


def compare(directories: str | Path | Sequence[str | Path]) -> Comparison:
    """Compares the runs in and below directories.

    Raises:
        ConfigError: a directory does not exist, or holds no run.
    """
    given = [directories] if isinstance(directories, str | Path) else directories
    paths = [Path(directory) for directory in given]
    found = find(paths)
    names = _mark_pseudo(name_settings(found), found)
    runs = pd.DataFrame([_row(run, name) for run, name in zip(found, names, strict=True)])
    settings = _settings(runs)
    runs["setting"] = pd.Categorical(runs["setting"], settings.index)
    order = runs.sort_values("setting", kind="stable").index
    runs, found = runs.loc[order].reset_index(drop=True), [found[i] for i in order]
    return Comparison(root_of(paths).name, settings, runs, _curves(found, runs), notes(found, runs, settings))


def _mark_pseudo(names: list[str], runs: list[RecordedRun]) -> list[str]:
    """Marks the names of pseudo settings, unless all settings are pseudo."""
    pseudo = {name for name, run in zip(names, runs, strict=True) if run.pseudo}
    return [f"{name} (pseudo)" if name in pseudo != set(names) else name for name in names]


def _row(run: RecordedRun, setting: str) -> dict[str, Any]:
    """The row of `Comparison.runs`."""
    row = {
        "path": run.path,
        "directory": run.directory,
        "setting": setting,
        "seed": run.seed,
        "state": run.state,
        "sentence": run.sentence,
        "epoch": run.epoch,
        "epochs": number(run.config["trainer"].get("epochs")) if run.config else np.nan,
        "pseudo": run.pseudo,
    }
    if run.state == "finished":
        parameters = run.summary.get("parameters")
        counts = parameters.values() if isinstance(parameters, dict) else []
        row |= {f"{name} {when}": number(run.summary[when].get(name)) for name in BOUNDS for when in ("best", "final")}
        row |= {name: number(run.summary.get(name)) for name in ("seconds", "examples_per_second", "knn_accuracy")}
        row["parameters"] = sum(map(number, counts)) if counts else np.nan
    elif len(run.metrics):
        last = run.metrics.iloc[-1]
        row |= {f"{name} last": number(last.get(name)) for name in BOUNDS}
    return row


def _settings(runs: pd.DataFrame) -> pd.DataFrame:
    """The frame `Comparison.settings`."""
    for name in {*NUMBERS, *(f"{name} last" for name in BOUNDS)} - set(runs):
        runs[name] = np.nan
    by_setting = runs.groupby("setting", sort=False)
    finished = runs[runs["state"] == "finished"]
    # Runs with the same seed count as one draw.
    by_seed = finished.groupby(["setting", "seed"], dropna=False)[NUMBERS].mean().groupby("setting")
    means, errors = by_seed.mean(), by_seed.sem()
    table = pd.DataFrame({"runs": by_setting.size()})
    for state in STATES:
        table[state] = (runs["state"] == state).groupby(runs["setting"]).sum()
    seeds = finished.dropna(subset="seed").groupby("setting")["seed"]
    lists = {setting: " ".join(f"{seed:.0f}" for seed in sorted(set(each))) for setting, each in seeds}
    table["seeds"] = [lists.get(setting, "") for setting in table.index]
    table["pseudo"] = by_setting["pseudo"].any()
    for name in NUMBERS:
        table[name] = means[name]
        table[name + ERROR] = errors[name]
    return table.sort_values([BEST, BEST_NLL], ascending=[False, True], na_position="last", kind="stable")


def _curves(found: list[RecordedRun], runs: pd.DataFrame) -> pd.DataFrame:
    """The frame `Comparison.curves`."""
    columns = ["step", "epoch", "seconds", *CURVES]
    frames = []
    for setting, rows in runs.groupby("setting", observed=True):
        members = [found[i] for i in rows.index]
        whole = [
            run.metrics.reindex(columns=columns).assign(seed=-1 if run.seed is None else run.seed)
            for run in members
            if run.state == "finished" and len(run.metrics)
        ]
        if whole:
            by_seed = pd.concat(whole).groupby(["step", "seed"], as_index=False).mean()
            by_step = by_seed.groupby("step")
            values = by_step[columns[1:]].mean().join(by_step[list(CURVES)].sem().add_suffix(ERROR))
            common = by_step.size() == by_seed["seed"].nunique()
            frames.append(values[common].reset_index().assign(setting=setting, run="", seeds=by_seed["seed"].nunique()))
        frames += [
            run.metrics.reindex(columns=columns).assign(setting=setting, run=run.path, seeds=1)
            for run in members
            if run.state != "finished" and len(run.metrics)
        ]
    empty = pd.DataFrame(columns=["setting", "run", "seeds", *columns, *(name + ERROR for name in CURVES)])
    return pd.concat(frames, ignore_index=True).reindex(columns=empty.columns) if frames else empty
