"""W3 with vi: train steps of the convolutional VAE of conf/experiment/tfp2019_conv.yaml."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from vi.runs.build import build
from vi.runs.training import make_trainer
from vi.settings.compose import compose, resolve


class Steps:
    """Rounds of train steps, as `vi-train experiment=tfp2019_conv` takes them."""

    def __init__(self, options: dict[str, Any]):
        config = resolve(*compose(["experiment=tfp2019_conv", f"trainer.batch_size={options['batch']}"]))
        self.updates = options["updates"]
        self.trainer = make_trainer(build(config), config)

    def facts(self) -> dict[str, Any]:
        """What this contestant computes."""
        variables = [v for group in self.trainer.variables.values() for v in group]
        versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
        return {
            "parameters": sum(math.prod(variable.shape) for variable in variables),
            "batch": self.trainer.batch_size,
            "updates": self.updates,
            "versions": versions,
        }

    def round(self) -> dict[str, float]:
        """The mean bound of the round's steps, in nats per datum."""
        if not self.trainer.run(self.updates):
            raise SystemExit("A step of vi is not finite.")
        return {"bound": self.trainer.averages()["train/bound"]}


def steps(options: dict[str, Any]) -> Steps:
    """The contestant."""
    return Steps(options)
