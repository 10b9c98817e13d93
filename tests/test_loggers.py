"""metrics.csv, the terminal, and Weights & Biases with the real library, offline."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import rich.console

from vi.loggers import Console, MetricsFile, WandbLogger
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


def test_the_files_of_wandb_say_what_was_logged(tmp_path):
    logger = WandbLogger(tmp_path, {"seed": 7, "model": {"latent_dim": 2}}, "name", project="vi")
    for step in (5, 10):
        logger.log({**ROW, "step": step})
    (tmp_path / "a.png").write_bytes(_png())
    logger.picture("a", tmp_path / "a.png")
    logger.finish({"status": "finished", "final": {"validation/elbo": -4.0}})
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(file)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    rows = [record["history"]["item"] for record in records if record["type"] == "history"]
    logged = [row for row in rows if "train/bound" in row]
    assert [(row["step"], row["train/bound"]) for row in logged] == [(5, -3.0), (10, -3.0)]
    assert all("validation/iw_bound" not in row for row in logged)
    assert any("figures/a.path" in row for row in rows)
    (run,) = (record["run"] for record in records if record["type"] == "run")
    assert run["config"]["update"]["seed"] == 7
    assert run["config"]["update"]["model"] == {"latent_dim": 2}
    summary = {}
    for record in records:
        summary |= record.get("summary", {}).get("update", {})
    assert summary["status"] == "finished"
    assert [record["exit"]["exit_code"] for record in records if record["type"] == "exit"] == [0]


def test_a_failure_of_wandb_is_one_warning_and_stops_nothing(tmp_path, monkeypatch, caplog):
    import wandb

    def fail(**_):
        raise ConnectionError("no service")

    monkeypatch.setattr(wandb, "init", fail)
    logger = WandbLogger(tmp_path, {}, "name")
    logger.log(ROW)
    logger.picture("a", tmp_path / "a.png")
    logger.finish({"status": "finished"})
    assert caplog.text.count("Weights & Biases failed and is left out from here: no service") == 1


def _png():
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    Figure(figsize=(1, 1)).savefig(buffer)
    return buffer.getvalue()
