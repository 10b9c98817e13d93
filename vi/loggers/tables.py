"""The tables that end a training, an evaluation and a diagnosis in the terminal, and what to type next."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich.box
import rich.console
import rich.progress
import rich.table

from vi.files import short
from vi.loggers.terminal import count, print_line


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
    table.add_row("training examples a second", count(summary["examples_per_second"]))
    table.add_row("seconds", f"{summary['seconds']:.0f}")
    console.print(table)
    print_line(console, f"Pictures: {directory / 'figures'}/  numbers: {directory / 'metrics.csv'}")


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
    print_line(console, f"Pictures: {directory / 'evaluation'}/  numbers: {directory / 'evaluation.json'}")


def diagnosis_table(console: rich.console.Console, gradients: Any, slopes: Any, directory: Path) -> None:
    """Prints what `vi.runs.diagnose` found, and where it and its pictures are."""
    first = gradients.iloc[0]
    where = f"{first['checkpoint']} checkpoint, step {first['step']:,}, {first['batch_size']} {first['split']} data"
    print_line(console, f"{where}, {first['repeats']:,} repeats\n")
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
    print_line(console, f"Pictures: {directory}/  numbers: {directory / 'gradients.csv'}, {directory / 'slopes.csv'}")


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
    print_line(console, "Next:")
    print_line(console, f"  {_program('vi-evaluate')} run={run} samples=500  # on the test set")
    print_line(console, f"  {vi_train} resume={run} trainer.epochs={longer}  # for twice as long")
    print_line(console, f"  {vi_train} -m {shlex.join([*same, 'seed=1,2,3'])}  # other seeds, for vi-compare")


def _program(name: str) -> str:
    """How to call a program of this environment: by its name where the shell finds it."""
    program = Path(sys.executable).with_name(name)
    if shutil.which(name) == str(program) or not program.exists():
        return name
    return str(short(program))
