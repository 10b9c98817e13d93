"""Components that a user could write, and whose kinds the library does not have."""

import keras
import numpy as np
import tensorflow as tf

from vi import random
from vi.estimators import Estimator
from vi.particles import Draws, Losses
from vi.posteriors import Posterior


class Adversarial(Estimator):
    """Mescheder et al. (2017): a discriminator T(x, z) for log q(z|x) − log p(z), with its own loss."""

    kind = "estimate"

    @property
    def draws(self):
        return Draws(posterior=self.samples, prior=self.samples)

    def build(self, event_shape, latent_dim):
        inputs = keras.Input((int(np.prod(event_shape)) + latent_dim,))
        hidden = keras.layers.Dense(16, activation="tanh")(inputs)
        self.discriminator = keras.Model(inputs, keras.layers.Dense(1)(hidden))

    @property
    def auxiliary_variables(self):
        return self.discriminator.trainable_variables

    def ratio(self, x, z):
        x = tf.broadcast_to(x, [*z.shape[:2], *x.shape[2:]])
        flat = tf.reshape(tf.concat([x, z], -1), [-1, x.shape[-1] + z.shape[-1]])
        return tf.reshape(self.discriminator(flat), z.shape[:2])

    def bound(self, particles):
        return tf.reduce_mean(particles.log_likelihood - self.ratio(particles.x, particles.z), axis=1)

    def losses(self, particles, step):
        prior = self.ratio(particles.x, tf.stop_gradient(particles.prior.sample(particles.noise.prior)))
        posterior = self.ratio(particles.x, tf.stop_gradient(particles.z))
        auxiliary = tf.nn.softplus(prior) + tf.nn.softplus(-posterior)
        loss = -self.bound(particles)
        return Losses(generative=loss, inference=loss, auxiliary=tf.reduce_mean(auxiliary, axis=1))


class ImplicitPosterior(Posterior):
    """z = f(x, eps) with more noise than latents and no density."""

    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        self.head = keras.layers.Dense(latent_dim)

    def parameters(self, features):
        return {"features": features[:, None]}

    def distribution(self, features):
        return features

    def noise(self, shape, seed):
        return random.normal([*shape, self.latent_dim + 2], seed, self.compute_dtype)

    def push(self, q, eps):
        q = tf.broadcast_to(q, [*eps.shape[:2], q.shape[-1]])
        flat = tf.reshape(tf.concat([q, eps], -1), [-1, q.shape[-1] + eps.shape[-1]])
        return tf.reshape(self.head(flat), [*eps.shape[:2], self.latent_dim]), None
