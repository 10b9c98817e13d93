import importlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest

from tests.support import memory, runs


def pytest_collection_finish():
    """Imported modules are hidden from the garbage collector: they stay."""
    memory.freeze()


@pytest.fixture(autouse=True, scope="session")
def _state_home(tmp_path_factory):
    """The key that signs configs lies in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def _fresh_keras():
    """Each test starts in single precision, with the same initial weights, and leaves no traced function behind."""
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    yield
    memory.forget_traced_functions()


@pytest.fixture
def without_pictures(monkeypatch):
    """Runs leave no pictures. Other tests look at pictures, and drawing takes half of the time of a small run."""
    runs.leave_no_pictures(monkeypatch)


@pytest.fixture
def double():
    """The test runs in double precision, and leaves single precision to what comes after it."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def eagerly():
    """Functions are called op by op instead of traced."""
    with runs.eagerly():
        yield


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a command of `vi.commands`, by name, in this process; returns the exit code, and what it prints."""

    def run(name, *arguments):
        module = importlib.import_module(f"vi.commands.{name}")

        monkeypatch.setenv("HYDRA_FULL_ERROR", "")  # vi-train sets it; set here first, it is taken back afterwards
        monkeypatch.delenv("HYDRA_FULL_ERROR")
        monkeypatch.setattr("sys.argv", [f"vi-{name}", *arguments])
        with pytest.raises(SystemExit) as end:
            module.main()
        return end.value.code, *capsys.readouterr()

    return run
