"""Paths as people type them, and files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path


def short(path: Path) -> Path:
    """The path as a person would type it: relative to the current directory if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def write(file: Path, text: str) -> None:
    """Writes a text file in place of what it held, whole or not at all."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.write_text(text)
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
