"""Where a run's numbers go: metrics.csv and the terminal."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import rich.box
import rich.console
import rich.progress
import rich.table

from vi.directory import short, write


class Logger:
    """What a run tells its loggers; a subclass replaces what it wants to hear."""

    def progress(self, progress: Any) -> None:
        """A compiled call has ended; `progress` is `vi.loop.Progress`."""

    def log(self, row: Mapping[str, float | None]) -> None:
        """An evaluation has ended; `row` is a row of metrics.csv."""

    def picture(self, name: str, path: Path) -> None:
        """A picture was made."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """The run has ended, well or badly; `summary` is what summary.json says."""


class MetricsFile(Logger):
    """Appends each row to metrics.csv; what cannot be computed stays empty."""

    def __init__(self, path: Path):
        self.path = path

    def go_back(self, row: Mapping[str, float | None]) -> None:
        """Leaves what a run that goes on has logged up to its checkpoint, of which `row` is the last; none if empty.

        Rows of later steps and a torn row of a killed run go; the last one is written again if the kill kept it.
        """
        if not row:
            self.path.unlink(missing_ok=True)
            return
        text = self.path.read_text() if self.path.exists() else ""
        last, whole = int(row["step"] or 0), text[: text.rfind("\n") + 1]
        found = csv.reader(io.StringIO(whole))
        rows = [cells for cells in found if "".join(cells[:1]).isdigit() and int(cells[0]) < last]
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([list(row), *rows, list(row.values())])
        write(self.path, file.getvalue())

    def log(self, row: Mapping[str, float | None]) -> None:
        """Appends the row, and before the first the header."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)


