"""Runs of Weights & Biases that are recorded offline, and what its own tool reads from their files."""

import json
import subprocess
import sys

from vi.loggers.dashboard import WandbLogger

STEPS = [5, 10, 15, 20]


def row(step):
    """A row with an integer, floats that need all digits, and a number that cannot be computed at every other step."""
    elbo = -100 - (step - 12) ** 2 / 3
    kl = None if step % 2 else 0.1 * step
    return {"step": step, "epoch": step / 5, "train/kl": kl, "validation/elbo": elbo, "validation/nll": -elbo - 1e-7}


def start(directory, **changes):
    """An offline logger of the run `abc` in a directory; `changes` replace its arguments."""
    about = {
        "id": "abc",
        "name": "a/b",
        "group": "sweep",
        "tags": ["mnist", "IWAE", "d" * 70],
        "notes": "vi-train seed=7",
    }
    settings = {"mode": "offline", "project": "vi"}
    return WandbLogger(directory, {"seed": 7, "model": {"latent_dim": 2}}, **{**about, **settings, **changes})


def records(directory, pattern="offline-run-*-abc", kind="history"):
    """The records of one kind that W&B's own tool reads from the files of a run."""
    found = []
    for file in sorted(directory.glob(f"wandb/{pattern}/*.wandb")):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
        lines = subprocess.run(command, capture_output=True, check=True).stdout.splitlines()
        found += [record[kind] for record in map(json.loads, lines) if record["type"] == kind]
    return found
