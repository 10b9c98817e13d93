"""Shows that the published code of D1 counts its KL twice (systems.yaml, tfp2019_conv_doubled).

    python experiments/references/doubled_kl.py

It builds the published encoder with small networks: TensorFlow Probability's KLDivergenceRegularizer on the last layer.
This layer gives Keras 2 two outputs, a distribution and its value. Keras adds the regularizer's loss for each of them.
The loss that Keras reports and minimizes is therefore the distortion + 2 KL.
"""

from __future__ import annotations

import os

os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

LATENTS, SHAPE = 16, (28, 28, 1)


def main() -> None:
    """Prints the number of losses, and the reported loss minus the distortion."""
    layers, published, distributions = tf_keras.layers, tfp.layers, tfp.distributions
    prior = distributions.MultivariateNormalDiag(tf.zeros(LATENTS))
    encoder = tf_keras.Sequential(
        [
            layers.InputLayer(SHAPE),
            layers.Flatten(),
            layers.Dense(published.MultivariateNormalTriL.params_size(LATENTS)),
            published.MultivariateNormalTriL(
                LATENTS, activity_regularizer=published.KLDivergenceRegularizer(prior, use_exact_kl=True)
            ),
        ]
    )
    decoder = tf_keras.Sequential(
        [
            layers.InputLayer((LATENTS,)),
            layers.Dense(784, kernel_initializer="zeros"),  # so that the distortion does not depend on z
            published.IndependentBernoulli(SHAPE, distributions.Bernoulli.logits),
        ]
    )
    vae = tf_keras.Model(encoder.inputs, decoder(encoder.outputs[0]))
    vae.compile(loss=lambda x, p: -p.log_prob(x))
    x = np.random.default_rng(0).random((256, *SHAPE)).astype(np.float32)
    q = encoder(x)
    kl = float(tf.reduce_mean(distributions.kl_divergence(q, prior)))
    loss = vae.evaluate(x, x, batch_size=len(x), verbose=0)
    print(f"losses that Keras lists: {len(vae.losses)}")
    print(f"mean KL {kl:.3f}; reported loss − distortion {loss - 784 * np.log(2):.3f}")


if __name__ == "__main__":
    main()
