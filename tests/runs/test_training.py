"""What a training leaves: scores of the validation data, probes fitted on the training data, and the best weights."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.neighbors import KNeighborsClassifier

from tests.support import models
from tests.support.training import make_trainer, weights
from vi.data import Dataset
from vi.estimators import AnalyticKL
from vi.evaluation.evaluator import Evaluator
from vi.loggers.base import Logger
from vi.runs import restore
from vi.runs.build import Parts
from vi.runs.training import train
from vi.training.checkpoints import Checkpoints
from vi.training.fit import Progress

pytestmark = pytest.mark.usefixtures("eagerly")


class Rows(Logger):
    """Keeps the rows of metrics.csv."""

    def __init__(self):
        self.rows = []

    def log(self, row):
        self.rows.append(row)


def new_trainer():
    """A trainer on 60 data in one step an epoch, with labels and with validation data elsewhere."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100, models.D)).astype(np.float32), rng.integers(0, 3, 100)
    arrays = {"x_train": x[:60], "y_train": y[:60], "x_validation": 1 + x[60:], "y_validation": y[60:]}
    return make_trainer(AnalyticKL(2), data=Dataset(arrays, "data"), batch_size=60)


def trained(directory, **options):
    """A trainer after its training, what `train` returns, and the rows of metrics."""
    trainer, logger = new_trainer(), Rows()
    parts = Parts(trainer.batches.data, trainer.model, trainer.estimator, dict(trainer.optimizers), 1.0)
    settings = {"epochs": 1, "evaluate_every": 1, "monitor": "validation/iw_bound", "patience": None}
    settings |= {"steps_per_call": 1, "nonfinite": "stop", "diagnose_every": None}
    settings |= {"validation_samples": 7, "validation_size": 5, **options}
    checkpoints = Checkpoints(directory, trainer.state)
    found = train(parts, trainer, settings, checkpoints, Progress(), logger, lambda: None)
    return trainer, found, logger.rows


def test_the_scores_of_a_training_are_of_its_validation_data(tmp_path):
    trainer, found, rows = trained(tmp_path)
    model, data = trainer.model, trainer.batches.data
    x = tf.constant(data.validation.x)
    evaluator = Evaluator(model, data, jit=False)
    iw_bound = evaluator.estimate(data.validation, 7).iw_bound
    expected = {
        "validation/nll": -evaluator.estimate(data.validation, 1).log_likelihood.mean(),
        "validation/kl": model.encode(x).kl(model.prior).numpy().mean(),
        "validation/iw_bound": iw_bound.mean(),
    }
    expected["validation/elbo"] = -expected["validation/nll"] - expected["validation/kl"]
    assert found["final"] == pytest.approx(expected, rel=1e-5)
    row = expected | {"validation/iw_bound": iw_bound[:5].mean()}
    assert {name: rows[0][name] for name in row} == pytest.approx(row, rel=1e-5)
    means = {name: model.encode(getattr(data, name).x).mean() for name in ("train", "validation")}
    neighbours = KNeighborsClassifier(10).fit(means["train"], data.train.y)
    assert found["knn_accuracy"] == neighbours.score(means["validation"], data.validation.y)


def test_a_training_ends_with_the_weights_of_its_best_evaluation(tmp_path):
    trainer, found, rows = trained(tmp_path, epochs=2, monitor="epoch")  # the first epoch is the smallest
    assert [row["step"] for row in rows] == [1, 2]
    assert found["best"]["step"] == 1
    first, last = new_trainer(), new_trainer()
    first.run(1)
    last.run(2)
    np.testing.assert_allclose(weights(trainer), weights(first), rtol=1e-4, atol=1e-5)
    assert np.abs(weights(last) - weights(first)).max() > 0.005


def test_a_new_run_starts_from_the_best_weights_and_not_from_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(restore.saved, "read", lambda *_, **__: {})
    model = models.linear_gaussian()
    checkpoints = Checkpoints(tmp_path / "checkpoints", {"model": model.variables})
    for step in (1, 2):
        for variable in model.variables:
            variable.assign(tf.fill(variable.shape, float(step)))
        checkpoints.save(step, {"step": step, "best_step": 1})
    restore.initialize(model, tmp_path)
    assert all((variable.numpy() == 1).all() for variable in model.variables)
