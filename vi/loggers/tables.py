"""The tables that a training and an evaluation show at their end, and the commands to type next."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich.console
import rich.table
import rich.text

from vi.files import as_override, short
from vi.loggers.terminal import count, print_line
from vi.text import html, plain

PROBES = {"knn_accuracy": "10 nearest neighbours", "logistic_accuracy": "logistic regression"}


def closing_table(console: rich.console.Console, summary: Mapping[str, Any], directory: Path) -> None:
    """Prints the final numbers, and the paths of the pictures."""
    table = rich.table.Table(title=rich.text.Text(_title(summary)))
    table.add_column("number")
    table.add_column("value", justify="right")
    for name, value in _numbers(summary).items():
        table.add_row(rich.text.Text(plain(name)), value)
    console.print(table)
    if summary["collapse"] is not None:
        print_line(console, summary["collapse"])
    print_line(console, _places(directory))


def closing_html(summary: Mapping[str, Any], directory: Path) -> str:
    """What `closing_table` prints, as HTML for a notebook."""
    rows = "".join(f"<tr><td>{html(n)}</td><td align=right>{html(v)}</td></tr>" for n, v in _numbers(summary).items())
    lines = [_places(directory)] if summary["collapse"] is None else [summary["collapse"], _places(directory)]
    paragraphs = "".join(f"<p>{html(line)}</p>" for line in lines)
    return f"<table><caption>{html(_title(summary))}</caption><tbody>{rows}</tbody></table>{paragraphs}"


def _title(summary: Mapping[str, Any]) -> str:
    samples = f"{summary['samples']} sample{'s' if summary['samples'] > 1 else ''}"
    return f"{plain(summary['name'])}: {summary['estimator']}, {samples}, best at step {summary['best']['step']:,}"


def _numbers(summary: Mapping[str, Any]) -> dict[str, str]:
    """The final numbers of a run by name."""
    unit = "nats per datum, pseudo-likelihood" if summary["pseudo"] else "nats per datum"
    numbers = {f"{name} ({unit})": f"{value:.2f}" for name, value in summary["best"].items() if name != "step"}
    if summary["knn_accuracy"] is not None:
        numbers["10-nearest-neighbour accuracy of the validation means"] = f"{summary['knn_accuracy']:.3f}"
    if summary["active_units"] is not None:
        numbers["active latents"] = str(summary["active_units"])
    numbers["parameters"] = f"{sum(summary['parameters'].values()):,}"
    numbers["training examples per second"] = count(summary["examples_per_second"])
    numbers["seconds, with compiling and evaluation"] = f"{summary['seconds']:.0f}"
    return numbers


def _places(directory: Path) -> str:
    directory = short(directory)
    return f"Pictures: {directory / 'figures'}/  numbers: {directory / 'metrics.csv'}"


def evaluation_table(console: rich.console.Console, evaluation: Mapping[str, Any], directory: Path) -> None:
    """Prints the numbers of an evaluation with both standard errors, and the paths of the numbers and the pictures."""
    samples = evaluation["samples"]
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
        table.add_row("squared error per element", f"{evaluation['squared_error']:.4g}")
    for name, probe in PROBES.items():
        if evaluation[name] is not None:
            table.add_row(f"accuracy of {probe}", f"{evaluation[name]:.3f}")
    table.add_row("seconds", f"{evaluation['seconds']:.0f}")
    console.print(table)
    directory = short(directory)
    print_line(console, f"Pictures: {directory / 'evaluation'}/  numbers: {directory / 'evaluation.json'}")


def next_commands(console: rich.console.Console, directory: Path, summary: Mapping[str, Any]) -> None:
    """Prints three commands worth typing after a run: an evaluation, a longer training, other seeds."""
    vi_train, run = _program("vi-train"), short(directory)
    where, split = ("test", "") if summary["test_data"] else ("validation", " split=validation")
    same = [each for each in summary["overrides"] if not re.match(r"[+~]*(seed|resume|hydra)\b", each)]
    print_line(console, "Next:")
    print_line(
        console, f"  {_program('vi-evaluate')} {as_override('run', run)}{split} samples=500  # on the {where} set"
    )
    epochs = f"trainer.epochs={_twice(summary['epoch'])}"
    if (summary.get("choices") or {}).get("schedule"):  # the schedule is for the length of the training
        print_line(console, f"  {vi_train} {shlex.join([*same, epochs])}  # from the beginning, for twice as long")
    else:
        print_line(console, f"  {vi_train} {as_override('resume', run)} {epochs}  # for twice as long")
    print_line(console, f"  {vi_train} -m {shlex.join([*same, 'seed=1,2,3'])}  # other seeds, for vi-compare")


def next_command_of_sweep(console: rich.console.Console, directory: Path) -> None:
    """Prints the directory of a sweep, and the command that compares its runs."""
    directory = short(directory)
    print_line(console, f"Sweep: {directory}")
    print_line(console, "Next:")
    print_line(console, f"  {_program('vi-compare')} {shlex.quote(str(directory))}  # one table of its runs")


def _twice(epoch: float) -> int:
    """About twice as many epochs, of two digits and then zeros."""
    unit = 10 ** max(0, math.floor(math.log10(2 * epoch)) - 1)
    return max(math.floor(epoch) + 1, unit * round(2 * epoch / unit))


def _program(name: str) -> str:
    """The text that calls a program of this environment: its name if the shell finds it, else its path."""
    program = Path(sys.executable).with_name(name)
    if shutil.which(name) == str(program) or not program.exists():
        return name
    return str(short(program))
