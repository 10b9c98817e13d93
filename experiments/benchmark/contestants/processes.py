"""W5 and W6: whole processes, from the shell to their end.

W5 is the default run of `vi-train`, and the same job as a plain Keras script, `keras_script.py`. W6 is `vi-evaluate`
of the run of W4.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
TRAIN, EVALUATE = ([str(Path(sys.executable).with_name(name))] for name in ("vi-train", "vi-evaluate"))
SCRIPT = [str(Path(__file__).with_name("keras_script.py"))]
Round = Callable[[Path], dict[str, Any]]


class Processes:
    """Rounds that are a process each, in a new directory."""

    def __init__(self, options: dict[str, Any], run: Round):
        self.options, self.run = options, run

    def facts(self) -> dict[str, Any]:
        """Processes are compared by what they write, so there is nothing to count here."""
        return {"parameters": 0, "versions": {"python": sys.version.split()[0]}}

    def round(self) -> dict[str, Any]:
        """The seconds of the round's process, or of a part of it, and its peak memory in bytes."""
        with tempfile.TemporaryDirectory() as folder:
            return self.run(Path(folder))


def _process(arguments: list[str], folder: Path) -> dict[str, Any]:
    """The wall-clock seconds and the peak memory of a Python process; it must succeed."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment.pop("WANDB_MODE", None)  # the default run writes a W&B run, offline
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed; its output is above.")
    return {"seconds": seconds, "peak_memory": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)}


def _trained(arguments: list[str], folder: Path, summary: str, first_step: bool) -> dict[str, Any]:
    """A process that trains, with the parts of its start; its seconds end at the first step if this is asked for."""
    measured = _process(arguments, folder)
    (file,) = folder.glob(summary)
    start = json.loads(file.read_text())
    parts = start["startup"]
    found = {**measured, "parts": parts, "bound": start["final"]["validation/iw_bound"]}
    return {**found, "seconds": parts["first_step"]} if first_step else found


def first_step(options: dict[str, Any]) -> Processes:
    """`vi-train`, to the end of its first train step, in a run of a few epochs."""
    train = [*TRAIN, "trainer.epochs=2", *options["overrides"]]
    return Processes(options, lambda folder: _trained(train, folder, "outputs/*/*/summary.json", True))


def script_first_step(options: dict[str, Any]) -> Processes:
    """The Keras script, to the end of its first train step, in a run of a few epochs."""
    return Processes(options, lambda folder: _trained([*SCRIPT, "2"], folder, "summary.json", True))


def default_run(options: dict[str, Any]) -> Processes:
    """`vi-train`, to its end."""
    train = [*TRAIN, *options["overrides"]]
    return Processes(options, lambda folder: _trained(train, folder, "outputs/*/*/summary.json", False))


def script_run(options: dict[str, Any]) -> Processes:
    """The Keras script, to its end."""
    return Processes(options, lambda folder: _trained([*SCRIPT, str(options["epochs"])], folder, "summary.json", False))


def second_job(options: dict[str, Any]) -> Processes:
    """A sweep of two jobs: from the end of the first job to the first train step of the second."""
    train = [*TRAIN, "-m", "seed=0,1", "trainer.epochs=2", *options["overrides"]]
    return Processes(options, lambda folder: _trained(train, folder, "outputs/multirun/*/1/summary.json", True))


def show_help(options: dict[str, Any]) -> Processes:
    """`vi-train --help`."""
    return Processes(options, lambda folder: _process([*TRAIN, "--help"], folder))


def memory(options: dict[str, Any]) -> Processes:
    """`vi-evaluate` of the trained run with S = `samples` for the first `data` test images."""
    run = Path(options["cache"]) / "trained" / "run"
    make = "import json, sys; from experiments.benchmark.contestants.trained import trained_run"

    def evaluate(folder: Path) -> dict[str, Any]:
        if not (run.parent / "model.npz").exists():
            _process(["-c", f"{make}; trained_run(json.loads(sys.argv[1]))", json.dumps(options)], folder)
        copy = folder / "run"
        shutil.copytree(run, copy)  # it writes its numbers and pictures into the run
        wanted = [f"run={copy}", f"samples={options['samples']}", f"size={options['data']}"]
        return _process([*EVALUATE, *wanted], folder)

    return Processes(options, evaluate)
