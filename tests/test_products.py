"""The precision of matrix products: lower in training where it is asked for, and nowhere else."""

import contextlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src import backend

from tests.support import models
from tests.support.training import make_trainer, weights
from vi.estimators import MonteCarloKL
from vi.evaluation.evaluator import Evaluator
from vi.products import OPERATIONS, multiplying

layers = keras.layers


def uses_tf32():
    return tf.config.experimental.tensor_float_32_execution_enabled()


def rounded(array):
    """The numbers of bfloat16 that are closest, in double precision."""
    return tf.cast(tf.cast(array, tf.bfloat16), tf.float64).numpy()


LAYERS = [
    (lambda: layers.Dense(4), [3, 5]),
    (lambda: layers.Dense(4), [3, 2, 5]),
    (lambda: layers.EinsumDense("ab,bc->ac", 4), [3, 5]),
    (lambda: layers.Conv1D(2, 3), [2, 6, 3]),
    (lambda: layers.Conv2D(2, 3), [2, 6, 6, 3]),
    (lambda: layers.Conv2DTranspose(2, 3), [2, 4, 4, 3]),
    (lambda: layers.DepthwiseConv2D(3), [2, 6, 6, 3]),
    (lambda: layers.SeparableConv2D(2, 3), [2, 6, 6, 3]),
    (lambda: layers.GRU(4), [2, 3, 5]),
    (lambda: layers.LSTM(4, unit_forget_bias=False), [2, 3, 5]),
]


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_layers_round_inputs_and_weights_to_bfloat16_in_the_scope_alone(make, shape):
    layer, rng = make(), np.random.default_rng(0)
    x = tf.constant(rounded(rng.standard_normal(shape)), tf.float32)
    layer(x)
    exact = [rounded(weight) for weight in layer.get_weights()]
    below = 1 + 2.0**-11  # a change that bfloat16, with 7 bits of mantissa, does not see

    def outputs(factor_of_x, factor_of_weights):
        layer.set_weights([factor_of_weights * weight for weight in exact])
        with tf.GradientTape() as tape:
            y = layer(factor_of_x * x)
        gradients = tape.gradient(y, [v.value for v in layer.trainable_variables])
        assert {each.dtype for each in (y, *gradients)} == {tf.float32}
        return y.numpy()

    plain = outputs(1, 1)
    with multiplying("bfloat16", xla=False):
        low = outputs(1, 1)
        np.testing.assert_array_equal(outputs(below, 1), low)
        np.testing.assert_array_equal(outputs(1, below), low)
    np.testing.assert_allclose(low, plain, atol=0.02 * np.abs(plain).max())
    np.testing.assert_array_equal(outputs(1, 1), plain)
    assert np.abs(outputs(below, 1) - plain).max() > 0
    assert np.abs(outputs(1, below) - plain).max() > 0


