"""The arguments of `vi-evaluate` and `vi-diagnose`, and their help."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from vi.commands.start import unknown
from vi.errors import ConfigError
from vi.files import as_override
from vi.runs.restore import opened
from vi.settings.compose import compose_request, conf_directory

HELP = {
    "evaluate": """vi-evaluate: evaluate a trained run on its test set, with importance samples.

Usage: vi-evaluate run=RUN_DIR [KEY=VALUE ...]

It writes evaluation.json and pictures into RUN_DIR, and adds both to the run's W&B run. The keys and their defaults:
""",
    "diagnose": """vi-diagnose: measure the signal, noise and cost of estimators' gradients on the model of a run.

Usage: vi-diagnose run=RUN_DIR [KEY=VALUE ...]

It writes diagnostics/gradients.csv, slopes.csv and pictures into RUN_DIR. The keys and their defaults:
""",
}


def request(command: str, given: list[str]) -> dict[str, Any] | None:
    """The checked arguments of a command line, for the function of `vi.runs.api`. With --help, prints the help instead.

    TensorFlow is not imported, so that a mistake is reported at once.

    Raises:
        ConfigError: an option, a key or a value is wrong, or the directory holds no run.
    """
    if not {"-h", "--help"}.isdisjoint(given):
        keys = (conf_directory() / f"{command}.yaml").read_text()
        print(f"{HELP[command]}\n{textwrap.indent(keys, '  ')}")
        return None
    for option in given:
        if option.startswith("-"):
            raise unknown(f"vi-{command}", f"unrecognized arguments: {option}")
        if "=" not in option and Path(option).is_dir():
            raise ConfigError(
                f"{option}: is not of the form KEY=VALUE; did you mean {as_override('run', Path(option))}?"
            )
    asked = compose_request(command, given)
    run_dir, data_path = Path(str(asked.pop("run"))), asked.pop("data")["path"]
    opened(run_dir, data_path, asked["trust"])
    return {"run_dir": run_dir, "data_path": data_path, **asked}
