"""Writes a comparison as a table, a picture and a page."""

from __future__ import annotations

from pathlib import Path

from vi import pictures
from vi.compare.comparison import Comparison
from vi.compare.page import page
from vi.compare.tables import markdown
from vi.files import replacing, write
from vi.text import cell


def write_comparison(comparison: Comparison, output: str | Path) -> list[Path]:
    """Writes comparison.csv, .md, .png and .html into a directory; returns the paths. Each file is written atomically.

    The directory is made if it does not exist.
    """
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"comparison.{kind}" for kind in ("csv", "md", "png", "html")]
    csv_file, markdown_file, picture, html_file = files
    rows = comparison.settings.assign(note=" ".join(comparison.notes)).reset_index()
    write(csv_file, rows.astype({"setting": str}).map(cell).to_csv(index=False))
    write(markdown_file, markdown(comparison))
    with replacing(picture) as partial:
        pictures.comparison(partial, comparison.curves, comparison.main_metrics, comparison.notes)
    write(html_file, page(comparison))
    return files
