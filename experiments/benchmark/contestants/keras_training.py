"""W1 in Keras: `fit`, and a loop in Python over a compiled step."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf


class VAE(keras.Model):
    """The model as Keras's guides write it: layers, `add_loss`."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = keras.layers.Dense(256, "relu")
        self.mean, self.log_variance = keras.layers.Dense(2), keras.layers.Dense(2)
        self.decoder = keras.Sequential([keras.layers.Dense(256, "relu"), keras.layers.Dense(784)])
        self.noise = keras.random.SeedGenerator(0)

    def terms(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits and KL `[B]`."""
        hidden = self.hidden(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        kl = 0.5 * keras.ops.sum(keras.ops.exp(log_variance) + mean**2 - 1 - log_variance, axis=1)
        eps = keras.random.normal(keras.ops.shape(mean), seed=self.noise)
        return self.decoder(mean + keras.ops.exp(0.5 * log_variance) * eps), kl

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Logits of x; the KL is added as a loss."""
        logits, kl = self.terms(x)
        self.add_loss(keras.ops.mean(kl))
        return logits


def cross_entropy(x: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """−log p(x|z), `[B]`."""
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(x, logits), axis=1)


class Training:
    """A pass over MNIST a round.

    Args:
        options: the worker's options; with `fit`, Keras's `fit` takes several steps in a compiled call, as its guide
            advises for small models; else a Python loop calls a compiled step.
    """

    def __init__(self, options: dict[str, Any]):
        self.batch, self.updates, self.fit = options["batch"], options["updates"], options["fit"]
        x = np.load(f"{options['arrays']}/x_train.npy")[: self.batch * self.updates]
        self.model, adam = VAE(), keras.optimizers.Adam(1e-3, epsilon=1e-7)
        self.model.build((None, 784))
        self.model(x[:1].astype(np.float32))
        if self.fit:
            self.x = x.astype(np.float32) / 255
            self.model.compile(adam, cross_entropy, steps_per_execution=options["steps_per_execution"])
            return
        data, weights = tf.constant(x), self.model.trainable_variables
        adam.build(weights)
        self.size = len(x)

        @tf.function(jit_compile=True)
        def step(index: tf.Tensor) -> tf.Tensor:
            x = tf.cast(tf.gather(data, index), tf.float32) / 255
            with tf.GradientTape() as tape:
                logits, kl = self.model.terms(x)
                loss = tf.reduce_mean(cross_entropy(x, logits) + kl)
            adam.apply(tape.gradient(loss, [v.value for v in weights]), weights)
            return -loss

        self.step = step

    def facts(self) -> dict[str, Any]:
        """What this contestant does."""
        versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
        parameters = sum(int(np.prod(v.shape)) for v in self.model.trainable_variables)
        return {"parameters": parameters, "batch": self.batch, "updates": self.updates, "versions": versions}

    def round(self) -> dict[str, float]:
        """A pass; gives the mean bound over its steps."""
        if self.fit:
            history = self.model.fit(self.x, self.x, batch_size=self.batch, epochs=1, verbose=0)
            return {"bound": -history.history["loss"][0]}
        order = tf.split(tf.random.shuffle(tf.range(self.size)), self.updates)
        bounds = [self.step(index) for index in order]
        return {"bound": float(tf.add_n(bounds)) / self.updates}
