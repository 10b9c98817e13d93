import numpy as np
import pytest
import tensorflow as tf

from vi.ops import LARGE, global_norm, log_mean_exp, softplus


def test_log_mean_exp_is_the_log_of_the_mean():
    x = np.random.default_rng(0).standard_normal((3, 5))
    np.testing.assert_allclose(log_mean_exp(tf.constant(x), axis=1), np.log(np.exp(x).mean(1)), rtol=1e-12)


def test_log_mean_exp_survives_what_a_naive_exp_does_not():
    x = tf.constant([[1000.0, 1000.0], [-1000.0, -1001.0], [-np.inf, 0.0]])
    expected = [1000.0, -1000 + np.log((1 + np.exp(-1)) / 2), -np.log(2)]
    np.testing.assert_allclose(log_mean_exp(x, axis=1), expected, rtol=1e-6)


def test_log_mean_exp_takes_an_unknown_number_of_samples():
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def unknown(x):
        return log_mean_exp(x, axis=1)

    np.testing.assert_allclose(unknown(tf.zeros([2, 7])), 0, atol=1e-6)


@pytest.mark.parametrize("jit", [True, False])
def test_softplus_is_exact_to_rounding_for_all_numbers(jit):
    x = np.concatenate([np.linspace(-86, 86, 200_001), np.linspace(-1e-3, 1e-3, 1001)]).astype(np.float32)
    value = tf.function(softplus, jit_compile=jit)(tf.constant(x))
    np.testing.assert_allclose(value, np.logaddexp(0, x.astype(np.float64)), rtol=4e-7)
    ends = tf.constant([-np.inf, -200.0, 200.0, np.inf, np.nan])
    np.testing.assert_array_equal(tf.function(softplus, jit_compile=jit)(ends), [0, 0, 200, np.inf, np.nan])


def test_derivatives_of_softplus_are_the_sigmoid_and_its_derivative():
    x = tf.constant([-100.0, -3.0, 0.0, 0.5, 100.0], tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = softplus(x)
        first = inner.gradient(y, x)
    sigmoid = 1 / (1 + np.exp(-x.numpy()))
    np.testing.assert_allclose(first, sigmoid, rtol=1e-12)
    np.testing.assert_allclose(outer.gradient(first, x), sigmoid * (1 - sigmoid), atol=1e-15)


@pytest.mark.parametrize("size", [3, LARGE, LARGE + 1])
def test_a_global_norm_counts_every_element_once(size):
    x = np.random.default_rng(0).standard_normal(size)
    np.testing.assert_allclose(global_norm([tf.constant(x), tf.constant([[2.0]], tf.float64)]) ** 2, x @ x + 4)
