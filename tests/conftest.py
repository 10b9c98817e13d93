import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest


@pytest.fixture(autouse=True)
def _fresh_keras():
    """Each test starts in single precision, with the same initial weights."""
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)


@pytest.fixture
def double():
    """The test runs in double precision."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
