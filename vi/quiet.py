"""The import of TensorFlow: without the output of its libraries, and without collections of garbage."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator


def import_tensorflow(threads: int | None = None) -> None:
    """Imports TensorFlow and TensorFlow Probability, and sets the number of threads of an operation.

    `threads=None` leaves the number of threads as it is.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet_import(), _without_collections():
        import tensorflow as tf
        import tensorflow_probability  # noqa: F401

        if threads is not None:
            with contextlib.suppress(RuntimeError):  # set already, by an earlier job of this worker
                tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.list_physical_devices()


@contextlib.contextmanager
def _quiet_import() -> Iterator[None]:
    """Hides the output of TensorFlow's libraries while they load. If loading fails, the output is printed."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        except BaseException:
            buffer.seek(0)
            os.write(saved, buffer.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Collects no garbage while TensorFlow loads, and passes over what it has loaded in all later collections.

    Half a million objects are made, and each collection would look at all of them in vain.
    """
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
