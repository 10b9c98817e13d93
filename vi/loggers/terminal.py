"""The terminal: a progress bar, or a line for each evaluation."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping

import rich.box
import rich.console
import rich.progress
import rich.table

from vi.loggers.base import Logger, Standing
from vi.text import plain


class Terminal(rich.console.Console):
    """The standard output. If the reader of a pipe ends, later output is discarded and the process continues."""

    def on_broken_pipe(self) -> None:
        """Called by rich; by default rich would end the process."""
        self.quiet = True
        discard_output()


def discard_output() -> None:
    """Discards all later standard output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class TerminalLogger(Logger):
    """A progress bar in a terminal, a line for each evaluation elsewhere."""

    def __init__(self, console: rich.console.Console):
        self.console = console
        column = rich.progress.TextColumn
        self.bar = rich.progress.Progress(
            column("epoch {task.fields[epoch]}"),
            rich.progress.BarColumn(),
            column("bound {task.fields[bound]}"),
            column("{task.fields[speed]}"),
            rich.progress.TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=None, epoch="0", bound="–", speed="–")

    def progress(self, progress: Standing) -> None:
        """Moves the bar. Until the speed is known, the first step is being compiled."""
        speed = progress.examples_per_second
        self.bar.start()
        self.bar.update(
            self.task,
            completed=progress.step,
            total=progress.total,
            epoch=f"{progress.epoch:.1f}",
            bound="–" if math.isnan(progress.bound) else f"{progress.bound:.2f}",
            speed="compiling" if speed is None else f"{count(speed)} examples/s",
        )

    def log(self, row: Mapping[str, float | None]) -> None:
        """Prints the row's main numbers if there is no bar."""
        if not self.console.is_terminal:
            names = ("train/bound", "validation/elbo", "validation/iw_bound")
            values = [f"{name} {row[name]:.2f}" for name in names if row[name] is not None]
            text = f"epoch {row['epoch']:.1f}  {'  '.join(values)}  {row['seconds']:.0f} s"
            self.console.print(text, highlight=False, soft_wrap=True)

    def finish(self, summary: Mapping[str, object]) -> None:
        """Removes the bar."""
        self.stop()

    def stop(self) -> None:
        """Removes the bar."""
        self.bar.stop()


@contextlib.contextmanager
def evaluation_bar(console: rich.console.Console) -> Iterator[Callable[[str, float], None]]:
    """A function that shows the stage of an evaluation and its fraction done, as a bar; nothing outside a terminal."""
    if not console.is_terminal:
        yield lambda stage, done: None
        return
    column = rich.progress.TextColumn("{task.description}")
    columns = (
        column,
        rich.progress.BarColumn(),
        rich.progress.TaskProgressColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1)
        yield lambda stage, done: bar.update(task, description=stage, completed=done)


def print_line(console: rich.console.Console, line: str) -> None:
    """Prints a line without wrapping or colours."""
    console.print(plain(line), highlight=False, soft_wrap=True, markup=False)


def count(value: float | None) -> str:
    """A whole number with separators, or a dash for None."""
    return "–" if value is None else f"{value:,.0f}"
