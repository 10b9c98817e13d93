"""Files that may come from somebody else: read within limits, written without following links, inside their folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vi.errors import ConfigError, reason

MEGABYTE = 2**20
MOST_ENTRIES = 100_000
"""The number of files and folders of a run beyond which it is not looked through."""


def short(path: Path) -> Path:
    """The path as a user would type it: relative to the current directory if the path lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def as_override(key: str, path: Path) -> str:
    """`KEY=PATH` as a user must type it: quoted for Hydra and for the shell where that is needed."""
    plain = re.fullmatch(r"[\w/.:+@%-]+( +[\w/.:+@%-]+)*", str(path))
    return shlex.quote(f"{key}={path}" if plain else f'{key}="{path}"')


def write(file: Path, text: str) -> None:
    """Replaces the text of a file atomically: if it fails, the old text stays. A link is replaced, not followed."""
    with replacing(file) as partial:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
            opened.write(text)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path that nobody can foresee, in the same folder; at the end of the block it takes the place of `path`."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read_bytes(file: Path, most: int = 16 * MEGABYTE) -> bytes:
    """The content of a regular file, without following a link.

    Raises:
        OSError: the file is missing, is no regular file, or has more than `most` bytes.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe would block
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{file.name} is not a regular file")
        content = opened.read(most + 1)
    if len(content) > most:
        raise OSError(f"{file.name} has more than {most:,} bytes")
    return content


def read_text(file: Path, most: int = 16 * MEGABYTE) -> str:
    """The text of a regular file, as `read_bytes`.

    Raises:
        OSError: as `read_bytes`. UnicodeDecodeError, a ValueError: the file holds no text.
    """
    return read_bytes(file, most).decode("utf-8")


def read_json(file: Path, most: int = 16 * MEGABYTE) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        FileNotFoundError: there is no such file.
        ConfigError: the file is damaged.
    """
    try:
        content = json.loads(read_text(file, most))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: is damaged: {damage(error)}.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: is damaged: it must hold a JSON object.")
    return content


def damage(error: BaseException) -> str:
    """What is wrong with the content of a file, on one line."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OverflowError) or (isinstance(error, MemoryError) and not str(error)):
        return "its numbers are too large"
    return reason(error)[:300]


def require_memory(size: int) -> None:
    """Raises MemoryError if so many bytes are more than the free memory of the machine.

    A small file may hold the zeros of a huge array.
    """
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, AttributeError):  # only Linux says what is free
        free = 1024 * int(re.search(r"MemAvailable: *(\d+)", Path("/proc/meminfo").read_text())[1])  # type: ignore[index]
    if size > free:
        raise MemoryError(f"it takes {size / 2**30:,.1f} GB of memory, and {free / 2**30:,.1f} GB are free")


def require_real(directory: Path) -> None:
    """Checks that everything in the directory of a run is a real file or folder inside it.

    Links could make vi write or read elsewhere, and pipes could make it wait forever. Weights & Biases makes links in
    `wandb`: they lead from there to there, or are names of its logs, which are written in a cache of the user.

    Raises:
        ConfigError: there is a link, a pipe or a device, or the directory cannot be read.
    """
    seen = 0
    try:
        for folder, folders, files in os.walk(directory, onerror=_raise):
            for name in (*folders, *files):
                require_part(Path(folder, name), Path(directory, "wandb"))
            if (seen := seen + len(files) + len(folders)) > MOST_ENTRIES:
                raise ConfigError(f"{directory}: holds more than {MOST_ENTRIES:,} files, so it is not opened as a run.")
    except OSError as error:
        raise ConfigError(f"{error.filename or directory}: cannot be read ({reason(error)}).") from None


def require_part(path: Path, own: Path | None = None) -> None:
    """Checks one part of a run. The folder `own` may have links of its own.

    Raises:
        ConfigError: it is neither a file nor a folder, or a link, or a file with a second name elsewhere.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        if own is None or own not in path.parents or not _is_own_link(path, own):
            raise ConfigError(f"{path}: is a link, but everything in the directory of a run must be real.")
    elif not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise ConfigError(f"{path}: is neither a file nor a folder, so it cannot be a part of a run.")
    elif stat.S_ISREG(status.st_mode) and status.st_nlink > 1 and (own is None or own not in path.parents):
        raise ConfigError(
            f"{path}: is a hard link, a file with another name elsewhere, which a run would change; cp -r makes a copy "
            "of the directory."
        )


def _is_own_link(path: Path, own: Path) -> bool:
    """Whether a link in the folder `own` leads to a part of it, or has the name of a log. Nothing reads the logs."""
    leads = Path(os.path.realpath(path))
    return not own.is_symlink() and (
        leads.is_relative_to(own.resolve()) or (path.suffix == ".log" and not leads.is_dir())
    )


def _raise(error: OSError) -> None:
    raise error
