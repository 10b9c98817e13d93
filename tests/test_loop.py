"""The loop over evaluations: when it evaluates, what it keeps, and when it stops."""

import logging

import keras
import numpy as np
import pytest

from tests.test_trainer import make_trainer
from vi import loop
from vi.errors import RunError
from vi.estimators import MonteCarloKL
from vi.loggers import Logger


class Memory(Logger):
    """Remembers what it was told; stands for checkpoints, too."""

    def __init__(self):
        self.rows, self.saved, self.steps = [], [], []

    def log(self, row):
        self.rows.append(dict(row))

    def progress(self, progress):
        self.steps.append(progress.step)

    def save(self, step, state, best=False):
        self.saved.append((step, best))


def fit(trainer, validations=None, **options):
    """Fits with given validation values in turn."""
    memory = Memory()
    values = iter(validations or [0.0] * 1000)

    def validate():
        value = next(values)
        return {"validation/nll": -value, "validation/kl": 0.0, "validation/elbo": value, "validation/iw_bound": value}

    progress = loop.fit(trainer, validate, memory, [memory], **options)
    return progress, memory


def test_it_evaluates_every_n_epochs_and_at_the_end():
    progress, memory = fit(make_trainer(batch_size=7), epochs=2.5, evaluate_every=1)  # 30 data: 4.29 steps an epoch
    assert [row["step"] for row in memory.rows] == [5, 9, 11]
    assert [row["epoch"] for row in memory.rows] == pytest.approx([35 / 30, 63 / 30, 77 / 30])
    assert (progress.step, progress.total) == (11, 11)
    seconds = [row["seconds"] for row in memory.rows]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("steps_per_call", [1, 4, 1000, "auto"])
def test_calls_end_at_evaluations(steps_per_call):
    _, memory = fit(make_trainer(), epochs=3, evaluate_every=1.5, steps_per_call=steps_per_call)
    assert [row["step"] for row in memory.rows] == [7, 13]
    if isinstance(steps_per_call, int):
        assert max(np.diff([0, *memory.steps])) <= steps_per_call


def test_the_last_of_each_evaluation_and_every_best_is_kept():
    progress, memory = fit(make_trainer(batch_size=30), [1.0, 3.0, 2.0, 3.0, 4.0], epochs=5)
    assert memory.saved == [(1, False), (1, True), (2, False), (2, True), (3, False), (4, False), (5, False), (5, True)]
    assert (progress.best, progress.best_step, progress.stale) == (4.0, 5, 0)


def test_it_stops_after_patience_without_a_better_value():
    progress, memory = fit(make_trainer(batch_size=30), [1.0, 3.0, 2.0, 2.5, 9.0], epochs=5, patience=2)
    assert (len(memory.rows), progress.best_step) == (4, 2)


def test_what_is_not_a_bound_is_minimized():
    progress, _ = fit(make_trainer(batch_size=30), [-1.0, -3.0], epochs=2, monitor="validation/nll")
    assert (progress.best, progress.best_step) == (1.0, 1)


def test_rows_have_what_the_design_names():
    _, memory = fit(make_trainer(), epochs=1)
    expected = ["step", "epoch", "seconds", "train/loss", "train/bound", "train/elbo", "train/nll", "train/kl"]
    expected += ["validation/elbo", "validation/nll", "validation/kl", "validation/iw_bound", "beta"]
    expected += [f"{what}/{g}" for what in ("learning_rate", "gradient_norm") for g in ("generative", "inference")]
    assert list(memory.rows[0]) == expected
    assert memory.rows[0]["learning_rate/inference"] == pytest.approx(0.01)


def test_an_implicit_posterior_leaves_empty_what_it_cannot_give():
    from tests import models
    from tests.test_contract import Adversarial, ImplicitPosterior

    trainer = make_trainer(Adversarial(2), model=models.linear_gaussian(ImplicitPosterior))
    memory = Memory()
    progress = loop.fit(trainer, lambda: {"validation/nll": 5.0}, memory, [memory], epochs=1)
    row = memory.rows[0]
    assert [row[k] for k in ("train/kl", "train/elbo", "validation/elbo", "validation/iw_bound")] == [None] * 4
    assert row["train/loss_auxiliary"] > 0
    assert progress.best == 5.0


def test_a_monitor_that_cannot_be_computed_is_replaced_and_said(caplog):
    memory = Memory()
    trainer = make_trainer(batch_size=30)
    values = iter([3.0, 5.0])
    progress = loop.fit(trainer, lambda: {"validation/nll": next(values)}, memory, [memory], epochs=2)
    assert (progress.best, progress.best_step) == (3.0, 1)
    assert caplog.text.count("validation/iw_bound cannot be computed for this model; going by validation/nll") == 1


def test_a_validation_that_is_not_finite_stops_the_run_before_a_checkpoint():
    memory = Memory()
    values = iter([{"validation/nll": 1.0}, {"validation/nll": float("nan")}])
    with pytest.raises(
        RunError, match=r"validation/nll is not finite at step 2; the last good checkpoint is of step 1\."
    ):
        loop.fit(make_trainer(batch_size=30), lambda: next(values), memory, [memory], epochs=5)
    assert memory.saved == [(1, False), (1, True)]


def test_a_warm_up_that_does_not_end_is_said(caplog):
    def warnings(decay_steps):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            beta = keras.optimizers.schedules.PolynomialDecay(0.0, decay_steps, 1.0)
            fit(make_trainer(MonteCarloKL(1), batch_size=30, beta=beta), epochs=5)
        return caplog.text

    assert "trainer.beta does not end within this run: beta is 0.08 at the last step, 4, and goes on to 1" in warnings(
        50
    )
    assert warnings(4) == ""


def test_a_warm_up_that_early_stopping_cuts_off_is_said(caplog):
    beta = keras.optimizers.schedules.PolynomialDecay(0.0, 4, 1.0)
    trainer = make_trainer(MonteCarloKL(1), batch_size=30, beta=beta)
    fit(trainer, [2.0, 1.0, 1.0, 1.0, 1.0, 1.0], epochs=6, patience=1)
    assert "trainer.beta does not end within this run: beta is 0.25 at the last step, 1" in caplog.text


def test_a_number_that_is_not_finite_stops_the_run_with_its_step_and_the_last_checkpoint():
    trainer = make_trainer(optimizer=lambda: keras.optimizers.SGD(1e6))
    with pytest.raises(
        RunError, match=r"is not finite at step \d+; (no checkpoint was|the last good checkpoint is of step \d+)"
    ):
        fit(trainer, epochs=100)