class Terminal(rich.console.Console):
    """The standard output, also when it is a pipe that nobody reads any more: what is written then is lost."""

    def on_broken_pipe(self) -> None:
        """Called by rich, which by itself would end the process."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Console(Logger):
    """A progress bar in a terminal, a line for each evaluation elsewhere."""

    def __init__(self, console: rich.console.Console):
        self.console = console
        column = rich.progress.TextColumn
        self.bar = rich.progress.Progress(
            column("epoch {task.fields[epoch]}"),
            rich.progress.BarColumn(),
            column("bound {task.fields[bound]}"),
            column("{task.fields[speed]} examples/s"),
            rich.progress.TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=None, epoch="0", bound="–", speed="–")

    def progress(self, progress: Any) -> None:
        """Moves the bar."""
        self.bar.start()
        self.bar.update(
            self.task,
            completed=progress.step,
            total=progress.total,
            epoch=f"{progress.epoch:.1f}",
            bound=f"{progress.bound:.2f}",
            speed=_count(progress.examples_per_second),
        )

    def log(self, row: Mapping[str, float | None]) -> None:
        """Prints the row's main numbers where there is no bar."""
        if not self.console.is_terminal:
            names = ("train/bound", "validation/elbo", "validation/iw_bound")
            values = [f"{name} {row[name]:.2f}" for name in names if row[name] is not None]
            text = f"epoch {row['epoch']:.1f}  {'  '.join(values)}  {row['seconds']:.0f} s"
            self.console.print(text, highlight=False, soft_wrap=True)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Takes the bar away."""
        self.bar.stop()


def closing_table(console: rich.console.Console, summary: Mapping[str, Any], directory: Path) -> None:
    """Prints the final numbers, and where the pictures are."""
    best = summary["best"]
    directory = short(directory)
    samples = f"{summary['samples']} sample{'s' if summary['samples'] > 1 else ''}"
    title = f"{summary['name']}: {summary['estimator']}, {samples}, best at step {best['step']:,}"
    table = rich.table.Table(title=title)
    table.add_column("number")
    table.add_column("value", justify="right")
    unit = "nats per datum, pseudo-likelihood" if summary["pseudo"] else "nats per datum"
    for name, value in best.items():
        if name != "step":
            table.add_row(f"{name} ({unit})", f"{value:.2f}")
    if summary["knn_accuracy"] is not None:
        table.add_row("10-nearest-neighbour accuracy of the validation means", f"{summary['knn_accuracy']:.3f}")
    table.add_row("parameters", f"{sum(summary['parameters'].values()):,}")
    table.add_row("training examples a second", _count(summary["examples_per_second"]))
    table.add_row("seconds", f"{summary['seconds']:.0f}")
    console.print(table)
    _print(console, f"Pictures: {directory / 'figures'}/  numbers: {directory / 'metrics.csv'}")


@contextlib.contextmanager
def evaluation_bar(console: rich.console.Console) -> Iterator[Callable[[str, float], None]]:
    """On a terminal, a bar that is told the stage of an evaluation and what fraction of it is done."""
    column = rich.progress.TextColumn("{task.description}")
    columns = (
        column,
        rich.progress.BarColumn(),
        rich.progress.TaskProgressColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1)
        yield lambda stage, done: bar.update(task, description=stage, completed=done)


def evaluation_table(console: rich.console.Console, evaluation: Mapping[str, Any], directory: Path) -> None:
    """Prints the numbers of an evaluation with their two errors, and where they and its pictures are."""
    samples, probes = (
        evaluation["samples"],
        {"knn_accuracy": "10 nearest neighbours", "logistic_accuracy": "logistic regression"},
    )
    unit = "nats per datum, of a pseudo-likelihood" if evaluation["pseudo"] else "nats per datum"
    where = f"{evaluation['checkpoint']} checkpoint, step {evaluation['step']:,}, on {evaluation['data']:,}"
    table = rich.table.Table(
        title=f"{where} {evaluation['split']} data with {samples:,} sample{'s' if samples > 1 else ''} each",
        caption=f"elbo, distortion, rate and iw_bound in {unit}; ± standard errors over data, and of Monte Carlo",
    )
    table.add_column("number")
    for name in ("value", "± data", "± Monte Carlo"):
        table.add_column(name, justify="right")
    for name in ("elbo", "distortion", "rate", "iw_bound"):
        if (number := evaluation[name]) is not None:
            errors = (number["standard_error"], number["monte_carlo_error"])
            table.add_row(name, f"{number['mean']:.3f}", *("–" if e is None else f"{e:.2g}" for e in errors))
    if (sizes := evaluation["effective_sample_size"]) is not None:
        table.add_row("effective sample size, median", f"{sizes['median']:,.1f}")
        table.add_row("effective sample size, least", f"{sizes['minimum']:,.1f}")
    units = f"{evaluation['active_units']} of {len(evaluation['posterior_mean_variance'])}"
    table.add_row(f"active units (variance > {evaluation['active_units_threshold']})", units)
    if evaluation["squared_error"] is not None:
        table.add_row("squared error an element", f"{evaluation['squared_error']:.4g}")
    for name, probe in probes.items():
        if evaluation[name] is not None:
            table.add_row(f"accuracy of {probe}", f"{evaluation[name]:.3f}")
    table.add_row("seconds", f"{evaluation['seconds']:.0f}")
    console.print(table)
    directory = short(directory)
    _print(console, f"Pictures: {directory / 'evaluation'}/  numbers: {directory / 'evaluation.json'}")


def diagnosis_table(console: rich.console.Console, gradients: Any, slopes: Any, directory: Path) -> None:
    """Prints what `vi.runs.diagnose` found, and where it and its pictures are."""
    first = gradients.iloc[0]
    where = f"{first['checkpoint']} checkpoint, step {first['step']:,}, {first['batch_size']} {first['split']} data"
    _print(console, f"{where}, {first['repeats']:,} repeats\n")
    for group, rows in gradients.groupby("group", sort=False):
        table = _plain_table(f"{group} gradients")
        for name in ("S", "norm", "variance", "SNR", "bias / norm"):
            table.add_column(name, justify="right")
        for row in rows.itertuples():
            variance, snr = _measured(row.variance, row.variance_error), _measured(row.snr, row.snr_error)
            table.add_row(row.estimator, f"{row.samples:,}", f"{row.norm:.3g}", variance, snr, _bias(row))
        console.print(table)
    samples = sorted(gradients["samples"].unique())
    table = _plain_table("cost of a gradient: ms, and MB at the peak")
    for s in samples:
        table.add_column(f"S = {s:,}", justify="right")
    for estimator, rows in gradients.groupby("estimator", sort=False):
        cost = {row.samples: f"{_short(1000 * row.seconds)}, {_short(row.memory)}" for row in rows.itertuples()}
        table.add_row(estimator, *(cost.get(s, "–") for s in samples))
    console.print(table)
    table = _plain_table("fitted powers of S", caption="bias below a limit of two standard errors: none seen")
    for name in ("group", "SNR", "variance"):
        table.add_column(name, justify="left" if name == "group" else "right")
    for (estimator, group), rows in slopes.groupby(["estimator", "group"], sort=False):
        table.add_row(estimator, group, *(_power(row.slope, row.slope_error) for row in rows.itertuples()))
    console.print(table)
    directory = short(directory) / "diagnostics"
    _print(console, f"Pictures: {directory}/  numbers: {directory / 'gradients.csv'}, {directory / 'slopes.csv'}")


def _plain_table(title: str, caption: str | None = None) -> rich.table.Table:
    """A table of estimators that is narrow enough for 80 columns."""
    look: dict[str, Any] = {"box": rich.box.SIMPLE_HEAD, "title_justify": "left", "caption_justify": "left"}
    table = rich.table.Table(title=title, caption=caption, **look)
    table.add_column("estimator", no_wrap=True)
    return table


def _short(value: float) -> str:
    """A number to two digits, or to its whole part where that has more."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _measured(value: float, error: float) -> str:
    """A number with its error, both without an exponent as far as that is readable."""
    return f"{value:.3g} ± {error:{',.0f' if 10 <= error < 1e4 else '.1g'}}"


