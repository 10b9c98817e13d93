"""Checkpoints: written whole or not at all, the last two and the best."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf

from vi.errors import ConfigError

KEPT = 2
Which = Literal["best", "last"]


class Checkpoints:
    """The checkpoints of a run: folders `step_…` and `best_…` under `directory`, named by their step.

    Args:
        directory: made when the first one is written.
        variables: what they hold: lists of variables by name.
    """

    def __init__(self, directory: Path, variables: Mapping[str, Sequence[Any]]):
        self.directory = Path(directory)
        self._checkpoint = tf.train.Checkpoint(
            **{
                name: [v.value if isinstance(v, keras.Variable) else v for v in group]
                for name, group in variables.items()
            }
        )

    def save(self, step: int, state: Mapping[str, Any], best: bool = False) -> None:
        """Writes the variables and `state`, as one of the last two or as the best, and removes what it replaces."""
        kind = "best" if best else "step"
        target = self.directory / f"{kind}_{step:09d}"
        partial, replaced = (self.directory / f".{target.name}.{ending}" for ending in ("partial", "replaced"))
        for rest in (*self.directory.glob(".*.partial"), *self.directory.glob(".*.replaced")):  # of a killed process
            shutil.rmtree(rest)
        partial.mkdir(parents=True)
        self._checkpoint.write(str(partial / "variables"))
        (partial / "state.json").write_text(json.dumps(dict(state), indent=1))
        if target.exists():
            target.rename(replaced)
        partial.rename(target)
        shutil.rmtree(replaced, ignore_errors=True)
        for old in sorted(self.directory.glob(f"{kind}_*"))[: -1 if best else -KEPT]:
            shutil.rmtree(old)

    def restore(self, which: Which) -> dict[str, Any]:
        """Reads the variables that it was given from the last or the best checkpoint; returns its state.

        Raises:
            ConfigError: there is none, or `which` is neither.
        """
        if which not in ("best", "last"):
            raise ConfigError(f"checkpoint={which}: must be best or last.")
        found = sorted(self.directory.glob("step_*" if which == "last" else "best_*"))
        if not found:
            raise ConfigError(f"{self.directory}: holds no {which} checkpoint.")
        self._checkpoint.read(str(found[-1] / "variables")).assert_existing_objects_matched().expect_partial()
        return json.loads((found[-1] / "state.json").read_text())
