"""W4 with vi: log p(x) as `vi-evaluate` estimates it."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from experiments.benchmark.contestants.trained import trained_run
from vi.evaluation.evaluator import Evaluator
from vi.runs.restore import opened, restored
from vi.training.devices import wants_xla


class LogLikelihood:
    """Rounds of estimates of log p(x) for the first test images."""

    def __init__(self, options: dict[str, Any]):
        directory = trained_run(options)
        config, summary = opened(directory)
        self.parts, _ = restored(config, summary, directory, "best")
        self.data, self.samples = options["batch"], options["samples"]
        jit = wants_xla(self.parts.model, config)
        self.evaluator = Evaluator(self.parts.model, self.parts.data, jit)

    def facts(self) -> dict[str, Any]:
        """What this contestant computes."""
        return {
            "parameters": sum(math.prod(variable.shape) for variable in self.parts.model.variables),
            "batch": self.data,
            "samples": self.samples,
            "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        }

    def round(self) -> dict[str, float]:
        """The mean of log p(x), in nats per datum."""
        estimates = self.evaluator.estimate(self.parts.data.test, self.samples, self.data)
        assert estimates.iw_bound is not None
        return {"bound": float(estimates.iw_bound.mean())}


def log_likelihood(options: dict[str, Any]) -> LogLikelihood:
    """The contestant."""
    return LogLikelihood(options)
