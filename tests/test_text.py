"""Text of a stranger does nothing where it is shown."""

import pytest

from vi.text import cell, code, html, markdown, plain

QUEER = (
    "\x1b[2J",
    "\x1b]8;;http://x\x07",
    "\u202eevil",
    "a\x00b",
    "\x9b31m",
    "\u2028",
    "\ud800",
    "\r\n",
    "\u2066x",
    "\ufeff",
)


@pytest.mark.parametrize("text", QUEER, ids=ascii)
def test_plain_text_is_printable_and_on_one_line(text):
    assert plain(f"a{text}b").isprintable()
    assert len(plain(text)) == len(text)


def test_ordinary_text_stays_as_it_is():
    for text in ("samples=5, β=0.5", "/a/b c", "日本語", "é — “x”"):
        assert plain(text) == text
        assert cell(text) == text
        assert markdown(text) == text


@pytest.mark.parametrize("text", ["=1+1", "+cmd|x", "-2", "@SUM(A1)", "\t=1", " =1", "\r=1"], ids=ascii)
def test_no_text_in_a_cell_is_a_formula(text):
    assert str(cell(text)).startswith("'")
    assert cell(-2.5) == -2.5


def test_markdown_has_no_links_pictures_or_html_of_the_text():
    assert markdown("![x](http://y) <img> `a` \\[") == "!\\[x\\](http\\://y) \\<img> \\`a\\` \\\\\\["
    assert code("a") == "`a`"
    assert code("a`b``c") == "```a`b``c```"
    assert code("`") == "`` ` ``"


def test_html_of_a_text_has_no_elements_and_ends_no_attribute():
    assert html('<b title="x">&\x1b\'') == "&lt;b title=&quot;x&quot;&gt;&amp;\N{REPLACEMENT CHARACTER}&#x27;"
