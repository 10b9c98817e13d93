"""The console command `vi-evaluate`."""

from __future__ import annotations

from typing import NoReturn

from vi.commands.requests import request
from vi.commands.start import run_command
from vi.loggers.tables import evaluation_table
from vi.loggers.terminal import Terminal, evaluation_bar
from vi.quiet import import_tensorflow
from vi.runs.api import evaluate


def main() -> NoReturn:
    """Runs `vi-evaluate` and exits as in `run_command`."""
    run_command("evaluate", _evaluate)


def _evaluate(given: list[str]) -> None:
    if (asked := request("evaluate", given)) is None:
        return
    import_tensorflow()
    console = Terminal()
    with evaluation_bar(console) as bar:
        evaluation = evaluate(**asked, progress=bar)
    evaluation_table(console, evaluation, asked["run_dir"])
