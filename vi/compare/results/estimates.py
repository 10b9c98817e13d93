"""Means over seeds with their errors, and numbers as text."""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from vi.compare.results.files import Place, Results, look_up

PSEUDO = "†"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Args:
        mean: the mean over the results.
        sd: the standard deviation over seeds, NaN for one seed.
        n: the number of results that have the number.
        data_error: the standard error over the data, if there is one result and it records one; else NaN.
    """

    mean: float
    sd: float
    n: int
    data_error: float = math.nan

    @classmethod
    def of(cls, results: Results, places: Place | Sequence[Place], scale: float = 1) -> Estimate:
        """The mean of the numbers at a place, each multiplied by `scale`.

        If there are several places, it reads the first place that all results have, or else the last place, from the
        results that have it.
        """
        found: list[Any] = []
        for place in [places] if isinstance(places, str | Mapping) else places:
            found = [each for result in results if (each := look_up(result, place)) is not None]
            if len(found) == len(results):
                break
        numbers = [scale * (each["mean"] if isinstance(each, dict) else each) for each in found]
        if not numbers:
            return cls(math.nan, math.nan, 0)
        one = found[0] if len(found) == 1 and isinstance(found[0], dict) else {}
        sd = statistics.stdev(numbers) if len(numbers) > 1 else math.nan
        return cls(statistics.fmean(numbers), sd, len(numbers), abs(scale) * (one.get("standard_error") or math.nan))

    @property
    def standard_error(self) -> float:
        """The standard error over seeds if there are several seeds, else over the data."""
        return self.sd / math.sqrt(self.n) if self.n > 1 else self.data_error

    def show(self, digits: int, error: str, unit: str) -> str:
        """The mean ± its error over seeds (`error` is sd or se), the unit, and the number of seeds."""
        number, about = f"{self.mean:,.{digits}f}", count_seeds(self.n)
        if self.n > 1:
            number += f" ± {self.sd if error == 'sd' else self.standard_error:,.{digits}f}"
            about = f"{error}, {about}"
        return " ".join(filter(None, (minus(number), unit, f"({about})")))

    def cell(self, digits: int) -> str:
        """The mean ± its standard error, for a table that explains the error elsewhere."""
        if not math.isfinite(self.mean):
            return "–"
        error = self.standard_error
        return minus(f"{self.mean:,.{digits}f}" + (f" ± {error:,.{digits}f}" if math.isfinite(error) else ""))


def mark_of(results: Results) -> str:
    """The mark of numbers of a pseudo-likelihood; empty if no result has one."""
    return PSEUDO if any(result["pseudo"] for result in results) else ""


def count_seeds(n: int) -> str:
    """The number of seeds in words."""
    return "one seed" if n == 1 else f"{n} seeds"


def minus(number: str) -> str:
    """The number with a typographic minus sign, and without a sign if it is zero."""
    return re.sub(r"^-(?=[0.,]*( |$))", "", number).replace("-", "−")


def duration(seconds: float) -> str:
    """A time in seconds, minutes and seconds, or hours and minutes."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{round(seconds / 60) // 60} h {round(seconds / 60) % 60} min"
