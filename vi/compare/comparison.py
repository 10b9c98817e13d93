"""Runs side by side: a row for each setting, a row for each run, and the learning curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vi import pictures as figures
from vi.compare.metrics import BEST, BEST_NLL, BOUNDS, CURVES, ERROR, NUMBERS
from vi.compare.runs import STATES, Run, find, number, root_of
from vi.compare.settings import name_settings
from vi.files import write


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is known of several runs, in nats per datum.

    Args:
        title: the directory that they are in.
        settings: a row per setting, best first: `runs`, and how many are in each state; the `seeds` of the finished
            ones; each number's mean over them, and its `… standard error`; `pseudo` where it is of no density.
        runs: a row per run: its `path`, `setting`, `seed`, `state`, why in a `sentence`, the `epoch` reached and its
            numbers: those of a finished run, and of another the `last` ones that it logged.
        curves: a row per setting and evaluation that all of its finished runs have, their means over seeds with
            `… standard error`; and the evaluations of each other run, whose path is `run`.
        notes: what must be known before numbers are compared.
    """

    title: str
    settings: pd.DataFrame
    runs: pd.DataFrame
    curves: pd.DataFrame
    notes: list[str]

    @property
    def unfinished(self) -> pd.DataFrame:
        """The runs that are running, interrupted, killed, failed or damaged."""
        return self.runs[self.runs["state"] != "finished"]

    def write(self, output: str | Path) -> list[Path]:
        """Writes comparison.csv, .md, .png and .html into a directory, each whole or not at all."""
        from vi.compare import page, tables

        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"comparison.{kind}" for kind in ("csv", "md", "png", "html")]
        csv, markdown, picture, html = files
        write(csv, self.settings.assign(note=" ".join(self.notes)).to_csv())
        write(markdown, tables.markdown(self))
        partial = folder / ".comparison.png.partial"
        try:
            figures.comparison(partial, self.curves, self.main_metrics, self.notes)
            partial.replace(picture)
        finally:
            partial.unlink(missing_ok=True)
        write(html, page.page(self))
        return files

    @property
    def main_metrics(self) -> list[str]:
        """The importance-weighted bound; where a setting has none, the reconstruction too, which all have."""
        bound = self.curves.groupby("setting")[BOUNDS[0]].count()
        return [
            name for name, shown in ((BOUNDS[0], (bound > 0).any()), ("validation/nll", (bound == 0).any())) if shown
        ]


def compare(directories: str | Path | Sequence[str | Path]) -> Comparison:
    """Compares the runs in and below directories.

    Raises:
        ConfigError: there is no such directory, or no run below it.
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
    return Comparison(root_of(paths).name, settings, runs, _curves(found, runs), _notes(found, runs, settings))


def _mark_pseudo(names: list[str], runs: list[Run]) -> list[str]:
    """Where only some settings are pseudo, their names say so."""
    pseudo = {name for name, run in zip(names, runs, strict=True) if run.pseudo}
    return [f"{name} (pseudo)" if name in pseudo != set(names) else name for name in names]


def _row(run: Run, setting: str) -> dict:
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
    columns = dict.fromkeys([*NUMBERS, *(f"{name} last" for name in BOUNDS)], np.nan)
    for name in columns.keys() - set(runs):
        runs[name] = np.nan
    by_setting = runs.groupby("setting", sort=False)
    finished = runs[runs["state"] == "finished"]
    # Runs of the same seed are one draw of it, not several.
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


def _curves(found: list[Run], runs: pd.DataFrame) -> pd.DataFrame:
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


def _notes(found: list[Run], runs: pd.DataFrame, settings: pd.DataFrame) -> list[str]:
    notes = []
    pseudo = settings.index[settings["pseudo"]]
    if len(pseudo):
        which = "All settings" if len(pseudo) == len(settings) else "The settings marked pseudo"
        notes.append(
            f"{which} have a likelihood that is no density of the data, such as Bernoulli on grey levels. "
            "Their numbers are no bounds of log p(x), and do not compare with those of a true likelihood."
        )
    hashes = {str(run.summary["data_hash"]) for run in found if run.summary.get("data_hash")}
    if len(hashes) > 1:
        notes.append(
            f"Validated on different data: there are {len(hashes)} different data hashes, so numbers do not compare."
        )
    samples = {str(run.config["trainer"].get("validation_samples")) for run in found if run.config}
    if len(samples) > 1:
        notes.append(
            "validation/iw_bound was computed with different numbers of samples: more samples, a higher bound."
        )
    finished = runs[runs["state"] == "finished"]
    repeated = finished[finished.duplicated(["setting", "seed"])]
    if len(repeated):
        notes.append(
            "Runs that finished more than once with the same seed count as one in means: "
            f"{'; '.join(repeated['setting'].unique())}."
        )
    if len(finished) < len(runs):
        notes.append(f"Means are over finished runs, which {len(finished)} of {len(runs)} are.")
    return notes
