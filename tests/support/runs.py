"""Runs of a few seconds, and what they leave."""

import contextlib
import json

import numpy as np
import pandas as pd
import tensorflow as tf

from vi.training import batches

TINY = [
    *("logger=none", "trainer.epochs=1", "trainer.evaluate_every=1", "trainer.jit=false"),
    *("trainer.validation_samples=2", "trainer.validation_size=10", "model.latent_dim=2"),
]


@contextlib.contextmanager
def eagerly():
    """Functions are called op by op instead of traced: a few steps then take a tenth of the time."""
    steps, batches.WINDOW_STEPS = batches.WINDOW_STEPS, 10  # op by op, the order of an epoch takes 10 ms
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
        batches.WINDOW_STEPS = steps


def leave_no_pictures(monkeypatch):
    """Runs and their evaluations draw nothing from now on."""
    for name in ("job.draw_pictures", "job.draw_diagrams", "outputs.draw_pictures"):
        monkeypatch.setattr(f"vi.runs.{name}", lambda *_: ())


def variables(run_dir):
    """All variables of all checkpoints of a run, by checkpoint and name."""
    found = {}
    for folder in sorted((run_dir / "checkpoints").iterdir()):
        reader = tf.train.load_checkpoint(str(folder / "variables"))
        for name in reader.get_variable_to_shape_map():
            if name.endswith("VARIABLE_VALUE"):
                found[folder.name, name] = reader.get_tensor(name)
    return found


def metrics(run_dir):
    """The text of each cell of metrics.csv, without the times."""
    return pd.read_csv(run_dir / "metrics.csv", dtype=str, keep_default_na=False).drop(columns="seconds")


def assert_same_run(one, other):
    """Two runs have the same weights, moments, counts and metrics, bit for bit."""
    a, b = variables(one), variables(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not np.array_equal(a[name], b[name])] == []
    pd.testing.assert_frame_equal(metrics(one), metrics(other))
    first, second = (json.loads((path / "summary.json").read_text()) for path in (one, other))
    for key in ("status", "step", "epoch", "final", "best", "knn_accuracy"):
        assert first[key] == second[key], key
