"""Paths as users type them, and atomic writing of files."""

from __future__ import annotations

from pathlib import Path


def short(path: Path) -> Path:
    """The path as a user would type it: relative to the current directory if the path lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def write(file: Path, text: str) -> None:
    """Replaces the text of a file atomically: if it fails, the old text stays."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.write_text(text)
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
