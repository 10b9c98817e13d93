"""metrics.csv and the terminal."""

import io
import shlex
from pathlib import Path

import pandas as pd
import pytest
import rich.console

from vi.files import as_override
from vi.loggers.diagnosis import diagnosis_table
from vi.loggers.metrics_file import MetricsFile
from vi.loggers.tables import next_command_of_sweep, next_commands
from vi.loggers.terminal import TerminalLogger
from vi.settings.overrides import arguments
from vi.training.fit import Progress

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
    console = TerminalLogger(rich.console.Console(file=text, force_terminal=terminal, width=120))
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


def test_a_terminal_says_that_the_first_step_is_compiled():
    text = io.StringIO()
    console = TerminalLogger(rich.console.Console(file=text, force_terminal=True, width=120))
    console.progress(Progress(total=10))
    console.bar.refresh()
    console.finish({})
    assert "epoch 0.0" in text.getvalue()
    assert "bound –" in text.getvalue()
    assert "compiling" in text.getvalue()


def printed(function, *arguments, width=80):
    console = rich.console.Console(file=io.StringIO(), width=width)
    function(console, *arguments)
    return console.file.getvalue().splitlines()


def test_what_to_type_after_a_run_is_of_that_run():
    overrides = ["experiment=mnist_mlp", "seed=7", "hydra.run.dir=a b", "+trainer.beta.decay_steps=9", "x=[1, 2]"]
    lines = printed(next_commands, Path("runs/3"), {"epoch": 50.0, "overrides": overrides, "test_data": True})
    commands = [shlex.split(line, comments=True)[1:] for line in lines[1:]]
    assert commands == [
        ["run=runs/3", "samples=500"],
        ["resume=runs/3", "trainer.epochs=100"],
        ["-m", "experiment=mnist_mlp", "+trainer.beta.decay_steps=9", "x=[1, 2]", "seed=1,2,3"],
    ]


def test_what_to_type_after_a_sweep_compares_its_runs():
    lines = printed(next_command_of_sweep, Path("my sweep"))
    assert lines[:2] == ["Sweep: my sweep", "Next:"]
    assert shlex.split(lines[2], comments=True)[1:] == ["my sweep"]


def test_a_schedule_is_stretched_by_a_longer_run_from_the_beginning():
    summary = {"epoch": 50.0, "overrides": ["schedule=cosine"], "test_data": True, "choices": {"schedule": "cosine"}}
    lines = printed(next_commands, Path("runs/3"), summary, width=200)
    assert shlex.split(lines[2], comments=True)[1:] == ["schedule=cosine", "trainer.epochs=100"]


@pytest.mark.parametrize(
    ("epoch", "epochs"), [(0.2, 1), (1.0, 2), (5.004, 10), (51.7, 100), (53.4, 110), (517.3, 1000), (1234.5, 2500)]
)
def test_what_to_type_without_a_test_set_in_a_folder_with_spaces(epoch, epochs):
    summary = {"epoch": epoch, "overrides": [], "test_data": False}
    lines = printed(next_commands, Path("my runs/3, again"), summary, width=200)
    commands = [shlex.split(line, comments=True)[1:] for line in lines[1:]]
    assert commands[0] == ['run="my runs/3, again"', "split=validation", "samples=500"]
    assert commands[1] == ['resume="my runs/3, again"', f"trainer.epochs={epochs}"]
    assert arguments(commands[0])["run"] == "my runs/3, again"
    assert next(iter(arguments([as_override("run", Path("a/b-1"))]).values())) == "a/b-1"


def test_the_table_of_gradients_fits_into_80_columns():
    row = {"checkpoint": "best", "step": 3594, "batch_size": 20, "split": "train", "repeats": 1000}
    number = {"norm": 0.0123, "variance": 577.1, "variance_error": 21.3, "snr": 0.0974, "snr_error": 0.0021}
    bias = {"bias_squared": 1e-6, "bias_squared_error": 1e-3, "seconds": 0.0291, "memory": 21.5}
    rows = [
        {"estimator": "analytic_kl", "samples": s, "group": group, **row, **number, **bias}
        for group in ("generative", "inference")
        for s in (1, 5, 25, 100)
    ]
    slopes = [
        {"estimator": "analytic_kl", "group": group, "quantity": quantity, "slope": -0.5, "slope_error": 0.1}
        for group in ("generative", "inference")
        for quantity in ("snr", "variance")
    ]
    *lines, _ = printed(diagnosis_table, pd.DataFrame(rows), pd.DataFrame(slopes), Path("run"))
    assert sum("577 ± 21   0.0974 ± 0.002       < 364 %" in line for line in lines) == 8
    assert sum("29, 22" in line for line in lines) == 1
    assert sum("-0.50 ± 0.10   -0.50 ± 0.10" in line for line in lines) == 2
