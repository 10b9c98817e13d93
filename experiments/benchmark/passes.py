"""Times a pass over MNIST for the same model: Keras `fit`, vi's loop without XLA, vi's loop with XLA.

    python experiments/benchmark/passes.py [OVERRIDE ...]

Prints the median of seconds per pass, without compiling. Overrides are as for `vi-train`. The Keras model has dense
networks, one sample and an analytic KL, so only such models compare with it.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import rich.console
import rich.table
import tensorflow as tf

from vi.runs.build import build
from vi.settings.compose import compose, resolve
from vi.training.batches import ResidentBatches
from vi.training.step import TrainStep
from vi.training.trainer import Trainer

ROUNDS = 7
MODEL = ["data=mnist", "data.validation=test", "encoder.hidden=[256]", "decoder.hidden=[256]", "optimizer=rmsprop"]


class KerasVAE(keras.Model):
    """The same model as a textbook writes it: Keras layers, `add_loss`, `fit`."""

    def __init__(self, latent_dim: int):
        super().__init__()
        self.hidden = keras.layers.Dense(256, "relu")
        self.mean, self.log_variance = keras.layers.Dense(latent_dim), keras.layers.Dense(latent_dim)
        self.decoder = keras.Sequential([keras.layers.Dense(256, "relu"), keras.layers.Dense(784)])
        self.noise = keras.random.SeedGenerator(0)

    def call(self, x):
        """Logits of x; the KL is added as a loss."""
        hidden = self.hidden(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        kl = 0.5 * keras.ops.sum(keras.ops.exp(log_variance) + mean**2 - 1 - log_variance, axis=1)
        self.add_loss(keras.ops.mean(kl))
        eps = keras.random.normal(keras.ops.shape(mean), seed=self.noise)
        return self.decoder(mean + keras.ops.exp(0.5 * log_variance) * eps)


def keras_pass(settings: dict) -> Callable[[], None]:
    """A pass of Keras `fit`."""
    data = build(settings).data
    x = (data.train.x.reshape(len(data.train), -1) / np.float32(data.scale)).astype(np.float32)
    model = KerasVAE(settings["model"]["latent_dim"])

    def cross_entropy(x, logits):
        return keras.ops.sum(tf.nn.sigmoid_cross_entropy_with_logits(x, logits), axis=1)

    model.compile(keras.optimizers.RMSprop(settings["optimizer"]["learning_rate"]), cross_entropy)
    return lambda: model.fit(x, x, batch_size=settings["trainer"]["batch_size"], epochs=1, verbose=0)


def vi_pass(settings: dict, jit: bool) -> Callable[[], None]:
    """A pass of vi's loop."""
    parts = build(settings)
    batch_size = settings["trainer"]["batch_size"]
    batches = ResidentBatches(parts.data, parts.model, parts.estimator.draws, batch_size=batch_size)
    trainer = Trainer(TrainStep(parts.model, parts.estimator, parts.optimizers), batches, jit=jit)
    steps = trainer.size // trainer.batch_size

    def run() -> None:
        if not trainer.run(steps):
            raise SystemExit("A step is not finite, so the pass ended early.")
        trainer.averages()

    return run


def main() -> None:
    """Times all of them, in turn."""
    settings = resolve(*compose([*MODEL, *sys.argv[1:]]))
    contenders = {
        "Keras fit": keras_pass(settings),
        "vi, without XLA": vi_pass(settings, jit=False),
        "vi, with XLA": vi_pass(settings, jit=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(ROUNDS + 1):  # the first compiles
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if round_:
                seconds[name].append(time.perf_counter() - start)
    table = rich.table.Table("", "seconds a pass (median)", "fastest", "slowest", "of Keras fit")
    reference = statistics.median(seconds["Keras fit"])
    for name, times in seconds.items():
        median = statistics.median(times)
        numbers = (median, min(times), max(times), median / reference)
        table.add_row(name, *(f"{number:.2f}" for number in numbers))
    rich.console.Console().print(table)


if __name__ == "__main__":
    main()
