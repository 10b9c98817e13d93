"""Notes that a reader needs before comparing the numbers of runs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from vi.compare.recorded import RecordedRun


def notes(found: Sequence[RecordedRun], runs: pd.DataFrame, settings: pd.DataFrame) -> list[str]:
    """The notes of a comparison: the recorded runs and the frames `Comparison.runs` and `Comparison.settings`."""
    every = [
        _pseudo(settings),
        _different_data(found),
        _different_samples(found),
        _repeated_seeds(runs),
        _unfinished(runs),
        _single_evaluations(found),
    ]
    return [note for note in every if note]


def _pseudo(settings: pd.DataFrame) -> str:
    pseudo = settings.index[settings["pseudo"]]
    if not len(pseudo):
        return ""
    which = "All settings" if len(pseudo) == len(settings) else "The settings marked pseudo"
    return (
        f"{which} have a likelihood that is no density of the data, such as Bernoulli on grey levels. "
        "Their numbers are no bounds of log p(x), and do not compare with numbers of a true likelihood."
    )


def _different_data(found: Sequence[RecordedRun]) -> str:
    hashes = {str(run.summary["data_hash"]) for run in found if run.summary.get("data_hash")}
    if len(hashes) > 1:
        return f"The runs used {len(hashes)} different data sets, so their numbers do not compare."
    seen = {
        ", ".join(f"data.{key}={data[key]}" for key in ("binarization", "scale") if key in data)
        for run in found
        if isinstance(data := run.config.get("data"), dict)
    }
    if len(seen) <= 1:
        return ""
    return f"The models saw the data in different forms ({'; '.join(sorted(seen))}), so their numbers do not compare."


def _different_samples(found: Sequence[RecordedRun]) -> str:
    samples = {str(run.config["trainer"].get("validation_samples")) for run in found if run.config}
    if len(samples) <= 1:
        return ""
    return "validation/iw_bound was computed with different numbers of samples; more samples give a higher bound."


def _repeated_seeds(runs: pd.DataFrame) -> str:
    finished = runs[runs["state"] == "finished"]
    repeated = finished[finished.duplicated(["setting", "seed"])]
    if not len(repeated):
        return ""
    names = "; ".join(repeated["setting"].unique())
    return f"Runs that finished more than once with the same seed count as one in means: {names}."


def _unfinished(runs: pd.DataFrame) -> str:
    finished = int((runs["state"] == "finished").sum())
    return "" if finished == len(runs) else f"Means are over the finished runs: {finished} of {len(runs)}."


def _single_evaluations(found: Sequence[RecordedRun]) -> str:
    single = [run.path for run in found if run.state == "finished" and len(run.metrics) == 1]
    if not single:
        return ""
    names = ", ".join(single[:3]) + (", …" if len(single) > 3 else "")
    return f"A curve is one dot if its run was evaluated once: {names}. A smaller trainer.evaluate_every gives a curve."
