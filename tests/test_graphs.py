import sys

import numpy as np
import pytest
import tensorflow as tf

from vi.graphs import Graph


def halve_while_large(x):
    while tf.reduce_sum(x) > 1:
        x = x / 2
    return x


@pytest.mark.parametrize("jit", [False, True])
def test_a_graph_allows_python_control_flow_on_tensors(jit):
    graph = Graph(halve_while_large, jit)
    np.testing.assert_array_equal(graph(tf.constant([4.0, 4.0])), [0.5, 0.5])
    np.testing.assert_array_equal(graph.trace(tf.TensorSpec([1]))(tf.constant([0.25])), [0.25])


def test_a_number_of_a_tensor_is_allowed_too():
    assert Graph(lambda x: float(x) * 2)(tf.constant(3)) == 6


def test_no_source_is_rewritten_where_no_function_needs_it():
    files = []

    def called_by_the_function(x):
        files.append(sys._getframe().f_code.co_filename)
        return x + 1

    assert Graph(lambda x: called_by_the_function(x))(tf.constant(1.0)) == 2
    assert files == [__file__]


def test_a_wrong_type_is_still_an_error():
    with pytest.raises(TypeError, match="string"):
        Graph(lambda x: x + "a")(tf.constant(1.0))
