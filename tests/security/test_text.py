"""Names, errors and pictures of a stranger's runs are shown as text, and nothing more."""

import csv
import json
import re
import shutil
import struct
import zlib
from pathlib import Path

import matplotlib
import pytest
import yaml

from vi.compare import compare
from vi.compare.output import write_comparison
from vi.text import cell, plain

pytestmark = pytest.mark.usefixtures("nothing_leaves")
KEPT = Path(__file__).parents[1] / "data" / "old_run"
TEXTS = {
    "colours": "\x1b[31mred\x1b[0m",
    "a title of the terminal": "\x1b]0;x\x07",
    "direction": "\u202eevil",
    "a formula": "=HYPERLINK(1)",
    "another formula": "+cmd|' /C calc'!A0",
    "a formula after a semicolon": "a;=HYPERLINK(1)",
    "a bare address": "see http://x.org or www.x.org",
    "HTML": "<script>alert(1)</script>",
    "the end of a script": "</script><img src=http://x onerror=alert(1)>",
    "a picture": "![x](http://x/y.png)",
    "bars": "a\\| b | c",
    "backticks": "a`<img src=x>`b",
    "lines": "a\n\n# b\n\n<img src=x>",
    "mathematics": r"$\frac{$ $x$",
    "markup": "[link=http://x]a[/link][/]",
}


def hostile(folder, text):
    """Two runs with other settings and this text wherever a run has text; the second has failed."""
    for i, status in enumerate(("finished", "failed")):
        run = Path(shutil.copytree(KEPT, folder / f"run{i}"))
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["name"], config["estimator"]["more"], config["trainer"]["more"] = text, f"{i}{text}", text * (i + 1)
        (run / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
        summary = json.loads((run / "summary.json").read_text())
        summary |= {"status": status, "error": text, "name": text, "overrides": [f"{text}={i}"]}
        (run / "summary.json").write_text(json.dumps(summary))
    return folder


def test_no_cell_of_a_table_is_a_formula():
    for text in ("=1", " =1", "+1", "-1", "@x", "＝1", "－1", "\t=1"):
        assert cell(text) == f"'{plain(text)}"
        assert cell(f"a;{text}") == f"a;'{plain(text)}"
    assert [cell(each) for each in ("a=b", "1-2", "a;b=2", "", -1.5)] == ["a=b", "1-2", "a;b=2", "", -1.5]


FAST = ("colours", "the end of a script", "mathematics")


@pytest.mark.parametrize("case", [c if c in FAST else pytest.param(c, marks=pytest.mark.slow) for c in TEXTS])
def test_text_of_a_run_is_text_everywhere(case, tmp_path, command):
    text = TEXTS[case]
    folder = hostile(tmp_path, text)
    code, out, err = command("compare", str(folder))
    assert (code, err) == (0, "")
    shown = {name: (folder / f"comparison.{name}").read_text() for name in ("csv", "md", "html")}
    for each in (out, shown["csv"], shown["md"]):
        assert all(c.isprintable() or c == "\n" for c in each)
    for row in csv.reader(shown["csv"].splitlines()):
        for each in (part for text in row for part in text.split(";")):
            assert each.lstrip()[:1] not in ("=", "+", "@")
    others = re.sub(r"`+[^`]*`+", "", shown["md"])  # nothing in code is a link
    assert not re.search(r"(?<!\\):\//|www\.", others)
    for each in ("<img src=x", "<img src=http", "<script>alert"):
        assert each not in shown["html"]
    tables = [line for line in shown["md"].splitlines() if line.startswith("|")]
    assert len(tables) == 7  # two settings, one run without numbers, and heads: no text makes a row


def test_the_style_of_the_current_directory_is_not_used(tmp_path):
    with matplotlib.rc_context({"text.usetex": True, "font.size": 40}):  # as a matplotlibrc there may say
        write_comparison(compare([KEPT]), tmp_path / "other")
    write_comparison(compare([KEPT]), tmp_path)
    pictures = [(folder / "comparison.png").read_bytes() for folder in (tmp_path, tmp_path / "other")]
    assert pictures[0] == pictures[1]


def png(width, height):
    """A small file that claims a picture of this size."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"x")) + chunk(b"IEND", b"")


PICTURES = {
    "pixels": (png(2**16, 2**16), "cannot be read"),
    "many pixels": (png(9000, 9000), "it has more than 50,000,000 pixels"),
    "no picture": (b"x", "cannot be read"),
    "an empty file": (b"", "cannot be read"),
    "a torn picture": (png(64, 64)[:50], "cannot be read"),
    "another format": (b"GIF89a" + b"\x01\x00\x01\x00\x00\x00\x00;", "cannot be read"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be read"),
}


@pytest.mark.parametrize("case", PICTURES)
def test_a_damaged_picture_is_named_on_the_page(case, tmp_path):
    content, sentence = PICTURES[case]
    run = Path(shutil.copytree(KEPT, tmp_path / "run"))
    (run / "figures").mkdir(exist_ok=True)
    (run / "figures" / "a_b.png").write_bytes(content)
    write_comparison(compare([run]), tmp_path / "out")
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "a b: cannot be read" in page
    assert sentence in page
