"""The directory of a run: its unique name, the lock of a process on it, and the summary."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vi.errors import ConfigError
from vi.files import read_json, write

Summary = dict[str, Any]
KINDS: dict[str, type] = {
    **dict.fromkeys(["status", "name", "error", "command", "started", "data_hash", "wandb_id"], str),
    **dict.fromkeys(["overrides", "resumed"], list),
    **dict.fromkeys(["versions", "choices", "parameters", "best", "final"], dict),
}
"""The types of entries of summary.json."""


def claim(directory: Path) -> Path:
    """Makes a new directory of this name, or with the first free suffix _2, _3, …; returns its path.

    Making a directory is atomic, so several processes that want the same name get different directories.

    Raises:
        OSError: no directory can be made there.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    number, candidate = 1, directory
    while True:
        try:
            candidate.mkdir()
        except FileExistsError:
            number += 1
            candidate = directory.with_name(f"{directory.name}_{number}")
        else:
            return candidate


@contextlib.contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Holds the directory for this process. The kernel releases it however the process ends.

    Raises:
        ConfigError: another process holds it.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if not _take(descriptor):
            time.sleep(0.1)  # `in_use` holds the lock for a moment
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


def read_summary(directory: Path) -> Summary:
    """The content of summary.json; empty if there is no such file.

    Raises:
        ConfigError: the file is damaged, or an entry has another type than `vi.runs.summary.about` gives it.
    """
    try:
        summary = read_json(Path(directory) / "summary.json")
    except FileNotFoundError:
        return {}
    for name, kind in KINDS.items():
        value = summary.get(name)
        if not (value is None or isinstance(value, kind)):
            raise ConfigError(f"summary.json: {name}={value!r:.100}: is damaged; it must be a {kind.__name__}.")
    if not all(isinstance(each, str) for each in summary.get("overrides") or ()):
        raise ConfigError("summary.json: overrides: is damaged; it must be a list of texts.")
    if not re.fullmatch(r"[\w-]{1,64}", summary.get("wandb_id") or "none"):
        raise ConfigError(f"summary.json: wandb_id={summary['wandb_id']!r:.100}: is damaged; it is no name.")
    return {name: value for name, value in summary.items() if name not in KINDS or value is not None}


def write_summary(summary: Summary, directory: Path) -> None:
    """Writes summary.json atomically."""
    write(directory / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")


def newest_jobs(sweep: Path) -> list[Path]:
    """The folder of each job of a sweep, in the order of the job numbers. For a retried job it is the last retry."""
    newest: dict[int, tuple[int, Path]] = {}
    for folder in sweep.iterdir():
        if folder.is_dir() and (found := re.fullmatch(r"(\d+)(?:_retry_(\d+))?", folder.name)):
            number, again = int(found[1]), int(found[2] or 0)
            newest[number] = max(newest.get(number, (-1, folder)), (again, folder))
    return [newest[number][1] for number in sorted(newest)]


def mark_failed(directory: Path, error: str, overrides: list[str]) -> None:
    """Writes a summary.json for a job that has failed before it became a run."""
    if directory.is_dir() and not (directory / "summary.json").exists():
        write_summary({"status": "failed", "error": error, "overrides": overrides}, directory)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        return True
    return True
