"""The default run of `vi-train` as a plain Keras script: `fit`, a bound on validation data, the best weights kept.

    python keras_script.py EPOCHS

It writes best.weights.h5 and summary.json with the seconds to the first step into the current directory.
"""

import time

BEGINNING = time.perf_counter()

import json  # noqa: E402
import math  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers, ops  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

IMPORTED = time.perf_counter()
LATENTS, BATCH, SAMPLES, EVALUATIONS = 2, 100, 100, 50


def log_bernoulli(x, logits):
    """log p(x|z), summed over the pixels."""
    return ops.sum(x * logits - ops.softplus(logits), axis=-1)


class VAE(keras.Model):
    """64–256–128–2 and its mirror; the KL in closed form."""

    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([layers.Dense(256, "relu"), layers.Dense(128, "relu")])
        self.mean, self.log_variance = layers.Dense(LATENTS), layers.Dense(LATENTS)
        self.decoder = keras.Sequential([layers.Dense(128, "relu"), layers.Dense(256, "relu"), layers.Dense(64)])
        self.noise = keras.random.SeedGenerator(0)

    def call(self, grey):
        """Logits of grey images, which are binarized afresh; the negative ELBO is added as a loss."""
        x = ops.cast(keras.random.uniform(ops.shape(grey), seed=self.noise) < grey, "float32")
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + ops.exp(0.5 * log_variance) * keras.random.normal(ops.shape(mean), seed=self.noise)
        logits = self.decoder(z)
        kl = 0.5 * ops.sum(ops.exp(log_variance) + mean**2 - 1 - log_variance, axis=1)
        self.add_loss(ops.mean(kl - log_bernoulli(x, logits)))
        return logits

    @tf.function(jit_compile=True)
    def iw_bound(self, x):
        """The importance-weighted bound of binary images, in nats per datum."""
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden)[:, None], self.log_variance(hidden)[:, None]
        eps = tf.random.stateless_normal([len(x), SAMPLES, LATENTS], [0, 0])
        z = mean + ops.exp(0.5 * log_variance) * eps
        log_ratio = 0.5 * ops.sum(eps**2 - z**2 + log_variance, axis=-1)
        logits = ops.reshape(self.decoder(ops.reshape(z, [-1, LATENTS])), [len(x), SAMPLES, -1])
        log_weight = log_bernoulli(x[:, None], logits) + log_ratio
        return ops.mean(ops.logsumexp(log_weight, axis=1)) - math.log(SAMPLES)


class Validation(keras.callbacks.Callback):
    """Keeps the best weights, and the time of the first step."""

    def __init__(self, x):
        super().__init__()
        self.x, self.best, self.first = x, -math.inf, 0.0

    def on_train_batch_end(self, batch, logs=None):
        """Notes the end of the first compiled call."""
        self.first = self.first or time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Evaluates, and saves the weights if they are the best."""
        bound = float(self.model.iw_bound(self.x))
        print(f"bound {bound:.2f}, training loss {logs['loss']:.2f}")
        if bound > self.best:
            self.best = bound
            self.model.save_weights("best.weights.h5")


def main():
    """Trains as many steps as `vi-train trainer.epochs=EPOCHS`."""
    keras.utils.set_random_seed(0)
    x = load_digits().data.astype("float32") / 16
    held = len(x) // 5
    train, grey = x[held:], x[:held]
    binary = (tf.random.stateless_uniform(grey.shape, [0, 1]) < grey).numpy().astype("float32")
    passes = tf.data.Dataset.from_tensors(train).repeat().map(tf.random.shuffle)
    batches = passes.rebatch(BATCH).prefetch(tf.data.AUTOTUNE)
    steps, validation = int(sys.argv[1]) * len(train) // BATCH, Validation(binary)
    model = VAE()
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=14)
    built = time.perf_counter()
    epochs = min(EVALUATIONS, int(sys.argv[1]))
    model.fit(batches, epochs=epochs, steps_per_epoch=steps // epochs, verbose=0, callbacks=[validation])
    seconds = {"imports": IMPORTED - BEGINNING, "building": built - IMPORTED, "compiling": validation.first - built}
    startup = {**seconds, "first_step": validation.first - BEGINNING}
    summary = {"startup": startup, "final": {"validation/iw_bound": validation.best}, "steps": steps}
    Path("summary.json").write_text(json.dumps(summary))


if __name__ == "__main__":
    main()
