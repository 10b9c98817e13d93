import numpy as np
import tensorflow as tf

from vi.ops import log_mean_exp


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
