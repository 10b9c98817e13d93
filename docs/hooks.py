"""Puts files that lie beside docs/ into the site: results with their figures, CONTRIBUTING.md and CHANGELOG.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
BENCHMARK = ("experiments/benchmark/results.md", "experiments/benchmark/NOTES.md")
PAGES = ("experiments/README.md", *BENCHMARK, "CONTRIBUTING.md", "CHANGELOG.md")
FIGURES = ("experiments/figures", "experiments/benchmark")


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages and the figures to the files of the site, each at its path in the repository."""
    figures = [path.relative_to(ROOT).as_posix() for folder in FIGURES for path in (ROOT / folder).glob("*.png")]
    for name in (*PAGES, *figures):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as the site needs them: the site has the pages of docs/ at its top, beside experiments/."""
    if page.file.src_uri in PAGES:
        return re.sub(r"\]\(((?:\.\./)?)docs/", r"](\1", markdown)
    return markdown.replace("](../experiments/", "](experiments/").replace("](../CONTRIBUTING.md", "](CONTRIBUTING.md")
