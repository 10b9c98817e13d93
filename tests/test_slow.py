"""Trainings that take minutes: `make test-slow`."""

import os

import pytest

import vi

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_run_separates_the_digits(tmp_path, seed):
    run = vi.train(["logger=none", f"seed={seed}"], directory=tmp_path / "run")
    assert run.summary["knn_accuracy"] >= 0.75


@pytest.mark.skipif("VI_DATA_DIR" not in os.environ, reason="VI_DATA_DIR is not set")
@pytest.mark.parametrize("networks", ["mlp", "conv"])
def test_mnist_trains(tmp_path, networks):
    overrides = ["logger=none", "data=mnist", "data.binarization=dynamic", "trainer.epochs=2"]
    run = vi.train([*overrides, f"encoder={networks}", f"decoder={networks}"], directory=tmp_path / "run")
    assert run.summary["jit"] is (networks == "mlp")
    assert run.summary["best"]["validation/elbo"] > -175
    assert run.summary["best"]["validation/iw_bound"] > run.summary["best"]["validation/elbo"]
