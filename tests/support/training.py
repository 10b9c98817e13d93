"""A trainer of a small model, ready to run, and its weights."""

import keras

from tests.support import models
from vi.estimators import MonteCarloKL
from vi.training.trainer import Trainer


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
    return Trainer(model or models.linear_gaussian(), estimator, data, optimizers, **options)


def weights(trainer):
    """All trained parameters as one vector."""
    return models.flatten(v for group in trainer.variables.values() for v in group)
