"""A trainer of a small model, ready to run, and its weights."""

import keras
import tensorflow as tf

from tests.support import models
from vi.estimators import MonteCarloKL
from vi.training.batches import ResidentBatches
from vi.training.step import TrainStep
from vi.training.trainer import Trainer


def trainer_of(
    model,
    estimator,
    data,
    optimizers,
    *,
    batch_size,
    jit=True,
    seed=0,
    noise="fresh",
    beta=1.0,
    update_every=None,
    matmul="float32",
    block=1,
):
    """A trainer of a model by an estimator on data that are resident in memory."""
    step = TrainStep(model, estimator, optimizers, beta=beta, update_every=update_every)
    batches = ResidentBatches(data, model, estimator.draws, batch_size=batch_size, seed=seed, noise=noise)
    return Trainer(step, batches, jit=jit, matmul=matmul, block=block)


def make_trainer(estimator=None, data=None, optimizer=lambda: keras.optimizers.Adam(0.01), model=None, **options):
    """A trainer of an estimator on a small model; the weights are the same at every call.

    XLA compiles the loop only where `jit=True` is given, because to compile takes longer than all else.
    """
    keras.utils.set_random_seed(0)
    estimator = estimator or MonteCarloKL(3)
    data = data or models.dataset()
    estimator.build(data.event_shape, models.L)
    optimizers = {group: optimizer() for group in ("generative", "inference", "auxiliary")}
    options = {"batch_size": 7, "jit": False, **options}
    return trainer_of(model or models.linear_gaussian(), estimator, data, optimizers, **options)


def weights(trainer):
    """All trained parameters as one vector."""
    return models.flatten(v for group in trainer.variables.values() for v in group)


def differentiate(trainer, index, step):
    """Particles, losses and gradients of the data `index` at a step of a trainer."""
    batch, noise = trainer.batches.batch(index, step), trainer.batches.noise(index, step)
    return trainer.train_step.differentiate(batch, noise, tf.cast(step, tf.int64))
