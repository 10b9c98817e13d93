"""The devices of a training, and the choice of XLA."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from vi.models.base import Model

BLOCK = 32
"""The number of train steps that a GPU takes without a word from the host."""


def set_up_devices() -> None:
    """Lets GPUs take memory as they need it. It must run before anything is placed on them."""
    with contextlib.suppress(RuntimeError):  # an earlier run has set them up
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)


def wants_xla(model: Model, config: Mapping[str, Any]) -> bool:
    """Whether XLA compiles, from trainer.jit; "auto" compiles on GPUs, and on CPUs without convolutions."""
    if (jit := config["trainer"]["jit"]) != "auto":
        return jit
    convolutional = any(len(v.shape) > 3 for v in model.variables)
    return bool(tf.config.list_physical_devices("GPU")) or not convolutional


def steps_of_a_block() -> int:
    """The number of train steps in a loop whose length XLA knows: more than 1 on GPUs, which otherwise wait."""
    return BLOCK if tf.config.list_physical_devices("GPU") else 1
