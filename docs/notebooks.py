"""Runs the tutorials and writes each one as Markdown with its pictures: `make tutorials`."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient

TUTORIALS = Path(__file__).parent / "tutorials"
SLOWEST = 300
"""The seconds after which a cell is given up."""


def run(source: Path, folder: Path) -> Any:
    """The notebook with its outputs, run in a folder; raises the error of a cell that fails."""
    notebook = jupytext.read(source, fmt="py:percent")
    place = {"metadata": {"path": str(folder)}}
    return NotebookClient(notebook, timeout=SLOWEST, kernel_name="python3", resources=place).execute()


def shown(notebook: Any) -> list[Any]:
    """The cells of a page: all but those with the tag `check`, which assert what the text says."""
    return [cell for cell in notebook.cells if "check" not in cell.metadata.get("tags", [])]


def mark(notebook: Any) -> str:
    """The last line of a page. It changes with the cells that the page shows."""
    digest = hashlib.sha256("\n\n".join(cell.source for cell in shown(notebook)).encode()).hexdigest()
    return f"<!-- Made by `make tutorials` from cells with the SHA-256 {digest[:16]}. -->\n"


def write(source: Path, notebook: Any) -> None:
    """Writes NAME.md, and the pictures of its outputs into the folder NAME."""
    folder = source.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    parts = []
    for cell in shown(notebook):
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
        parts += [_output(output, folder) for output in cell.get("outputs", [])]
    source.with_suffix(".md").write_text("\n\n".join([*filter(None, parts), mark(notebook)]))


def _output(output: Any, folder: Path) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f"![What the cell draws]({_save(data['image/png'], 'png', folder)})"
    html = data.get("text/html", "<pre")
    if not html.startswith("<pre"):  # a text by rich
        html = re.sub(r'<style.*?</style>|\n *| border="1"| class="dataframe"', "", html, flags=re.DOTALL)
        return re.sub(r"data:image/(\w+);base64,([\w+/=]+)", lambda found: _save(found[2], found[1], folder), html)
    text = output.get("text") or data.get("text/plain", "")
    text = re.sub(r"\x1b\[[\d;]*m", "", text)  # colours
    return (
        "```text\n" + "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n```" if text.strip() else ""
    )


def _save(picture: str, kind: str, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    file = folder / f"{len(list(folder.iterdir())) + 1}.{kind}"
    file.write_bytes(base64.b64decode(picture))
    return f"{folder.name}/{file.name}"


def main(names: list[str]) -> None:
    """Runs and writes the tutorials of these names, or all."""
    for source in [TUTORIALS / f"{name}.py" for name in names] or sorted(TUTORIALS.glob("*.py")):
        with tempfile.TemporaryDirectory() as folder:
            write(source, run(source, Path(folder)))


if __name__ == "__main__":
    main(sys.argv[1:])
