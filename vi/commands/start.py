"""How a console command begins and ends: what it is asked for, what it answers, and its exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vi.errors import ConfigError, RunError
from vi.runs import api as runs
from vi.settings.compose import compose_request, conf_directory
from vi.settings.sentences import first_line, sentence

HELP = {
    "evaluate": """vi-evaluate: evaluate a trained run on its test set, with importance samples.

Usage: vi-evaluate run=RUN_DIR [KEY=VALUE ...]

It writes evaluation.json and pictures below RUN_DIR, and adds both to the run's W&B run. Keys and their values:
""",
    "diagnose": """vi-diagnose: the signal, the noise and the cost of the gradients of estimators, on a run's model.

Usage: vi-diagnose run=RUN_DIR [KEY=VALUE ...]

It writes diagnostics/gradients.csv, slopes.csv and pictures below RUN_DIR. Keys and their values:
""",
}


def exit_of(command: str, work: Callable[[dict[str, Any]], None]) -> int:
    """Does what a command line asks for, answers what is wrong in one sentence, and gives the exit code.

    Exit codes: 0 done; 1 the work failed; 2 the command, a value or a file was wrong; 129, 130 and 143 interrupted.
    """
    logging.basicConfig(format="%(message)s")
    try:
        asked = _asked(command, sys.argv[1:])
        if asked is not None:
            work(asked)
        return 0
    except KeyboardInterrupt as interrupt:
        line, code = "interrupted", 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR", "0") != "0":
            raise
        foreseen = isinstance(error, ConfigError | RunError | OSError)
        unforeseen = f"{type(error).__name__}: {first_line(error)} (HYDRA_FULL_ERROR=1 says where)"
        line, code = sentence(error) if foreseen else unforeseen, 2 if isinstance(error, ConfigError) else 1
    print(f"vi-{command}: {line}", file=sys.stderr)
    return code


def _asked(command: str, given: list[str]) -> dict[str, Any] | None:
    """What a command line asks for, checked; None for its help, which is printed."""
    if not {"-h", "--help"}.isdisjoint(given):
        keys = (conf_directory() / f"{command}.yaml").read_text()
        print(f"{HELP[command]}\n{textwrap.indent(keys, '  ')}")
        return None
    for option in given:
        if option.startswith("-"):
            raise ConfigError(f"unrecognized arguments: {option}; vi-{command} --help tells what there is.")
    asked = compose_request(command, given)
    asked |= {"run": Path(str(asked["run"])), "data_path": asked.pop("data")["path"]}
    runs.opened(asked["run"], asked["data_path"])  # a mistake is answered before TensorFlow is imported
    return asked
