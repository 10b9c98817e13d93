"""metrics.csv: a row for each evaluation."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from vi.errors import ConfigError
from vi.files import MEGABYTE, damage, read_text, write
from vi.loggers.base import Logger

LARGEST = 64 * MEGABYTE


class MetricsFile(Logger):
    """Appends each row to metrics.csv. The cell of a number that cannot be computed is empty."""

    def __init__(self, path: Path):
        self.path = path

    def truncate(self, row: Mapping[str, float | None]) -> None:
        """Truncates the file to the checkpoint of a resumed run; `row` is the checkpoint's row.

        Drops later and torn rows and writes the checkpoint's row again. An empty `row` drops the whole file.

        Raises:
            ConfigError: the file is damaged.
        """
        if not row:
            self.path.unlink(missing_ok=True)
            return
        try:
            text = read_text(self.path, LARGEST)
        except FileNotFoundError:
            text = ""
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.path}: is damaged: {damage(error)}.") from None
        last, whole = int(row["step"] or 0), text[: text.rfind("\n") + 1]
        found = csv.reader(io.StringIO(whole))
        rows = [cells for cells in found if "".join(cells[:1]).isdigit() and int(cells[0]) < last]
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([list(row), *rows, list(row.values())])
        write(self.path, file.getvalue())

    def log(self, row: Mapping[str, float | None]) -> None:
        """Appends the row. The first row writes the header, too."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
