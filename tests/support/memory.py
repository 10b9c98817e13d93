"""What Python, TensorFlow and TensorFlow Probability keep of earlier tests, so that it can be dropped."""

import gc

from tensorflow.python.framework import ops
from tensorflow_probability import bijectors


def freeze():
    """Takes all objects of now from the garbage collector, which Keras calls at each build of a model."""
    gc.collect()
    gc.freeze()


def forget_traced_functions():
    """Drops the graphs of functions that no test uses any more.

    Two tables hold them for ever: the cache of all bijectors, and the registry of custom gradients.
    Without this a worker grows by 9 MB with each trainer.
    """
    vars(bijectors.Bijector)["_cache"].storage.clear()
    registry = ops.gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]