def _power(slope: float, error: float) -> str:
    if math.isnan(slope):
        return "–"
    digits = 2 if error >= 0.005 else 3
    return f"{slope:+.{digits}f} ± {error:.{digits}f}"


def _bias(row: Any) -> str:
    """A bias as a part of the gradient's norm, or what it stays below."""
    value, error = row.bias_squared, row.bias_squared_error
    if math.isnan(value) or not row.norm > 0:
        return "–"
    if max(abs(value), error) <= (1e-5 * row.norm) ** 2:  # rounding
        return "0"
    seen = value > 3 * error
    percent = 100 * math.sqrt(value if seen else max(value, 0) + 2 * error) / row.norm
    return f"{'' if seen else '< '}{percent:{',.0f' if percent >= 10 else '.2g'}} %"


def next_commands(console: rich.console.Console, directory: Path, summary: Mapping[str, Any]) -> None:
    """Prints three commands worth typing after a run of any kind."""
    vi_train, run, longer = _program("vi-train"), short(directory), math.ceil(2 * summary["epoch"])
    same = [each for each in summary["overrides"] if not re.match(r"[+~]*(seed|resume|hydra)\b", each)]
    _print(console, "Next:")
    _print(console, f"  {_program('vi-evaluate')} run={run} samples=500  # on the test set")
    _print(console, f"  {vi_train} resume={run} trainer.epochs={longer}  # for twice as long")
    _print(console, f"  {vi_train} -m {shlex.join([*same, 'seed=1,2,3'])}  # other seeds, for vi-compare")


def _print(console: rich.console.Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def _program(name: str) -> str:
    """How to call a program of this environment: by its name where the shell finds it."""
    program = Path(sys.executable).with_name(name)
    if shutil.which(name) == str(program) or not program.exists():
        return name
    return str(short(program))


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
