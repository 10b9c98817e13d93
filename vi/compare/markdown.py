"""Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int | None = None) -> str:
    """A Markdown table. The columns after the first `texts` are aligned to the right; by default no column is.

    Vertical bars inside cells are escaped.
    """
    rule = ["---" if texts is None or i < texts else "--:" for i in range(len(head))]
    return "".join("| " + " | ".join(map(_escape, line)) + " |\n" for line in [head, rule, *rows])


def _escape(cell: str) -> str:
    return re.sub(r"\\*\|", r"\\|", cell)  # a backslash before a bar would undo the escape
