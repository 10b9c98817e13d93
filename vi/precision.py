"""The dtype of a run."""

from __future__ import annotations


def set_precision(precision: str) -> None:
    """Makes "float32" or "float64" the dtype of every variable and tensor that is made from here on."""
    import keras

    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)