def test_under_xla_dense_layers_sum_rounded_operands_in_float32():
    rng, layer = np.random.default_rng(0), layers.Dense(6)
    x, weight = rng.standard_normal([4, 300]).astype(np.float32), rng.standard_normal([4, 6]).astype(np.float32)
    layer(x)

    @tf.function(jit_compile=True)
    def compute(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, *tape.gradient(y, [x, layer.kernel.value], output_gradients=weight)

    with multiplying("bfloat16", xla=True):
        y, by_x, by_kernel = compute(tf.constant(x))
    x, kernel, weight = map(rounded, (x, layer.kernel, weight))
    np.testing.assert_allclose(y, x @ kernel, rtol=1e-5, atol=1e-5)  # a result in bfloat16 would be off by 4e-3
    np.testing.assert_allclose(by_x, weight @ kernel.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(by_kernel, x.T @ weight, rtol=1e-5, atol=1e-5)


def products_of(trainer, kinds="dot|convolution"):
    """The lines of the compiled train step that multiply matrices, before optimization."""
    batch, noise = trainer.batches.some(5)
    step = tf.constant(0, tf.int64)
    graph = tf.function(lambda: trainer.train_step.differentiate(batch, noise, step)[2], jit_compile=True)
    text = graph.experimental_get_compiler_ir()(stage="hlo")
    return re.findall(rf"= (\w+)\[.* (?:{kinds})\((.*?)\), (.*)", text)


def test_the_train_step_multiplies_in_bfloat16_where_that_is_asked_for():
    for matmul, operand in (("float32", "f32"), ("bfloat16", "bf16")):
        trainer = make_trainer(matmul=matmul, jit=True)
        with trainer.multiplying():
            found = products_of(trainer)
        assert len(found) >= 4  # encoder and decoder, forward and backward
        assert {result for result, _, _ in found} == {"f32"}
        assert {each for _, operands, _ in found for each in re.findall(r"(\w+)\[", operands)} == {operand}


def test_a_run_takes_the_steps_of_rounded_products():
    trainer = make_trainer(matmul="bfloat16", optimizer=lambda: keras.optimizers.SGD(1.0))

    def gradients():
        found = trainer.train_step.differentiate(*trainer.batches.at(0), tf.constant(0, tf.int64))[2]
        return models.flatten(g for group in trainer.variables for g in found[group])

    full, before = gradients(), weights(trainer)
    with trainer.multiplying():
        low = gradients()
    trainer.run(1)
    np.testing.assert_allclose(before - weights(trainer), low, rtol=1e-4, atol=1e-4)
    assert np.abs(low - full).max() > 1e-3 * np.abs(full).max()


@pytest.mark.slow
def test_in_bfloat16_too_the_result_does_not_depend_on_the_split_into_calls():
    results = []
    for split in ([20], [1, 7, 12]):
        trainer = make_trainer(matmul="bfloat16", jit=True)
        for steps in split:
            trainer.run(steps)
        results.append(weights(trainer))
    np.testing.assert_array_equal(*results)


def test_evaluation_is_in_float32_after_training_in_bfloat16():
    trainer, model = make_trainer(matmul="bfloat16"), models.linear_gaussian()
    data = trainer.batches.data

    def scores(model):
        estimates = Evaluator(model, data, jit=False).estimate(data.validation, samples=5)
        return np.stack([estimates.log_likelihood, estimates.kl, estimates.iw_bound])

    trainer.run(2)
    found = scores(trainer.model)
    for ours, trained in zip(model.variables, trainer.model.variables, strict=True):
        ours.assign(trained)
    np.testing.assert_array_equal(found, scores(model))
    with trainer.multiplying():
        assert np.abs(scores(model) - found).max() > 0


class Watching(MonteCarloKL):
    """Notes whether TF32 is allowed when it computes a bound."""

    def __init__(self):
        super().__init__(2)
        self.seen = []

    def bound(self, particles):
        self.seen.append(uses_tf32())
        return super().bound(particles)


@pytest.mark.parametrize(("matmul", "allowed"), [("float32", False), ("tf32", True), ("bfloat16", False)])
def test_tf32_is_allowed_during_calls_of_training_alone(matmul, allowed):
    trainer = make_trainer(Watching(), matmul=matmul)
    assert set(trainer.estimator.seen) == {False}  # the trial step
    trainer.estimator.seen.clear()
    trainer.run(1)
    assert set(trainer.estimator.seen) == {allowed}
    assert not uses_tf32()
    with contextlib.suppress(ZeroDivisionError), trainer.multiplying():
        assert uses_tf32() is allowed
        raise ZeroDivisionError
    assert not uses_tf32()


def test_xla_reads_whether_tf32_is_allowed_when_it_compiles():
    trainer = make_trainer(matmul="tf32", jit=True)
    precise = "operand_precision={highest,highest}"
    assert all(precise in options for _, _, options in products_of(trainer))
    with trainer.multiplying():
        assert not any(precise in options for _, _, options in products_of(trainer))


def test_outside_of_the_scope_keras_multiplies_by_its_own_functions():
    def current():
        return [getattr(module, name) for module, names in OPERATIONS.items() for name in names]

    own = current()
    with multiplying("float32", xla=True):
        assert current() == own
    with contextlib.suppress(ZeroDivisionError), multiplying("bfloat16", xla=True):
        assert not any(a is b for a, b in zip(current(), own, strict=True))
        raise ZeroDivisionError
    assert current() == own
    x = tf.ones([2, 3], tf.float64)
    with multiplying("bfloat16", xla=True):
        assert backend.numpy.matmul(x, tf.transpose(x)).dtype == tf.float64


@pytest.mark.slow
@pytest.mark.parametrize("module", ["runs.job", "evaluation.evaluator", "diagnostics", "testing", "models"])
def test_tf32_is_off_from_the_beginning(module):
    code = f"import vi.{module}, tensorflow as tf; print(tf.config.experimental.tensor_float_32_execution_enabled())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
