"""The directory of a run: who holds it, and files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vi.errors import ConfigError


@contextlib.contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Holds the directory for this process. The kernel lets go of it however the process ends.

    Raises:
        ConfigError: another process holds it.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if not _take(descriptor):
            time.sleep(0.1)  # for the moment in which `in_use` looks
            if not _take(descriptor):
                raise ConfigError(f"{directory}: another process is at work in it; wait until it has ended.")
        yield
    finally:
        os.close(descriptor)


def in_use(directory: Path) -> bool:
    """Whether a process holds the directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        return not _take(descriptor)
    finally:
        os.close(descriptor)


def write(file: Path, text: str) -> None:
    """Writes a text file in place of what it held, whole or not at all."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.write_text(text)
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def read_summary(directory: Path) -> dict[str, Any]:
    """What summary.json says; nothing where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    file = Path(directory) / "summary.json"
    try:
        summary = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {' '.join(str(error).split())}.") from None
    if not isinstance(summary, dict):
        raise ConfigError(f"{file}: is not the summary of a run.")
    return summary


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
