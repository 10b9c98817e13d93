"""The precision of matrix products and convolutions in training.

Everything else multiplies in full float32: `vi.models` turns TF32 off when it is imported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import keras
import tensorflow as tf
from keras.src import backend

Matmul = Literal["float32", "tf32", "bfloat16"]

OPERATIONS = {
    backend.numpy: ("matmul", "einsum", "tensordot", "dot"),
    backend.nn: ("conv", "conv_transpose", "depthwise_conv", "separable_conv"),
}
"""The functions by which the layers of Keras multiply: Dense, EinsumDense, convolutions, recurrent cells."""


@contextlib.contextmanager
def multiplying(matmul: Matmul, xla: bool) -> Iterator[None]:
    """Within this scope, networks multiply in a lower precision. It must hold when a function is traced and called.

    With "tf32", a GPU may round the operands of all products to TF32, with 10 bits of mantissa. XLA reads this when it
    compiles. With "bfloat16", the layers of Keras round their operands to bfloat16, with 7 bits, in the forward and in
    the backward pass. Sums are float32, and so are the outputs and the gradients of the layers. Results of
    convolutions, and without XLA all results, are rounded to bfloat16 as well, because TensorFlow has no other kernels.

    Args:
        matmul: the precision; "float32" changes nothing.
        xla: whether XLA compiles what is traced in the scope.
    """
    replaced = {(module, name): getattr(module, name) for module, names in OPERATIONS.items() for name in names}
    tf.config.experimental.enable_tensor_float_32_execution(matmul == "tf32")
    try:
        if matmul == "bfloat16":
            for (module, name), operation in replaced.items():
                setattr(module, name, _rounding(operation))
            if xla:
                backend.numpy.matmul = _compiled_matmul(backend.numpy.matmul)
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(False)
        for (module, name), operation in replaced.items():
            setattr(module, name, operation)


def has_tf32() -> bool:
    """Whether TensorFlow sees a GPU that has TF32."""
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return any(each.get("compute_capability", (0, 0)) >= (8, 0) for each in details)


def remark(matmul: Matmul) -> str | None:
    """What a lower precision means for the metrics of a run; None in float32."""
    name = {"float32": None, "tf32": "TF32", "bfloat16": "bfloat16"}[matmul]
    return name and (
        f"trainer.matmul={matmul}: networks multiply in {name} in training, and train/* is computed with these "
        "products; the metrics of validation and test are in float32."
    )


def _rounding(operation: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """An operation of Keras that rounds its float32 operands to bfloat16; its result is float32 again."""

    def rounded(*arguments: Any, **options: Any) -> tf.Tensor:
        low = [tf.cast(each, tf.bfloat16) if _is_float32(each) else each for each in arguments]
        result = operation(*low, **options)
        return tf.cast(result, tf.float32) if result.dtype == tf.bfloat16 else result

    return rounded


def _compiled_matmul(otherwise: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """Keras's matmul for XLA. A product with a matrix has a float32 result, other products are left to `otherwise`."""

    def matmul(a: Any, b: Any) -> tf.Tensor:
        if not (_is_float32(a) and _is_float32(b) and len(a.shape) >= 2 and len(b.shape) == 2):
            return otherwise(a, b)
        a, b = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
        shape = [*tf.unstack(tf.shape(a)[:-1]), b.shape[1]]
        return _product(a, b) if len(shape) == 2 else tf.reshape(_product(tf.reshape(a, [-1, a.shape[-1]]), b), shape)

    return matmul


@tf.custom_gradient
def _product(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """a · b with operands in bfloat16 and the result in float32; so are the products of its gradient."""
    low = tf.cast(a, tf.bfloat16), tf.cast(b, tf.bfloat16)
    product = tf.raw_ops.BatchMatMulV3(x=low[0], y=low[1], Tout=tf.float32)
    return product, lambda gradient: (_product(gradient, tf.transpose(b)), _product(tf.transpose(a), gradient))


def _is_float32(operand: Any) -> bool:
    return (tf.is_tensor(operand) or isinstance(operand, keras.Variable)) and operand.dtype == "float32"
