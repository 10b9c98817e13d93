"""The machine's float32 matrix product by TensorFlow."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class Product:
    """Products of two square matrices, a few in a round."""

    def __init__(self, options: dict[str, Any]):
        self.size, self.times = (8192, 50) if options["device"] == "gpu" else (2048, 8)
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.a = tf.random.normal([self.size, self.size])

    def facts(self) -> dict[str, Any]:
        """The versions alone."""
        return {"versions": {"tensorflow": tf.__version__}}

    def round(self) -> dict[str, float]:
        """The number of floating-point operations."""
        b = self.a
        for _ in range(self.times):
            b = tf.matmul(self.a, b)
        float(b[0, 0])
        return {"operations": 2.0 * self.size**3 * self.times}
