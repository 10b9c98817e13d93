"""The processes of the contestants. Each waits for its input while another one works."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from experiments.benchmark.work import Contestant

ROOT = Path(__file__).parents[2]


class WorkerError(RuntimeError):
    """A contestant failed; the message has the end of its log."""


class Worker:
    """A contestant in its own process.

    Args:
        contestant: whom to start.
        python: the interpreter of its peer.
        options: for the contestant's function.
        log: the file that receives what the process prints.
    """

    def __init__(self, contestant: Contestant, python: Path, options: dict[str, Any], log: Path):
        self.contestant, self.log = contestant, log
        log.parent.mkdir(parents=True, exist_ok=True)
        module, options = "experiments.benchmark.worker", {**options, **contestant.options}
        self.process = subprocess.Popen(
            [python, "-m", module, contestant.module, contestant.function, json.dumps(options)],
            cwd=ROOT,
            env=_environment(options["device"], contestant.peer),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
        )

    def ask(self, command: str) -> dict[str, Any]:
        """The answer to a command.

        Raises:
            WorkerError: the process has ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(f"{command}\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            self.process.wait()
            lines = self.log.read_text(errors="replace").splitlines()[-12:]
            raise WorkerError("\n".join([f"{self.contestant.name} failed; the end of {self.log}:", *lines])) from None

    def stop(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()


def _environment(device: str, peer: str) -> dict[str, str]:
    """The variables of a contestant's process: all cores, and the GPU only if it is asked for."""
    own = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "WANDB_MODE": "disabled",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # several processes share the GPU
    }
    if device == "cpu":
        own |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    if peer == "keras":
        own |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    return own
