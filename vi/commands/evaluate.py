"""The console command `vi-evaluate`."""

from __future__ import annotations

import sys
from typing import Any

from vi.commands.quiet import import_tensorflow
from vi.commands.start import exit_of
from vi.loggers.tables import evaluation_table
from vi.loggers.terminal import Terminal, evaluation_bar
from vi.runs import api as runs


def main() -> None:
    """Runs `vi-evaluate` with the arguments of the command line, and exits as `exit_of` says."""
    sys.exit(exit_of("evaluate", _evaluate))


def _evaluate(asked: dict[str, Any]) -> None:
    import_tensorflow()
    directory, console = asked.pop("run"), Terminal()
    with evaluation_bar(console) as bar:
        evaluation = runs.evaluate(directory, **asked, progress=bar)
    evaluation_table(console, evaluation, directory)
