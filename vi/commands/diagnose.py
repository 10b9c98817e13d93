"""The console command `vi-diagnose`."""

from __future__ import annotations

from typing import NoReturn

from vi.commands.requests import request
from vi.commands.start import run_command
from vi.loggers.diagnosis import diagnosis_table
from vi.loggers.terminal import Terminal, evaluation_bar
from vi.quiet import import_tensorflow
from vi.runs.api import diagnose
from vi.settings.compose import estimators_of


def main() -> NoReturn:
    """Runs `vi-diagnose` and exits as in `run_command`."""
    run_command("diagnose", _diagnose)


def _diagnose(given: list[str]) -> None:
    if (asked := request("diagnose", given)) is None:
        return
    estimators_of(asked["estimators"])  # reports a wrong name before TensorFlow is imported
    import_tensorflow()
    console = Terminal()
    with evaluation_bar(console) as bar:
        gradients, slopes = diagnose(**asked, progress=bar)
    diagnosis_table(console, gradients, slopes, asked["run_dir"])
