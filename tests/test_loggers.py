"""metrics.csv and the terminal."""

import io

import pandas as pd
import pytest
import rich.console

from vi.loggers import Console, MetricsFile
from vi.loop import Progress

ROW = {
    "step": 5,
    "epoch": 1.0,
    "seconds": 2.0,
    "train/bound": -3.0,
    "validation/elbo": -4.0,
    "validation/iw_bound": None,
}


def test_rows_are_appended_under_one_header_and_what_is_missing_is_empty(tmp_path):
    for step in (5, 10):
        MetricsFile(tmp_path / "metrics.csv").log({**ROW, "step": step})
    frame = pd.read_csv(tmp_path / "metrics.csv")
    assert list(frame) == list(ROW)
    assert frame["step"].tolist() == [5, 10]
    assert frame["validation/iw_bound"].isna().all()


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_a_bar_in_a_terminal_and_plain_lines_elsewhere(terminal):
    text = io.StringIO()
    console = Console(rich.console.Console(file=text, force_terminal=terminal, width=120))
    progress = Progress(step=5, total=10, epoch=0.5, bound=-3.14, training_seconds=2.0, training_examples=5000)
    console.progress(progress)
    console.log(ROW)
    if terminal:
        console.bar.refresh()
    console.finish({})
    shown = text.getvalue()
    if terminal:
        for part in ("epoch 0.5", "bound -3.14", "2,500 examples/s"):
            assert part in shown
    else:
        assert shown == "epoch 1.0  train/bound -3.00  validation/elbo -4.00  2 s\n"
