"""Memory of a test process: what earlier tests leave in global tables is dropped."""

import gc

from tensorflow.python.framework import ops
from tensorflow_probability import bijectors


def freeze():
    """Hides the objects that exist now from the garbage collector.

    A build of a model collects garbage, which takes 0.3 s if all imported modules are looked through.
    """
    gc.collect()
    gc.freeze()


def forget_traced_functions():
    """Drops the graphs of the functions that earlier tests traced.

    Two global tables hold them: the cache of all bijectors, and the registry of custom gradients.
    A process would otherwise grow by 9 MB with each trainer.
    """
    storage = vars(bijectors.Bijector)["_cache"].storage
    for reference in storage:
        reference.cancel()  # its tensor may live longer, and would ask for an entry that is gone
    storage.clear()
    registry = ops.gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]
