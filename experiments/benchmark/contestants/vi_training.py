"""W1, W2 and W3 in vi: the loop that vi-train runs, a round in one compiled call."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from vi.runs.build import build
from vi.runs.training import make_trainer
from vi.settings.compose import compose, resolve

W1 = ["data=mnist", "data.validation=test", "encoder.hidden=[256]", "decoder.hidden=[256]"]
W2 = ["experiment=burda2015_iwae", "data.validation=test", "estimator.samples=50", "model.output_bias=zeros"]
ADAM = ["optimizer=adam", "optimizer.learning_rate=0.001", "optimizer.epsilon=1e-7"]


class Training:
    """Training steps on MNIST, `updates` in one compiled call."""

    def __init__(self, options: dict[str, Any], overrides: list[str]):
        self.updates = options["updates"]
        overrides = [*overrides, f"trainer.batch_size={options['batch']}", *options.get("overrides", [])]
        config = resolve(*compose(overrides))
        self.trainer = make_trainer(build(config), config)

    def facts(self) -> dict[str, Any]:
        """What this contestant does."""
        names = ["tensorflow", "tensorflow-probability", "keras"]
        variables = [variable for group in self.trainer.variables.values() for variable in group]
        return {
            "parameters": sum(variable.shape.num_elements() for variable in (v.value for v in variables)),
            "batch": self.trainer.batch_size,
            "updates": self.updates,
            "versions": {name: importlib.metadata.version(name) for name in names},
        }

    def round(self) -> dict[str, float]:
        """One call; gives the mean bound over its steps."""
        if not self.trainer.run(self.updates):
            raise FloatingPointError("a step is not finite")
        return {"bound": self.trainer.averages()["train/bound"]}


def analytic_kl(options: dict[str, Any]) -> Training:
    """W1."""
    return Training(options, [*W1, *ADAM])


def iwae(options: dict[str, Any]) -> Training:
    """W2: 50 samples."""
    return Training(options, [*W2, *ADAM])


def convolutional(options: dict[str, Any]) -> Training:
    """W3."""
    return Training(options, ["experiment=tfp2019_conv"])
