"""Text from files that may come from somebody else, made harmless for where it is shown."""

from __future__ import annotations

import html as entities
import re


def plain(text: object) -> str:
    """The text on one line, for a terminal or a page: each character that is not printable becomes �.

    Such characters move the cursor of a terminal, change its colours or turn the direction of writing. White space of
    every kind becomes a space.
    """
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def markdown(text: object) -> str:
    """The text in Markdown, without links, pictures, code or HTML. GitHub makes links of bare addresses, too."""
    return re.sub(r"([\\`<\[\]]|:(?=//)|(?<=www)\.)", r"\\\1", plain(text), flags=re.IGNORECASE)


def html(text: object) -> str:
    """The text in HTML, as the content of an element or of a quoted attribute."""
    return entities.escape(plain(text))


def code(text: object) -> str:
    """The text as code in Markdown."""
    shown = plain(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def cell(value: object) -> object:
    """A cell of a CSV file: a text that a spreadsheet would take for a formula begins with an apostrophe.

    Where the comma is the decimal mark, a semicolon begins another cell.
    """
    if not isinstance(value, str):
        return value
    return re.sub(r"(^|;)(?=\s*[=+\-@＝＋－＠])", r"\1'", plain(value))
