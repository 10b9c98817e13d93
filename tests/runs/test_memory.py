"""Memory of a training stays near the size of its data."""

import os
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import resource, sys, vi
sizes = ["encoder.hidden=[16]", "decoder.hidden=[16]", "model.latent_dim=2", "trainer.batch_size=20"]
rest = ["likelihood=gaussian", "trainer.epochs=1", "optimizer.learning_rate=1e-6"]
vi.train(["data=arrays", f"data.path={sys.argv[1]}", *sizes, *rest], sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_a_training_on_many_columns_takes_a_few_times_the_size_of_the_data(tmp_path):
    peaks = []
    for columns in (10, 100_000):
        file, run = tmp_path / f"{columns}.npy", tmp_path / f"run_{columns}"
        np.save(file, np.random.default_rng(0).normal(size=(120, columns)).astype(np.float32))
        command = [sys.executable, "-c", SCRIPT, str(file), str(run)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        peaks.append(int(shown.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 25 * 120 * 100_000 * 4
