"""Commands of vi in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

COMMAND = [str(Path(sys.executable).with_name("vi-train"))]


def run(*arguments, cwd, command=COMMAND, **env):
    """Runs a command to its end, without the data folder of whoever runs the tests."""
    environment = {**os.environ, **env}
    environment.pop("VI_DATA_DIR", None)
    return subprocess.run([*command, *arguments], cwd=cwd, capture_output=True, text=True, env=environment, timeout=300)
