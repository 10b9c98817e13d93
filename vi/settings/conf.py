"""The directory of the configs."""

from __future__ import annotations

from pathlib import Path


def conf_directory() -> Path:
    """The directory of the configs: `conf/` of the checkout, or of the installed package."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def choices_in(group: str) -> list[str]:
    """The names of the choices of a group, without `custom`."""
    return sorted(file.stem for file in (conf_directory() / group).glob("*.yaml") if file.stem != "custom")
