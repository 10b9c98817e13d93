"""The loop over evaluations: when it evaluates, what it keeps, and when it stops."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import models
from tests.support.extensions import Adversarial, ImplicitPosterior
from tests.support.runs import eagerly
from tests.support.training import make_trainer, weights
from vi.errors import Interrupted, RunError
from vi.estimators import MonteCarloKL
from vi.loggers.base import Logger
from vi.particles import Losses
from vi.training import fit as loop
from vi.training.checkpoints import Checkpoints

pytestmark = pytest.mark.usefixtures("eagerly")


class Memory(Logger):
    """Remembers what it was told; stands for checkpoints, too."""

    def __init__(self):
        self.rows, self.saved, self.steps = [], [], []

    def log(self, row):
        self.rows.append(dict(row))

    def progress(self, progress):
        self.steps.append(progress.step)

    def save(self, step, state):
        self.saved.append((step, state["best_step"]))


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


@pytest.mark.parametrize(("epochs", "count"), [(0.5, 5), (2, 5), (10, 10), (200, 50)])
def test_unless_it_is_told_otherwise_it_evaluates_5_to_50_times(epochs, count):
    every = loop.interval_of(epochs)
    assert epochs / every == pytest.approx(count)
    assert every == 1 or not 5 <= epochs <= 50


def test_a_resumed_run_keeps_its_interval():
    trainer = make_trainer(batch_size=3)  # 30 data: 10 steps an epoch
    progress, memory = fit(trainer, epochs=1)
    assert [row["step"] for row in memory.rows] == [2, 4, 6, 8, 10]
    _, memory = fit(trainer, epochs=2, progress=progress)
    assert [row["step"] for row in memory.rows] == [12, 14, 16, 18, 20]


@pytest.mark.parametrize("steps_per_call", [1, 4, 1000, "auto"])
def test_calls_end_at_evaluations(steps_per_call):
    _, memory = fit(make_trainer(), epochs=3, evaluate_every=1.5, steps_per_call=steps_per_call)
    assert [row["step"] for row in memory.rows] == [7, 13]
    if isinstance(steps_per_call, int):
        assert max(np.diff([0, *memory.steps])) <= steps_per_call


def test_each_evaluation_is_saved_with_the_step_of_the_best():
    progress, memory = fit(make_trainer(batch_size=30), [1.0, 3.0, 2.0, 3.0, 4.0], epochs=5)
    assert memory.saved == [(1, 1), (2, 2), (3, 2), (4, 2), (5, 5)]
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
    assert memory.saved == [(1, 1)]


def test_advice_on_the_learning_rate_is_given_after_the_first_step_only():
    assert "optimizer.learning_rate" in str(loop.NotFinite("step 1 is not finite", None, 1))
    at_the_start = str(loop.NotFinite("step 0 is not finite", None, 0))
    assert "data.standardize=true" in at_the_start
    assert "learning_rate" not in at_the_start


def test_a_warm_up_that_does_not_end_is_said(caplog):
    def warnings(decay_steps):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            beta = keras.optimizers.schedules.PolynomialDecay(0.0, decay_steps, 1.0)
            fit(make_trainer(MonteCarloKL(1), batch_size=30, beta=beta), epochs=5)
        return "".join(record.getMessage() for record in caplog.records if record.name == loop.__name__)

    assert "trainer.beta does not end within this run: beta is 0.08 at the last step, 4, and goes on to 1" in warnings(
        50
    )
    assert warnings(4) == ""


def test_a_warm_up_that_early_stopping_cuts_off_is_said(caplog):
    beta = keras.optimizers.schedules.PolynomialDecay(0.0, 4, 1.0)
    trainer = make_trainer(MonteCarloKL(1), batch_size=30, beta=beta)
    fit(trainer, [2.0, 1.0, 1.0, 1.0, 1.0, 1.0], epochs=6, patience=1)
    assert "trainer.beta does not end within this run: beta is 0.25 at the last step, 1" in caplog.text


class Broken(MonteCarloKL):
    """Is not finite at the steps `at`."""

    def __init__(self, *at):
        super().__init__(1)
        self.at = at

    def losses(self, particles, step):
        loss = super().losses(particles, step).generative
        bad = tf.reduce_any(tf.equal(step, tf.constant(self.at, tf.int64)))
        loss += tf.where(bad, np.nan, 0.0)
        return Losses(loss, loss)


def test_a_step_that_is_not_finite_stops_the_run_and_names_the_last_good_checkpoint():
    trainer = make_trainer(Broken(3), batch_size=30)
    with pytest.raises(loop.NotFinite, match="the last good checkpoint is of step 2") as error:
        fit(trainer, epochs=10, evaluate_every=2)
    assert (error.value.saved, int(trainer.step.numpy())) == (2, 3)


@pytest.mark.parametrize("steps_per_call", [1, 4, "auto"])
def test_steps_that_are_not_finite_may_be_skipped_and_are_counted(steps_per_call):
    trainer = make_trainer(Broken(0, 3, 4, 9), batch_size=30)
    progress, memory = fit(trainer, epochs=10, evaluate_every=5, nonfinite="skip", steps_per_call=steps_per_call)
    assert [row["skipped_steps"] for row in memory.rows] == [3, 4]
    assert (progress.step, progress.skipped) == (10, 4)
    assert int(trainer.optimizers["inference"].iterations) == 6
    assert np.isfinite(weights(trainer)).all()


def test_where_no_step_is_finite_skipping_ends():
    with pytest.raises(RunError, match="no step after step 2 is finite; the last good checkpoint is of step 2"):
        fit(make_trainer(Broken(2, 3), batch_size=30), epochs=4, evaluate_every=2, nonfinite="skip")


class Stop:
    """Interrupts at the n-th question."""

    def __init__(self, n):
        self.left = n

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            raise Interrupted(15)


@pytest.fixture(scope="module")
def uninterrupted():
    """The rows and the weights of a training that nothing interrupts."""
    trainer, memory = make_trainer(batch_size=30), Memory()
    with eagerly():
        fit_to_8(trainer, lambda: None, memory, memory, None)
    return memory.rows, weights(trainer)


@pytest.mark.parametrize(
    "stop", [stop if stop in (1, 6, 12) else pytest.param(stop, marks=pytest.mark.slow) for stop in range(1, 13)]
)
def test_an_interruption_saves_where_the_run_stands_and_the_rest_is_the_same(tmp_path, stop, uninterrupted):
    """Interrupted between calls, or while it evaluates or diagnoses, and gone on with: the same rows and weights."""
    check, rows, progress = Stop(stop), [], None
    trainer, memory = make_trainer(batch_size=30), Memory()
    checkpoints = Checkpoints(tmp_path, trainer.state)
    with pytest.raises(Interrupted):
        fit_to_8(trainer, check, checkpoints, memory, None)
    rows += memory.rows
    trainer, memory = make_trainer(batch_size=30), Memory()
    checkpoints = Checkpoints(tmp_path, trainer.state)
    progress = loop.Progress(**checkpoints.restore("last"))
    progress = fit_to_8(trainer, check, checkpoints, memory, progress)
    rows += memory.rows
    expected_rows, expected_weights = uninterrupted
    assert [row["step"] for row in rows] == [2, 4, 6, 8]
    for row, expected in zip(rows, expected_rows, strict=True):
        assert {**row, "seconds": 0} == pytest.approx({**expected, "seconds": 0}, rel=1e-4)
    assert (progress.best, progress.best_step) == (8.0, 8)
    np.testing.assert_allclose(weights(trainer), expected_weights, rtol=1e-4, atol=1e-6)


def fit_to_8(trainer, check, checkpoints, memory, progress):
    def validate():
        check()
        value = float(trainer.step.numpy())
        return dict.fromkeys([f"validation/{name}" for name in ("nll", "kl", "elbo", "iw_bound")], value)

    def diagnose(due):
        check()
        return {"gradient_snr/generative": float(trainer.step.numpy()) if due else None}

    options = {"epochs": 8, "evaluate_every": 2, "steps_per_call": 1, "diagnose": diagnose, "diagnose_every": 2}
    return loop.fit(trainer, validate, checkpoints, [memory], progress=progress, check=check, **options)


def test_a_run_that_is_gone_on_with_counts_its_time_and_its_patience_on():
    trainer = make_trainer(batch_size=30)
    trainer.run(2)
    trainer.averages()
    begun = loop.Progress(step=2, evaluated=2, seconds=1000.0, best=9.0, best_step=1, stale=1)
    progress, memory = fit(trainer, [1.0, 1.0, 1.0], epochs=9, patience=3, progress=begun)
    assert [row["step"] for row in memory.rows] == [3, 4]
    assert memory.rows[0]["seconds"] > 1000
    assert (progress.best_step, progress.stale) == (1, 3)
    again, memory = fit(trainer, epochs=9, patience=3, progress=progress)
    assert memory.rows == []
    assert again.step == 4
