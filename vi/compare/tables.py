"""The tables of a comparison for people: in Markdown and in the terminal."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import pandas as pd
import rich.box
import rich.console
import rich.table
import rich.text

if TYPE_CHECKING:
    from vi.compare.comparison import Comparison

UNIT = "nats per datum; mean ± standard error over seeds"


@dataclasses.dataclass(frozen=True)
class Column:
    """A number of a setting and how it is shown."""

    name: str
    heading: str
    decimals: int = 2
    with_error: bool = True

    def text(self, row: pd.Series) -> str:
        """The mean over seeds, ± its standard error where there are several."""
        value, error = row[self.name], row[f"{self.name} standard error"]
        if math.isnan(value):
            return "–"
        shown = f"{value:,.{self.decimals}f}"
        return shown if math.isnan(error) or not self.with_error else f"{shown} ± {error:,.{self.decimals}f}"


COLUMNS = (
    *(
        Column(f"validation/{bound} {when}", f"{bound}, {when}")
        for bound in ("iw_bound", "elbo", "nll", "kl")
        for when in ("best", "final")
    ),
    Column("parameters", "parameters", 0, with_error=False),
    Column("seconds", "seconds", 1),
    Column("examples_per_second", "examples/s", 0),
    Column("knn_accuracy", "kNN accuracy", 3),
)


def columns(settings: pd.DataFrame) -> list[Column]:
    """Those that some setting has a value of, with as many decimals as show their errors."""
    shown = [column for column in COLUMNS if settings[column.name].notna().any()]
    errors = {column: settings[f"{column.name} standard error"] for column in shown}
    return [
        dataclasses.replace(c, decimals=c.decimals + bool(e[e > 0].min() < 0.5 * 10**-c.decimals))
        for c, e in errors.items()
    ]


def states(row: pd.Series) -> str:
    """How many of a setting's runs have finished, and what became of the others."""
    others = [f"{row[s]} {s}" for s in ("running", "interrupted", "killed", "failed", "damaged") if row[s]]
    return f"{row['finished']} of {row['runs']}" + (f" ({', '.join(others)})" if others else "")


def unfinished(comparison: Comparison) -> pd.DataFrame:
    """The runs without final numbers, as texts: how far they came, and why no farther."""
    rows = comparison.unfinished
    return pd.DataFrame(
        {
            "run": rows["path"],
            "setting": rows["setting"].astype(str),
            "seed": rows["seed"].map(lambda seed: "–" if pd.isna(seed) else f"{seed:.0f}"),
            "state": rows["state"],
            "epoch": [_epoch(*both) for both in zip(rows["epoch"], rows["epochs"], strict=True)],
            "last iw_bound": rows["validation/iw_bound last"].map(lambda v: "–" if pd.isna(v) else f"{v:.2f}"),
            "why": rows["sentence"],
        }
    )


def markdown(comparison: Comparison) -> str:
    """comparison.md."""
    shown = columns(comparison.settings)
    parts = [
        f"# {comparison.title}\n",
        *(f"> **Note.** {_escaped(note)}\n" for note in comparison.notes),
        f"In {UNIT}.\n",
        _table(
            ["setting", "runs finished", "seeds", *(column.heading for column in shown)],
            [
                [_code(str(setting)), states(row), row["seeds"] or "–", *(column.text(row) for column in shown)]
                for setting, row in comparison.settings.iterrows()
            ],
            texts=3,
        ),
    ]
    others = unfinished(comparison)
    if len(others):
        rows = [[_code(row[0]), _code(row[1]), *map(_escaped, row[2:])] for row in others.itertuples(index=False)]
        parts += ["\n## Runs without final numbers\n", _table([*map(str, others)], rows, texts=others.shape[1])]
    return "\n".join(parts)


def print_tables(console: rich.console.Console, comparison: Comparison) -> None:
    """Prints the main numbers, the runs that have none, and the notes."""
    shown = columns(comparison.settings)
    shown = [*shown[:1], *(column for column in shown if column.name == "seconds")]  # more are too many for a terminal
    table = rich.table.Table(title=f"{comparison.title}: {UNIT}", box=rich.box.SIMPLE_HEAD)
    table.add_column("setting", overflow="fold", min_width=20)
    table.add_column("finished", min_width=8)
    for column in shown:
        table.add_column(column.heading.replace(", ", "\n"), justify="right", no_wrap=True)
    for setting, row in comparison.settings.iterrows():
        table.add_row(*map(rich.text.Text, [str(setting), states(row), *(column.text(row) for column in shown)]))
    console.print(table)
    others = unfinished(comparison)
    if len(others):
        table = rich.table.Table(title="runs without final numbers", box=rich.box.SIMPLE_HEAD)
        for name in ("run", "setting", "state", "epoch", "why"):
            table.add_column(name, overflow="fold", no_wrap=name == "state")
        for _, row in others.iterrows():
            table.add_row(*(rich.text.Text(row[name]) for name in ("run", "setting", "state", "epoch", "why")))
        console.print(table)
    for note in comparison.notes:
        console.print(f"Note: {note}", highlight=False, soft_wrap=True, markup=False)


def _epoch(reached: float, planned: float) -> str:
    text = "–" if math.isnan(reached) else f"{reached:.4g}"
    return text if math.isnan(planned) else f"{text} of {planned:g}"


def _table(headings: list[str], rows: list[list[str]], texts: int) -> str:
    rule = [("--:" if i >= texts else "---") for i in range(len(headings))]
    return "".join(f"| {' | '.join(row)} |\n" for row in [headings, rule, *rows])


def _code(text: str) -> str:
    return f"`{text}`".replace("|", r"\|")


def _escaped(text: str) -> str:
    return text.replace("|", r"\|").replace("<", r"\<")
