"""The content of a comparison: a row for each setting, a row for each run, and the learning curves."""

from __future__ import annotations

import dataclasses

import pandas as pd

from vi.compare.columns import BOUNDS


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Several runs side by side, in nats per datum.

    Args:
        title: the name of the directory that contains the runs.
        settings: a row for each setting, best first: the number of `runs` and of runs in each state, the `seeds` of
            finished runs, the mean of each number over these seeds with its `… standard error`, and `pseudo`, which is
            true if the likelihood is no density.
        runs: a row for each run: `path`, `setting`, `seed`, `state`, the reason for the state in `sentence`, the
            `epoch` reached, and numbers. A finished run has its best and final numbers. Any other run has its `last`
            logged numbers.
        curves: learning curves. For each setting, a row for each evaluation that all of its finished runs have: means
            over seeds with `… standard error`. For each unfinished run, a row for each of its evaluations, with the
            path of the run in `run`.
        notes: sentences to read before the numbers are compared.
    """

    title: str
    settings: pd.DataFrame
    runs: pd.DataFrame
    curves: pd.DataFrame
    notes: list[str]

    @property
    def unfinished(self) -> pd.DataFrame:
        """The rows of runs that have not finished: running, interrupted, killed, failed or damaged."""
        return self.runs[self.runs["state"] != "finished"]

    @property
    def main_metrics(self) -> list[str]:
        """The metrics to draw: the importance-weighted bound, and the reconstruction if a setting lacks that bound."""
        bound = self.curves.groupby("setting")[BOUNDS[0]].count()
        return [
            name for name, shown in ((BOUNDS[0], (bound > 0).any()), ("validation/nll", (bound == 0).any())) if shown
        ]
