"""The console command `vi-diagnose`."""

from __future__ import annotations

import sys
from typing import Any

from vi.commands.quiet import import_tensorflow
from vi.commands.start import exit_of
from vi.loggers.tables import diagnosis_table
from vi.loggers.terminal import Terminal, evaluation_bar
from vi.runs import api as runs
from vi.settings.compose import estimators_of


def main() -> None:
    """Runs `vi-diagnose` with the arguments of the command line, and exits as `exit_of` says."""
    sys.exit(exit_of("diagnose", _diagnose))


def _diagnose(asked: dict[str, Any]) -> None:
    estimators_of(asked["estimators"])
    import_tensorflow()
    directory, console = asked.pop("run"), Terminal()
    with evaluation_bar(console) as bar:
        gradients, slopes = runs.diagnose(directory, **asked, progress=bar)
    diagnosis_table(console, gradients, slopes, directory)
