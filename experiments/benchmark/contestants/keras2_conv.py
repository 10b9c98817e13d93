"""W3 with Keras 2 and TFP layers, as in the TFP team's "Variational autoencoders with TFP layers" (2019).

Two changes make it the work of the others: the regularizer has the weight 1/2, since Keras counts it twice, and the
data pipeline maps whole batches and starts from arrays in memory, which is faster than the text's.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

tfd, tfk, tfkl, tfpl = tfp.distributions, tf_keras, tf_keras.layers, tfp.layers
LATENTS, FILTERS = 16, 32
SHAPE = (28, 28, 1)


def _model() -> tf_keras.Model:
    prior = tfd.Independent(tfd.Normal(loc=tf.zeros(LATENTS), scale=1.0), reinterpreted_batch_ndims=1)
    regularizer = tfpl.KLDivergenceRegularizer(prior, weight=0.5)
    options = {"padding": "same", "activation": tf.nn.leaky_relu}
    down = functools.partial(tfkl.Conv2D, **options)
    up = functools.partial(tfkl.Conv2DTranspose, **options)
    encoder = tfk.Sequential(
        [
            tfkl.InputLayer(input_shape=SHAPE),
            tfkl.Lambda(lambda x: x - 0.5),
            down(FILTERS, 5, strides=1),
            down(FILTERS, 5, strides=2),
            down(2 * FILTERS, 5, strides=1),
            down(2 * FILTERS, 5, strides=2),
            down(4 * LATENTS, 7, strides=1, padding="valid"),
            tfkl.Flatten(),
            tfkl.Dense(tfpl.MultivariateNormalTriL.params_size(LATENTS), activation=None),
            tfpl.MultivariateNormalTriL(LATENTS, activity_regularizer=regularizer),
        ]
    )
    decoder = tfk.Sequential(
        [
            tfkl.InputLayer(input_shape=[LATENTS]),
            tfkl.Reshape([1, 1, LATENTS]),
            up(2 * FILTERS, 7, strides=1, padding="valid"),
            up(2 * FILTERS, 5, strides=1),
            up(2 * FILTERS, 5, strides=2),
            up(FILTERS, 5, strides=1),
            up(FILTERS, 5, strides=2),
            up(FILTERS, 5, strides=1),
            tfkl.Conv2D(filters=1, kernel_size=5, strides=1, padding="same", activation=None),
            tfkl.Flatten(),
            tfpl.IndependentBernoulli(SHAPE, tfd.Bernoulli.logits),
        ]
    )
    return tfk.Model(inputs=encoder.inputs, outputs=decoder(encoder.outputs[0]))


class Steps:
    """Rounds of `fit`."""

    def __init__(self, options: dict[str, Any]):
        tfk.utils.set_random_seed(0)
        self.batch, self.updates = options["batch"], options["updates"]
        images = tf.constant(np.load(Path(options["arrays"]) / "x_train.npy").reshape(-1, *SHAPE))

        def binarize(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            grey = tf.cast(tf.gather(images, index), tf.float32) / 255.0
            x = tf.cast(tf.random.uniform(tf.shape(grey)) < grey, tf.float32)
            return x, x

        # Numbers are shuffled, not images: each `fit` fills the buffer anew.
        data = tf.data.Dataset.range(len(images)).shuffle(10_000).repeat().batch(self.batch, drop_remainder=True)
        self.data = data.map(binarize, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
        self.model = _model()
        self.model.compile(
            optimizer=tfk.optimizers.Adam(learning_rate=1e-3),
            loss=lambda x, rv_x: -rv_x.log_prob(x),
            steps_per_execution=self.updates,
        )

    def facts(self) -> dict[str, Any]:
        """What this contestant computes."""
        versions = {"tensorflow": tf.__version__, "tf_keras": tfk.__version__, "tfp": tfp.__version__}
        return {
            "parameters": self.model.count_params(),
            "batch": self.batch,
            "updates": self.updates,
            "versions": versions,
        }

    def round(self) -> dict[str, float]:
        """The mean bound of the round's steps, in nats per datum."""
        history = self.model.fit(self.data, epochs=1, steps_per_epoch=self.updates, verbose=0)
        return {"bound": -history.history["loss"][0]}


def steps(options: dict[str, Any]) -> Steps:
    """The contestant."""
    return Steps(options)
