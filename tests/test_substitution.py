"""Values that stand in for variables nest, and no assignment within them changes a variable."""

import keras
import tensorflow as tf

from vi.substitution import Substitution, alias, current


def test_an_inner_substitution_adds_to_the_outer_and_hands_it_its_assignments():
    one, two = keras.Variable(1.0), keras.Variable(2.0)
    with Substitution([(one, tf.constant(10.0))]) as outer:
        with Substitution([(two, tf.constant(20.0))]):
            assert (float(one.value), float(two.value)) == (10, 20)
            assert {id(variable) for variable, _ in current()} == {id(one), id(two)}
            one.assign(11.0)
        assert (float(one.value), float(two.value)) == (11, 2)
        two.assign(21.0)
    assert (float(one.value), float(two.value)) == (1, 2)
    assert current() == ()
    assert [(variable.path, float(value)) for variable, value in outer.updates] == [(one.path, 11), (two.path, 21)]


def test_an_error_within_leaves_no_substitution_behind():
    one = keras.Variable(1.0)
    try:
        with Substitution(), Substitution([(one, tf.constant(5.0))]):
            raise KeyError
    except KeyError:
        pass
    assert float(one.value) == 1
    assert current() == ()


def test_a_gradient_reaches_an_alias_and_nothing_before_it():
    variable = tf.Variable(3.0)
    with tf.GradientTape(persistent=True) as tape:
        other = alias(variable)
        y = other**2
    assert float(tape.gradient(y, other)) == 6
    assert float(tape.gradient(y, variable)) == 0
