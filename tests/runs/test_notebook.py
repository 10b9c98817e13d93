"""What a notebook shows of a run: one line while it trains, then its numbers and its pictures."""

import base64
import functools
import io
import re
from pathlib import Path

import IPython.display
import numpy as np
import PIL.Image
import pytest
import rich.console

import vi
from tests.support.runs import TINY
from vi.loggers.notebook import NotebookLogger
from vi.runs import job
from vi.training.fit import Progress

EVIL = "<script>alert(1)</script>\x1b[2J"
SUMMARY = {
    "name": EVIL,
    "estimator": "IWAE",
    "samples": 5,
    "best": {"step": 7, "validation/elbo": -3.25, EVIL: 1.0},
    "pseudo": False,
    "knn_accuracy": None,
    "active_units": 2,
    "collapse": f"All latents have collapsed. {EVIL}",
    "parameters": {"generative": 10, "inference": 20},
    "examples_per_second": 1234.5,
    "seconds": 2.0,
}


class Line:
    """A display that IPython replaces."""

    def __init__(self, first, **_):
        self.texts = [first["text/plain"]]

    def update(self, data, raw):
        assert raw
        self.texts.append(data["text/plain"])


@pytest.fixture
def lines(monkeypatch):
    """All that is displayed."""
    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda *a, **b: shown.append(Line(*a, **b)) or shown[-1])
    return shown


@pytest.fixture
def run(tmp_path):
    """A finished run with a picture."""
    folder = tmp_path / "run" / "figures"
    folder.mkdir(parents=True)
    PIL.Image.fromarray(np.full([1000, 2000], 7, np.uint8)).save(folder / "a_b.png")
    return vi.Run(tmp_path / "run", {}, SUMMARY)


def test_a_run_is_its_numbers_and_escaped_text(run):
    html = run._repr_html_()
    for part in ("-3.25", "<td>parameters</td><td align=right>30</td>", "1,234", "best at step 7", "collapsed"):
        assert part in html
    assert "<script" not in html
    assert "\x1b" not in html
    assert html.count("&lt;script&gt;") == 3


def test_the_pictures_of_a_run_are_small_and_inside_its_html(run):
    ((size, data),) = re.findall(r'<img (.*) alt="a b" src="data:image/webp;base64,(.*?)"', run._repr_html_())
    assert size == "width=700 height=350"
    assert len(data) < 100_000
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.size == (1400, 700)
    assert picture.getpixel((5, 5)) == (7, 7, 7)
    assert len(re.findall(r"src=|href=|url\(", run._repr_html_())) == 1


@pytest.mark.parametrize("link", ["a picture", "the folder"])
def test_html_of_a_run_shows_nothing_from_outside_of_its_directory(run, tmp_path, link):
    figures = run.directory / "figures"
    if link == "a picture":
        figures.joinpath("a_b.png").rename(tmp_path / "a_b.png")
        figures.joinpath("a_b.png").symlink_to(tmp_path / "a_b.png")
    else:
        figures.rename(tmp_path / "elsewhere")
        figures.symlink_to(tmp_path / "elsewhere")
    html = run._repr_html_()
    assert "is a link" in html
    assert "<img" not in html
    assert "-3.25" in html


def test_a_run_without_pictures_is_shown_and_its_repr_is_text(run):
    run.directory.joinpath("figures", "a_b.png").unlink()
    assert "<img" not in run._repr_html_()
    assert repr(run) == f"Run(directory={run.directory!r})"


def test_the_line_of_a_notebook_is_replaced_and_keeps_the_last_validation(lines):
    logger = NotebookLogger()
    logger.progress(Progress(total=20))
    logger.progress(Progress(step=5, total=20, epoch=2.5, bound=-3.14))
    logger.log({"validation/elbo": -4.0, "validation/iw_bound": None})
    logger.progress(Progress(step=10, total=20, epoch=5.0, bound=-3.0))
    logger.finish({"status": "interrupted", "epoch": 5.0, "seconds": 9.7})
    (line,) = lines
    assert line.texts == [
        "compiling",
        "epoch 2 of 10  train/bound -3.14",
        "epoch 5 of 10  train/bound -3.00  validation/elbo -4.00",
        "interrupted at epoch 5 after 10 s  validation/elbo -4.00",
    ]


@pytest.mark.usefixtures("without_pictures")
def test_training_in_a_notebook_shows_one_line_and_prints_nothing(lines, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "Terminal", functools.partial(rich.console.Console, force_jupyter=True))
    vi.train([*TINY, "encoder.hidden=[4]", "decoder.hidden=[4]"], directory=Path(tmp_path, "run"))
    (line,) = lines
    assert line.texts[-1].startswith("finished at epoch 1 after ")
    assert capsys.readouterr().out == ""
