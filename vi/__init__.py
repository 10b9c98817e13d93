"""vi: variational inference with explicit training loops, on TensorFlow 2 and TensorFlow Probability.

`vi.train(overrides)` trains as the command `vi-train` does; `vi.load(run_dir)` gives a trained model back.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vi import testing
    from vi.errors import ConfigError, Interrupted, RunError
    from vi.estimators import Estimator
    from vi.models import LatentVariableModel
    from vi.runs.api import Run, replay, train
    from vi.runs.restore import load

__all__ = [
    "ConfigError",
    "Estimator",
    "Interrupted",
    "LatentVariableModel",
    "Run",
    "RunError",
    "load",
    "replay",
    "testing",
    "train",
]
__version__ = "0.1.0"

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides the lines that TensorFlow prints when it starts

_HOMES = {
    "ConfigError": "errors",
    "Estimator": "estimators",
    "Interrupted": "errors",
    "LatentVariableModel": "models",
    "Run": "runs.api",
    "RunError": "errors",
    "load": "runs.restore",
    "replay": "runs.api",
    "train": "runs.api",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, because the import of TensorFlow takes seconds."""
    import importlib

    if name == "testing":
        from vi.quiet import import_tensorflow

        import_tensorflow()
        return importlib.import_module("vi.testing")
    if name not in _HOMES:
        raise AttributeError(f"module 'vi' has no attribute {name!r}")
    return getattr(importlib.import_module(f"vi.{_HOMES[name]}"), name)
