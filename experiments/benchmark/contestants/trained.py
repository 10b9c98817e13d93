"""The model of W4 and W6: Burda et al.'s one-layer network, trained once by vi and kept in the benchmark's cache.

The cache holds the run's directory `trained/run`, for `vi-evaluate`, and `trained/model.npz` with the weights and the
first test images, binarized as vi's evaluation sees them. So all contestants estimate the same numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

OVERRIDES = [
    *("experiment=burda2015_vae", "estimator.samples=1", "optimizer=adam", "logger=none", "trainer.evaluate=false"),
    *("trainer.batch_size=100", "trainer.epochs=5", "trainer.evaluate_every=5", "trainer.validation_samples=10"),
]
IMAGES = 1000


def trained_run(options: dict[str, Any]) -> Path:
    """The directory of the trained run. If it is missing, the run is trained first, which takes half a minute."""
    import vi

    folder = Path(options["cache"]) / "trained"
    if not (folder / "model.npz").exists():
        vi.train(OVERRIDES, folder / "run")
        _export(folder)
    return folder / "run"


def _export(folder: Path) -> None:
    from vi.evaluation.evaluator import Evaluator
    from vi.runs.restore import opened, restored

    parts, _ = restored(*opened(folder / "run"), folder / "run", "best")
    model = parts.model
    dense: dict[str, Any] = {}
    layers = {
        "encoder": [layer for layer in model.encoder.layers if layer.weights],
        "heads": [model.posterior.loc_head, model.posterior.scale_head],  # of the mean and the log-variance
        "decoder": [layer for layer in model.decoder.layers if layer.weights],
    }
    for name, of_part in layers.items():
        for i, layer in enumerate(of_part):
            dense[f"{name}{i}_kernel"], dense[f"{name}{i}_bias"] = map(np.asarray, layer.get_weights())
    size = min(IMAGES, len(parts.data.test))
    x = np.asarray(Evaluator(model, parts.data).view(parts.data.test, range(size)))
    np.savez(folder / "model.npz", x=x.reshape(size, -1), **dense)
