"""The tables of a comparison, in Markdown and in the terminal."""

from __future__ import annotations

import dataclasses
import math

import pandas as pd
import rich.box
import rich.console
import rich.table
import rich.text

from vi.compare.comparison import Comparison
from vi.compare.markdown import table
from vi.text import code, plain
from vi.text import markdown as escaped

UNIT = "nats per datum; mean ± standard error over seeds"


@dataclasses.dataclass(frozen=True)
class Column:
    """A number of a setting, with its heading and its format."""

    name: str
    heading: str
    decimals: int = 2
    with_error: bool = True

    def text(self, row: pd.Series) -> str:
        """The mean over seeds, ± its standard error if there are several seeds."""
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
    Column("seconds", "seconds, with compiling", 1),
    Column("examples_per_second", "examples/s", 0),
    Column("knn_accuracy", "kNN accuracy", 3),
)


def columns(settings: pd.DataFrame) -> list[Column]:
    """The columns that have a value, with one more decimal if two decimals would round an error to zero."""
    shown = [column for column in COLUMNS if settings[column.name].notna().any()]
    errors = {column: settings[f"{column.name} standard error"] for column in shown}
    return [
        dataclasses.replace(c, decimals=c.decimals + bool(e[e > 0].min() < 0.5 * 10**-c.decimals))
        for c, e in errors.items()
    ]


def states(row: pd.Series) -> str:
    """The number of a setting's runs that finished, and the states of the other runs."""
    others = [f"{row[s]} {s}" for s in ("running", "interrupted", "killed", "failed", "damaged") if row[s]]
    return f"{row['finished']} of {row['runs']}" + (f" ({', '.join(others)})" if others else "")


def unfinished(comparison: Comparison) -> pd.DataFrame:
    """The runs without final numbers, as texts: the epoch that each reached, and why it stopped."""
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
    """The text of comparison.md."""
    shown = columns(comparison.settings)
    parts = [
        f"# {escaped(comparison.title)}\n",
        *(f"> **Note.** {escaped(note)}\n" for note in comparison.notes),
        f"In {UNIT}.\n",
        table(
            ["setting", "runs finished", "seeds", *(column.heading for column in shown)],
            [
                [code(str(setting)), states(row), row["seeds"] or "–", *(column.text(row) for column in shown)]
                for setting, row in comparison.settings.iterrows()
            ],
            texts=3,
        ),
    ]
    others = unfinished(comparison)
    if len(others):
        rows = [[code(row[0]), code(row[1]), *map(escaped, row[2:])] for row in others.itertuples(index=False)]
        parts += ["\n## Runs without final numbers\n", table([*map(str, others)], rows, texts=others.shape[1])]
    return "\n".join(parts)


def print_tables(console: rich.console.Console, comparison: Comparison) -> None:
    """Prints the main numbers, the runs without final numbers, and the notes."""
    console.print(_main_numbers(comparison))
    others = unfinished(comparison)
    if len(others):
        shown = rich.table.Table(title="runs without final numbers", box=rich.box.SIMPLE_HEAD)
        names = ("run", "setting", "state", "epoch", "why")
        for name in names:
            shown.add_column(name, overflow="fold", no_wrap=name == "state")
        for _, row in others.iterrows():
            shown.add_row(*(rich.text.Text(plain(row[name])) for name in names))
        console.print(shown)
    for note in comparison.notes:
        console.print(f"Note: {plain(note)}", highlight=False, soft_wrap=True, markup=False)


def _main_numbers(comparison: Comparison) -> rich.table.Table:
    """The first number of each setting and its speed, which leaves out compiling; a terminal has no room for more."""
    available = columns(comparison.settings)
    numbers = [*available[:1], *(column for column in available if column.name == "examples_per_second")]
    shown = rich.table.Table(title=rich.text.Text(f"{plain(comparison.title)}: {UNIT}"), box=rich.box.SIMPLE_HEAD)
    shown.add_column("setting", overflow="fold", min_width=20)
    shown.add_column("finished", min_width=8)
    for column in numbers:
        shown.add_column(column.heading.replace(", ", "\n"), justify="right", no_wrap=True)
    for setting, row in comparison.settings.iterrows():
        shown.add_row(*map(rich.text.Text, [plain(setting), states(row), *(column.text(row) for column in numbers)]))
    return shown


def _epoch(reached: float, planned: float) -> str:
    text = "–" if math.isnan(reached) else f"{reached:.4g}"
    return text if math.isnan(planned) else f"{text} of {planned:g}"
