"""Checkpoints: the last two and the best, each written atomically."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf

from vi.errors import ConfigError, RunError, reason
from vi.files import MEGABYTE, read_json
from vi.training.bundle import require_sound

log = logging.getLogger(__name__)


KEPT = 2
NAME, PARTIAL = re.compile(r"step_\d{9,12}"), re.compile(r"\.(step_\d{9,12})\.(replaced\.)?partial")
"""The names of the folders of checkpoints, and of unfinished or replaced ones. No other folder is read or removed."""


Which = Literal["best", "last"]


Variables = Mapping[str, Sequence[Any]]


class Checkpoints:
    """The checkpoints of a run: folders below `directory`, named by their step.

    The last two checkpoints are kept, and the best checkpoint that each of them names. If the last one is damaged, the
    one before it and its best checkpoint can still be read.

    Args:
        directory: made with the first checkpoint.
        variables: the variables of a checkpoint: lists by name.
    """

    def __init__(self, directory: Path, variables: Variables):
        self.directory = Path(directory)
        self.variables = variables

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Writes the variables and `state`, and removes old checkpoints. `state["best_step"]` names the best.

        Raises:
            RunError: the checkpoint cannot be written; earlier checkpoints are intact.
        """
        self._clear_up()
        target, last = self._folder(step), next(self._newest_first(), None)
        partial, replaced = target.with_name(f".{target.name}.partial"), _replaced(target)
        try:
            partial.mkdir(parents=True)
            write(partial, self.variables)
            (partial / "state.json").write_text(json.dumps(dict(state), indent=1))
            if target.exists():  # written when the run was interrupted before the evaluation of this step
                target.rename(replaced)
            partial.rename(target)
            shutil.rmtree(replaced, ignore_errors=True)
        except (OSError, tf.errors.OpError) as error:
            if replaced.exists() and not target.exists():
                replaced.rename(target)
            shutil.rmtree(partial, ignore_errors=True)
            good = "no checkpoint was written before" if last is None else f"the last good one is {last.name}"
            raise RunError(
                f"{self.directory}: the checkpoint of step {step} could not be written ({reason(error)}); {good}."
            ) from error
        kept = list(self._newest_first())[:KEPT]
        best = {_state(folder, "best_step") for folder in kept}
        for folder in self._newest_first():
            if folder not in kept and _step(folder) not in best:
                shutil.rmtree(folder)

    def restore(self, which: Which) -> dict[str, Any]:
        """Reads the variables from the last checkpoint or the best; returns its state.

        A damaged checkpoint is skipped with a warning, and the one before it is read.

        Raises:
            ConfigError: no checkpoint can be read, it does not fit the variables, or `which` is not "best" or "last".
        """
        if which not in ("best", "last"):
            raise ConfigError(f"checkpoint={which}: must be best or last.")
        folders = list(self._newest_first())
        if which == "best":
            steps = [_state(folder, "best_step") for folder in folders]
            folders = list(dict.fromkeys(self._folder(step) for step in steps if step is not None))
        for folder in folders:
            try:
                state = _read_state(folder)
                read(folder, self.variables)
            except (OSError, ValueError, LookupError, RuntimeError, MemoryError, tf.errors.OpError) as error:
                then = "" if folder == folders[-1] else "; the one before it is read"
                log.warning("The checkpoint %s is damaged (%s)%s.", folder, reason(error), then)
            else:
                return state
        raise ConfigError(f"{self.directory}: holds no {which} checkpoint that can be read.")

    def forget_after(self, step: int) -> None:
        """Removes the checkpoints of later steps."""
        self._clear_up()
        for folder in self._newest_first():
            if _step(folder) > step:
                shutil.rmtree(folder)

    def __bool__(self) -> bool:
        """Whether there is a checkpoint."""
        return any(self._newest_first())

    def _clear_up(self) -> None:
        """Removes what a killed process has left. A checkpoint that it was about to replace takes its place again."""
        for rest in self.directory.glob(".step_*.partial"):
            if not (found := PARTIAL.fullmatch(rest.name)):
                continue
            whole = rest.with_name(found[1])
            if found[2] and not whole.exists():
                rest.rename(whole)
            else:
                shutil.rmtree(rest)

    def _folder(self, step: int) -> Path:
        return self._present(f"step_{step:09d}")

    def _newest_first(self) -> Iterator[Path]:
        found = {folder.name for folder in self.directory.glob("step_*") if NAME.fullmatch(folder.name)}
        rests = (PARTIAL.fullmatch(rest.name) for rest in self.directory.glob(".step_*.partial"))
        return map(self._present, sorted(found | {rest[1] for rest in rests if rest and rest[2]}, reverse=True))

    def _present(self, name: str) -> Path:
        """The folder of a checkpoint. If a process was killed while it replaced the folder, it is the replaced one."""
        folder = self.directory / name
        replaced = _replaced(folder)
        return replaced if replaced.exists() and not folder.exists() else folder


def _replaced(folder: Path) -> Path:
    """The place of a checkpoint's folder while a new one replaces it."""
    return folder.with_name(f".{folder.name}.replaced.partial")


def write(folder: Path, variables: Variables) -> None:
    """Writes the variables below a folder."""
    tf.train.Checkpoint(**{name: [_value(v) for v in group] for name, group in variables.items()}).write(
        str(folder / "variables")
    )


def read(folder: Path, variables: Variables) -> None:
    """Assigns the values that `write` has saved; the folder may hold further lists.

    Raises:
        ConfigError: their number or their shapes differ.
        OSError, ValueError, LookupError, RuntimeError, tf.errors.OpError: the files are missing or damaged.
    """
    require_sound(folder / "variables")
    reader = tf.train.load_checkpoint(str(folder / "variables"))
    shapes = reader.get_variable_to_shape_map()
    for name, group in variables.items():
        keys = [f"{name}/{i}/.ATTRIBUTES/VARIABLE_VALUE" for i in range(len(group))]
        kept = [key for key in shapes if key.startswith(f"{name}/")]
        if len(kept) != len(keys):
            raise ConfigError(f"{folder}: holds {len(kept)} variables of {name}, not {len(keys)} as are needed here.")
        for key, variable in zip(keys, group, strict=True):
            if tuple(shapes[key]) != tuple(variable.shape):
                raise ConfigError(
                    f"{folder}: a variable of {name} ({getattr(variable, 'path', variable.name)}) has shape "
                    f"{tuple(shapes[key])} there, and {tuple(variable.shape)} here."
                )
    reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")  # at the end of the file: fails if the file is torn
    values = {
        (name, i): reader.get_tensor(f"{name}/{i}/.ATTRIBUTES/VARIABLE_VALUE")
        for name, group in variables.items()
        for i in range(len(group))
    }
    for (name, i), value in values.items():  # after all have been read, so that a damaged file changes nothing
        variables[name][i].assign(value)


def _value(variable: Any) -> Any:
    return variable.value if isinstance(variable, keras.Variable) else variable


def _step(folder: Path) -> int:
    return int(folder.name.strip(".").split(".")[0].removeprefix("step_"))


def _read_state(folder: Path) -> dict[str, Any]:
    """The state of a checkpoint.

    Raises:
        OSError, ValueError: the file is missing or damaged.
    """
    try:
        state = read_json(folder / "state.json", MEGABYTE)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    if type(state.get("step", 0)) is not int:
        raise ValueError(f"step={state['step']!r:.50} is no number of a step")
    return state


def _state(folder: Path, key: str) -> int | None:
    try:
        value = _read_state(folder).get(key)
    except (OSError, ValueError):
        return None
    return value if type(value) is int and 0 <= value < 10**12 else None
