"""The dtype of a run."""

from __future__ import annotations


def set_precision(precision: str) -> None:
    """Sets Keras's dtype, "float32" or "float64", for all variables and tensors made afterwards."""
    import keras

    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)
