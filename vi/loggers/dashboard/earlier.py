"""The earlier rows of a resumed run: in metrics.csv, and in the files of Weights & Biases."""

from __future__ import annotations

import csv
import glob
import io
import json
import subprocess
import sys
from pathlib import Path

INSPECT_SECONDS = 60
"""The time limit for reading one file."""


def rows_of(metrics: str) -> list[dict[str, float]]:
    """The rows of the text of a metrics.csv, without empty cells."""
    rows = csv.DictReader(io.StringIO(metrics))
    return [{name: _number(cell) for name, cell in row.items() if cell} for row in rows]


def _number(cell: str) -> float:
    try:
        return int(cell)
    except ValueError:
        return float(cell)


def logged_steps(directory: Path, id: str) -> set[float]:
    """The steps of the rows in the files of the W&B run `id`, read by W&B's own tool.

    A file torn by a kill is read up to the tear. The set is empty if any file cannot be read; the rows are then logged
    twice, which is harmless.
    """
    steps = set()
    for file in directory.glob(f"wandb/*run-*-{glob.escape(id)}/*.wandb"):
        command = [sys.executable, "-P", "-m", "wandb", "leet", "inspect", "--json", str(file.absolute())]
        try:
            text = subprocess.run(
                command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=INSPECT_SECONDS, cwd="/"
            ).stdout
            items = [json.loads(line).get("history", {}).get("item", {}) for line in text.splitlines()]
        except (OSError, subprocess.SubprocessError, ValueError):
            return set()
        steps |= {item["step"] for item in items if "step" in item and not any("figures/" in name for name in item)}
    return steps
