"""What a run tells its loggers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Logger:
    """What a run tells its loggers; a subclass replaces what it wants to hear."""

    def progress(self, progress: Any) -> None:
        """A compiled call has ended; `progress` is `vi.loop.Progress`."""

    def log(self, row: Mapping[str, float | None]) -> None:
        """An evaluation has ended; `row` is a row of metrics.csv."""

    def picture(self, name: str, path: Path) -> None:
        """A picture was made."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """The run has ended, well or badly; `summary` is what summary.json says."""
