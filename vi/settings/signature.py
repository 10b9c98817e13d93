"""The signature of a config that this user has written on this machine.

It is a keyed digest (HMAC-SHA256) of the text, on the last line of config.yaml. The key is in the user's state
directory, so nobody else can make a signature that is valid here.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from vi.errors import reason

log = logging.getLogger(__name__)

LINE = "# signature of the user who made this run: "


def signed(text: str, places: Sequence[str] = ()) -> str:
    """The text with its signature; the text alone if the key can neither be read nor made.

    Args:
        text: a config.
        places: the files of the modules that the config names. They are signed, too, so that a module of the same name
            elsewhere is not trusted.
    """
    try:
        return f"{text}{LINE}{_digest(text, places, _key())}\n"
    except OSError as error:
        log.info("The config is not signed, because %s cannot be used (%s).", _file(), reason(error))
        return text


def is_signed(text: str, places: Sequence[str] = ()) -> bool:
    """Whether the last line of a text is the valid signature of the text and of these places."""
    body, line, digest = text.rpartition(LINE)
    if not line or not _file().is_file():
        return False
    try:
        return hmac.compare_digest(_digest(body, places, _key()), digest.strip())
    except (OSError, TypeError):  # TypeError: the digest has other letters than ASCII
        return False


def _digest(text: str, places: Sequence[str], key: bytes) -> str:
    return hmac.new(key, "\0".join([text, *places]).encode(), hashlib.sha256).hexdigest()


def _file() -> Path:
    """The file of the key, in the state directory of the XDG base directories."""
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path("~/.local/state").expanduser()) / "vi" / "key"


def _key() -> bytes:
    """The key. It is made when it is first needed, and only the user can read it."""
    file = _file()
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = file.with_name(f".key.{secrets.token_hex(8)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(secrets.token_bytes(32))
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(partial, file)
        partial.unlink()
    key = file.read_bytes()
    if len(key) < 32:
        raise OSError(f"{file} holds no key")
    return key
