"""The tables that a diagnosis prints at its end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich.box
import rich.console
import rich.table

from vi.files import short
from vi.loggers.terminal import print_line

if TYPE_CHECKING:
    import pandas as pd


def diagnosis_table(
    console: rich.console.Console, gradients: pd.DataFrame, slopes: pd.DataFrame, directory: Path
) -> None:
    """Prints the tables of `vi.runs.api.diagnose`, and the paths of the files and the pictures."""
    first = gradients.iloc[0]
    where = f"{first['checkpoint']} checkpoint, step {first['step']:,}, {first['batch_size']} {first['split']} data"
    print_line(console, f"{where}, {first['repeats']:,} repeats\n")
    for group, rows in gradients.groupby("group", sort=False):
        console.print(_moments(str(group), rows))
    console.print(_costs(gradients))
    console.print(_powers(slopes))
    directory = short(directory) / "diagnostics"
    print_line(console, f"Pictures: {directory}/  numbers: {directory / 'gradients.csv'}, {directory / 'slopes.csv'}")


def _moments(group: str, gradients: pd.DataFrame) -> rich.table.Table:
    """Norm, variance, SNR and bias of the gradients of a parameter group."""
    table = _plain_table(f"{group} gradients")
    for name in ("S", "norm", "variance", "SNR", "bias / norm"):
        table.add_column(name, justify="right")
    for row in _rows(gradients):
        variance, snr = _measured(row.variance, row.variance_error), _measured(row.snr, row.snr_error)
        table.add_row(row.estimator, f"{row.samples:,}", f"{row.norm:.3g}", variance, snr, _bias(row))
    return table


def _costs(gradients: pd.DataFrame) -> rich.table.Table:
    """Time and memory of a gradient, by estimator and S."""
    samples = sorted(gradients["samples"].unique())
    table = _plain_table("cost of a gradient: ms, and MB at the peak")
    for s in samples:
        table.add_column(f"S = {s:,}", justify="right")
    for estimator, rows in gradients.groupby("estimator", sort=False):
        cost = {row.samples: f"{_short(1000 * row.seconds)}, {_short(row.memory)}" for row in _rows(rows)}
        table.add_row(str(estimator), *(cost.get(s, "–") for s in samples))
    return table


def _powers(slopes: pd.DataFrame) -> rich.table.Table:
    """The fitted powers of S for SNR and variance."""
    table = _plain_table(
        "fitted powers of S", caption='"< x %": no bias was seen; x is the limit at two standard errors'
    )
    for name in ("group", "SNR", "variance"):
        table.add_column(name, justify="left" if name == "group" else "right")
    for (estimator, group), rows in slopes.groupby(["estimator", "group"], sort=False):
        table.add_row(str(estimator), str(group), *(_power(row.slope, row.slope_error) for row in _rows(rows)))
    return table


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table, each with a field for each column."""
    return iter(frame.itertuples())


def _plain_table(title: str, caption: str | None = None) -> rich.table.Table:
    """An empty table with a row for each estimator, narrow enough for 80 columns."""
    look: dict[str, Any] = {"box": rich.box.SIMPLE_HEAD, "title_justify": "left", "caption_justify": "left"}
    table = rich.table.Table(title=title, caption=caption, **look)
    table.add_column("estimator", no_wrap=True)
    return table


def _short(value: float) -> str:
    """A number with two digits, or all digits of its whole part."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _measured(value: float, error: float) -> str:
    """A number ± its error, without an exponent if the error has few digits."""
    return f"{value:.3g} ± {error:{',.0f' if 10 <= error < 1e4 else '.1g'}}"


def _power(slope: float, error: float) -> str:
    if math.isnan(slope):
        return "–"
    digits = 2 if error >= 0.005 else 3
    return f"{slope:+.{digits}f} ± {error:.{digits}f}"


def _bias(row: Any) -> str:
    """The bias as a percentage of the gradient's norm, or an upper limit of the bias."""
    value, error = row.bias_squared, row.bias_squared_error
    if math.isnan(value) or not row.norm > 0:
        return "–"
    if max(abs(value), error) <= (1e-5 * row.norm) ** 2:  # rounding
        return "0"
    seen = value > 3 * error
    percent = 100 * math.sqrt(value if seen else max(value, 0) + 2 * error) / row.norm
    return f"{'' if seen else '< '}{percent:{',.0f' if percent >= 10 else '.2g'}} %"
