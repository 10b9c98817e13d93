"""The rows of a table of results, from a YAML file. Each row is a system with its figures."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import yaml

from vi.compare.results.estimates import Estimate, count_seeds, mark_of, minus
from vi.compare.results.files import Place, Result, Results, distinguishing, swept_value
from vi.compare.settings import key_of


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number of an experiment, or of each job of a sweep over one key.

    Args:
        experiment: the experiment that gives the number.
        label: the name of the number.
        number: the place of the number in a results file, or several places, the preferred one first.
        scale: a factor of the number.
        unit: the unit of the scaled number.
        digits: the number of digits after the decimal point.
        against: the place of a second number, shown for comparison.
        sweep: an override with several values, such as trainer.beta=1,2. The cell then shows the number at the first
            and at the last value.
        text: shown instead of a number, once the experiment has been run.
        after: a command to run after the training.
        published: the number in the source.
    """

    experiment: str
    label: str = ""
    number: Place | Sequence[Place] = ()
    scale: float = 1
    unit: str = "nats"
    digits: int = 2
    against: str | None = None
    sweep: str | None = None
    text: str | None = None
    after: str | None = None
    published: str = "–"

    def owns(self, result: Result) -> bool:
        """Whether the result belongs to this experiment without overrides, or to this sweep."""
        overrides = distinguishing(result["overrides"])
        if result["experiment"] != self.experiment or len(overrides) != bool(self.sweep):
            return False
        return self.sweep is None or (key_of(overrides[0]) == key_of(self.sweep) and swept_value(result) in self.values)

    @property
    def values(self) -> list[float]:
        """The values of the sweep, ascending; empty without a sweep."""
        return sorted(float(each) for each in (self.sweep or "=").split("=")[1].split(",") if each)

    def groups(self, results: Results) -> dict[float, list[Result]]:
        """The results of the sweep by the value of its key, in ascending order."""
        owned = [result for result in results if self.owns(result)]
        groups = {value: [result for result in owned if swept_value(result) == value] for value in self.values}
        return {value: group for value, group in groups.items() if group}

    def command(self, results: Results) -> str:
        """The command that reproduces all of these results."""
        words = [f"experiment={self.experiment}", *([self.sweep] if self.sweep else [])]
        seeds = sorted({result["seed"] for result in results})
        if seeds not in ([], [0]):
            words.append("seed=" + ",".join(map(str, seeds)))
        many = ["-m"] if self.sweep or len(seeds) > 1 else []
        after = f"<br>`{self.after}`" if self.after else ""
        return f"`{' '.join(['vi-train', *many, *words])}`{after}"

    def show(self, results: Results, error: str) -> str:
        """The cell of the table; `error` is sd or se."""
        if not results:
            return f"{self.label}: not run" if self.label else "not run"
        if self.text is not None:
            return self.text
        mark = mark_of(results) if self.unit == "nats" else ""
        if len(self.values) > 1:
            return f"{self.label} {self._course(results)}{mark}"
        estimate = Estimate.of(results, self.number, self.scale)
        if estimate.n == 0:
            return f"{self.label} not recorded".lstrip()
        shown = f"{self.label} {estimate.show(self.digits, error, self.unit)}{mark}".lstrip()
        against = Estimate.of(results, self.against or (), self.scale)
        return f"{shown}, against {minus(f'{against.mean:,.{self.digits}f}')}" if against.n else shown

    def _course(self, results: Results) -> str:
        """The numbers at the first and the last value of the sweep, and whether the number rises or falls between."""
        estimates = [Estimate.of(group, self.number, self.scale) for group in self.groups(results).values()]
        course = [estimate.mean for estimate in estimates if estimate.n]
        if len(course) < len(self.values):
            return f"recorded at {len(course)} of {len(self.values)} values"
        steps = [after - before for before, after in itertools.pairwise(course)]
        way = "falls throughout" if max(steps) < 0 else "rises throughout" if min(steps) > 0 else "not monotone"
        ends = " → ".join(minus(f"{number:,.{self.digits}f}") for number in (course[0], course[-1]))
        return f"{ends} {self.unit}, {way} ({count_seeds(min(estimate.n for estimate in estimates))} each)"


@dataclasses.dataclass(frozen=True)
class System:
    """A row of the table.

    Args:
        system: the number of the system.
        shows: the statement that the system demonstrates.
        reference: the number to reproduce.
        figures: our numbers.
        ours: text for a row without figures.
        error: the error of a mean over seeds: sd or se.
        details: the kind of the system's own section below the table: comparison, sweep or published.
        text: the first paragraph of that section.
    """

    system: str
    shows: str
    reference: str
    figures: Sequence[Figure] = ()
    ours: str = "not run"
    error: str = "sd"
    details: str | None = None
    text: str = ""


def read_systems(file: Path) -> list[System]:
    """The rows that a YAML file declares."""
    rows = yaml.safe_load(file.read_text())
    return [System(**row | {"figures": [Figure(**each) for each in row.get("figures", ())]}) for row in rows]
