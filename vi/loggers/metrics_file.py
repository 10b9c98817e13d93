"""metrics.csv: a row for each evaluation."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from vi.files import write
from vi.loggers.base import Logger


class MetricsFile(Logger):
    """Appends each row to metrics.csv; what cannot be computed stays empty."""

    def __init__(self, path: Path):
        self.path = path

    def go_back(self, row: Mapping[str, float | None]) -> None:
        """Leaves what a run that goes on has logged up to its checkpoint, of which `row` is the last; none if empty.

        Rows of later steps and a torn row of a killed run go; the last one is written again if the kill kept it.
        """
        if not row:
            self.path.unlink(missing_ok=True)
            return
        text = self.path.read_text() if self.path.exists() else ""
        last, whole = int(row["step"] or 0), text[: text.rfind("\n") + 1]
        found = csv.reader(io.StringIO(whole))
        rows = [cells for cells in found if "".join(cells[:1]).isdigit() and int(cells[0]) < last]
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([list(row), *rows, list(row.values())])
        write(self.path, file.getvalue())

    def log(self, row: Mapping[str, float | None]) -> None:
        """Appends the row, and before the first the header."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
