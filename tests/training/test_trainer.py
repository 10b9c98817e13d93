"""The train step and its compiled loop: exact, reproducible, and each group by its own loss and optimizer."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import models
from tests.support.extensions import Adversarial
from tests.support.training import differentiate, make_trainer, weights
from vi.data import Dataset
from vi.errors import ConfigError, RunError
from vi.estimators import IWAE, AnalyticKL, Estimator, MonteCarloKL
from vi.particles import Losses
from vi.training.batches import WINDOW_STEPS
from vi.training.step import take_gradients


def indices_of(trainer, steps):
    """The batches of the steps, [steps, B], by running the loop with a train step that only looks."""
    seen = []

    def look(batch, noise, step):
        tf.py_function(lambda i: seen.append(i.numpy()), [batch.index], [])
        return {name: tf.constant(0.0) for name in trainer.metric_names}

    look.require_all = lambda: None
    trainer.train_step = look
    for count in steps:
        trainer.run(count)
    return np.array(seen)


@pytest.mark.parametrize("batch_size", [7, 10, 29, 30])
def test_batches_follow_an_endless_sequence_of_permutations(batch_size):
    trainer = make_trainer(batch_size=batch_size, jit=False)  # N = 30
    batches = indices_of(trainer, [1, 30, 4, 25])
    sequence = batches.ravel()
    epochs = len(sequence) // 30
    orders = sequence[: epochs * 30].reshape(epochs, 30)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(30), [epochs, 1]))
    assert len({tuple(order) for order in orders}) == epochs
    np.testing.assert_array_equal([trainer.batches.index(step) for step in range(60)], batches)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(
        ConfigError, match=r"trainer\.batch_size=31: exceeds the 30 training data that are not held out"
    ):
        make_trainer(batch_size=31)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(0.01),
        pytest.param(lambda: keras.optimizers.RMSprop(0.01), marks=pytest.mark.slow),
        pytest.param(lambda: keras.optimizers.SGD(0.01, momentum=0.9, global_clipnorm=0.5), marks=pytest.mark.slow),
    ],
)
def test_under_xla_the_result_is_bit_identical_for_any_split_into_calls(optimizer):
    results = []
    for split, block in (([40], 1), ([1, 13, 26], 1), ([20, 20], 8)):
        trainer = make_trainer(optimizer=optimizer, jit=True, block=block)
        for steps in split:
            trainer.run(steps)
        results.append((weights(trainer), trainer.sums.numpy()))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0][0], other[0])
        np.testing.assert_array_equal(results[0][1], other[1])


def test_xla_knows_the_length_of_the_training_loop_and_finds_no_branch_in_it():
    trainer = make_trainer(optimizer=lambda: keras.optimizers.Adam(0.01, global_clipnorm=1.0), jit=True, block=8)
    assert trainer.run(40)
    window, _ = trainer.batches.window(40, 8)
    program = trainer._loop.function.experimental_get_compiler_ir(window, tf.constant(1, tf.int64), 8)
    text = program(stage="optimized_hlo")
    assert '"known_trip_count":{"n":"8"}' in text
    assert " conditional(" not in text
    assert trainer.run(43)
    assert trainer.programs == 2, "a block, and the steps that are left over"


def test_a_window_of_orders_is_made_anew_where_it_ends():
    steps = 3 * WINDOW_STEPS
    trainer = make_trainer(batch_size=models.dataset().train.x.shape[0])
    batches, served = trainer.batches, 0
    while served < steps:
        window, count = batches.window(served, steps - served)
        assert count <= steps - served
        for step in {served, served + count - 1}:
            batch, _ = batches.next(tf.constant(step, tf.int64), window)
            np.testing.assert_array_equal(batch.index, batches.index(step))
        served += count
    assert served == steps


def test_with_and_without_xla_agree_to_rounding():
    results = []
    for jit in (True, False):
        trainer = make_trainer(jit=jit)
        trainer.run(20)
        results.append(weights(trainer))
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


def test_the_seed_changes_noise_and_order():
    results = []
    for seed in (0, 0, 1):
        trainer = make_trainer(seed=seed)
        trainer.run(5)
        results.append(weights(trainer))
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_double_precision_trains_in_double_precision(double):
    data = Dataset({"x_train": models.data(40)}, "data", validation=0.25)
    trainer = make_trainer(data=data)
    trainer.run(5)
    assert {v.dtype for v in trainer.model.variables} == {"float64"}
    assert np.isfinite(weights(trainer)).all()


def test_one_step_of_sgd_follows_the_gradient_of_the_mean_loss():
    trainer = make_trainer(AnalyticKL(4), optimizer=lambda: keras.optimizers.SGD(0.1), batch_size=30)
    before = weights(trainer)
    index = tf.range(30)
    noise = trainer.batches.noise(index, tf.constant(0, tf.int64))
    x = tf.constant(trainer.batches.data.train.x)
    with tf.GradientTape() as tape:
        shuffled = trainer.model.particles(tf.gather(x, trainer.batches.index(0)), noise)
        loss = tf.reduce_mean(trainer.estimator.losses(shuffled, 0).generative)
    flat = [v.value for group in trainer.variables.values() for v in group]
    expected = before - 0.1 * models.flatten(tape.gradient(loss, flat))
    trainer.run(1)
    np.testing.assert_allclose(weights(trainer), expected, rtol=1e-4, atol=1e-6)


def test_equal_losses_take_one_backward_pass_and_different_ones_their_own():
    variables = {"generative": [keras.Variable(2.0)], "inference": [keras.Variable(3.0)]}
    a, b = (v[0].value for v in variables.values())
    with tf.GradientTape(persistent=True) as tape:
        both, other = a * b, a * b**2
    passes, real = [], tape.gradient
    tape.gradient = lambda *arguments, **options: (passes.append(1), real(*arguments, **options))[1]
    shared = take_gradients(tape, {"generative": both, "inference": both}, variables)
    assert [float(g[0]) for g in shared.values()] == [3.0, 2.0]
    assert len(passes) == 1
    split = take_gradients(tape, {"generative": both, "inference": other}, variables)
    assert [float(g[0]) for g in split.values()] == [3.0, 12.0]
    assert len(passes) == 3
    disconnected = take_gradients(tape, {"generative": b * 1.0, "inference": both}, variables)
    assert float(disconnected["generative"][0]) == 0.0


def test_gradients_are_clipped_by_their_global_norm_and_logged_before():
    trainer = make_trainer(optimizer=lambda: keras.optimizers.SGD(1.0, global_clipnorm=0.01))
    before = {group: models.flatten(v) for group, v in trainer.variables.items()}
    trainer.run(1)
    averages = trainer.averages()
    for group, v in trainer.variables.items():
        assert np.linalg.norm(models.flatten(v) - before[group]) == pytest.approx(0.01, rel=1e-3)
        assert averages[f"gradient_norm/{group}"] > 0.1


class OfTheta(IWAE):
    """A loss of θ alone: φ's is constant."""

    def losses(self, particles, step):
        loss = -self.bound(particles)
        return Losses(generative=loss, inference=0 * loss)


def test_a_loss_of_theta_moves_decoder_and_prior_alone():
    trainer = make_trainer(OfTheta(3), optimizer=lambda: keras.optimizers.SGD(0.01))
    before = [v.numpy() for v in (*trainer.model.generative_variables, *trainer.model.inference_variables)]
    trainer.run(1)
    after = [v.numpy() for v in (*trainer.model.generative_variables, *trainer.model.inference_variables)]
    moved = [not np.array_equal(*pair) for pair in zip(before, after, strict=True)]
    theta = len(trainer.model.generative_variables)
    assert moved == [True] * theta + [False] * (len(moved) - theta)


class Twice(IWAE):
    """Different losses for θ and φ: φ's is twice θ's."""

    def losses(self, particles, step):
        loss = -self.bound(particles)
        return Losses(generative=loss, inference=2 * loss)


def test_each_group_follows_its_own_loss():
    changes = []
    for estimator in (IWAE(3), Twice(3)):
        trainer = make_trainer(estimator, optimizer=lambda: keras.optimizers.SGD(0.01))
        before = {g: models.flatten(v) for g, v in trainer.variables.items()}
        trainer.run(1)
        changes.append({g: models.flatten(v) - before[g] for g, v in trainer.variables.items()})
    np.testing.assert_allclose(changes[1]["generative"], changes[0]["generative"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(changes[1]["inference"], 2 * changes[0]["inference"], rtol=1e-3, atol=1e-5)
    assert "train/loss_inference" in make_trainer(Twice(3)).metric_names


@pytest.mark.parametrize("jit", [True, False])
def test_a_group_may_be_updated_at_every_nth_step_only(jit):
    trainer = make_trainer(Adversarial(2), update_every={"generative": 3, "inference": 1, "auxiliary": 2}, jit=jit)
    changed = {group: [] for group in trainer.variables}
    for _ in range(6):
        before = {g: models.flatten(v) for g, v in trainer.variables.items()}
        trainer.run(1)
        for group, v in trainer.variables.items():
            changed[group].append(not np.array_equal(models.flatten(v), before[group]))
    assert changed == {
        "generative": [True, False, False] * 2,
        "inference": [True] * 6,
        "auxiliary": [True, False] * 3,
    }


def test_weights_of_data_weigh_their_losses_once():
    x = models.data(8, "float32")
    doubled = Dataset({"x_train": x, "x_test": x, "weight_train": np.full(8, 2.0)}, "data", validation="test")
    plain = Dataset({"x_train": x, "x_test": x}, "data", validation="test")
    changes = []
    for data in (plain, doubled):
        trainer = make_trainer(data=data, optimizer=lambda: keras.optimizers.SGD(0.01), batch_size=8)
        before = weights(trainer)
        trainer.run(1)
        changes.append((weights(trainer) - before, trainer.averages()))
    np.testing.assert_allclose(changes[1][0], 2 * changes[0][0], rtol=1e-3, atol=1e-5)
    assert changes[1][1]["train/loss"] == pytest.approx(2 * changes[0][1]["train/loss"], rel=1e-5)
    assert changes[1][1]["train/elbo"] == pytest.approx(changes[0][1]["train/elbo"], rel=1e-5)


def test_weights_of_the_kl_of_each_datum_multiply_beta_and_follow_the_data():
    x, kl_weight = models.data(40, "float32"), np.arange(40) / 10
    data = Dataset({"x_train": x, "kl_weight_train": kl_weight}, "test data", validation=0.25)
    np.testing.assert_array_equal(data.train.kl_weight, kl_weight[data.train.index])
    trainer = make_trainer(AnalyticKL(2), data=data, beta=3.0)
    index = tf.constant([5, 0, 17])
    particles, objectives, _ = differentiate(trainer, index, 0)
    expected = 3 * data.train.kl_weight[index.numpy()] * particles.posterior.kl(particles.prior).numpy()
    distortion = -tf.reduce_mean(particles.log_likelihood, 1).numpy()
    np.testing.assert_allclose(objectives.losses.inference, distortion + expected, rtol=1e-5)
    assert data.hash != Dataset({"x_train": x}, "test data", validation=0.25).hash


def test_fixed_noise_belongs_to_the_datum_and_fresh_noise_to_the_step():
    fixed, fresh = (make_trainer(noise=noise) for noise in ("fixed", "fresh"))
    index, again = tf.constant([3, 5, 11]), tf.constant([11, 3, 0])
    first, second = (fixed.batches.noise(i, s).posterior for i, s in ((index, 0), (again, 9)))
    np.testing.assert_array_equal(first.numpy()[[2, 0]], second.numpy()[[0, 1]])
    assert first.shape == (3, 3, models.L)
    assert not np.array_equal(*(fresh.batches.noise(index, step).posterior for step in (0, 1)))
    fixed.run(10)


def test_beta_may_be_a_schedule_of_the_step():
    schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0)
    trainer = make_trainer(MonteCarloKL(1), beta=schedule)
    assert [float(trainer.beta(step)) for step in (0, 5, 10, 20)] == pytest.approx([0, 0.5, 1, 1])
    trainer.run(1)
    averages = trainer.averages()
    assert averages["train/loss"] == pytest.approx(averages["train/nll"], rel=1e-6)  # β = 0 at step 0
    assert averages["train/elbo"] == pytest.approx(-averages["train/nll"] - averages["train/kl"])


def test_the_logged_terms_are_means_over_the_steps():
    one_by_one, at_once = make_trainer(jit=True), make_trainer(jit=True)
    rows = []
    for _ in range(5):
        one_by_one.run(1)
        rows.append(one_by_one.averages())
    at_once.run(5)
    for name, value in at_once.averages().items():
        assert value == pytest.approx(np.mean([row[name] for row in rows]), rel=1e-12), name


@pytest.mark.parametrize(("jit", "block"), [(True, 1), (False, 1), (False, 3)])
def test_a_step_that_is_not_finite_is_not_taken_and_the_state_is_that_before_it(jit, block):
    class Nan(IWAE):
        def losses(self, particles, step):
            loss = -self.bound(particles) + tf.where(step == 4, np.nan, 0.0)
            return Losses(loss, loss)

    trainer, straight = make_trainer(Nan(2), jit=jit, block=block), make_trainer(IWAE(2), jit=jit)
    assert not trainer.run(20)
    assert straight.run(4)
    assert int(trainer.step.numpy()) == 4
    compare = np.testing.assert_array_equal if jit else functools.partial(np.testing.assert_allclose, rtol=1e-4)
    compare(weights(trainer), weights(straight))
    assert trainer.averages() == pytest.approx(straight.averages())
    trainer.skip()
    assert trainer.run(3)
    assert (int(trainer.step.numpy()), trainer.sums.numpy()[-1]) == (8, 3)


@pytest.mark.parametrize("samples", [2, 3, 7])
def test_a_bound_reduced_over_the_data_is_refused_for_any_number_of_samples(samples):
    class Swapped(IWAE):
        def bound(self, particles):
            return tf.reduce_logsumexp(particles.log_weight, axis=0)

    with pytest.raises(ConfigError, match="must be a tensor"):
        make_trainer(Swapped(samples))


WRONG = {
    "scalar bound": (
        lambda self, p: tf.reduce_mean(p.log_weight),
        r"the generative loss .* has shape \(\) for a batch of 2 data",
    ),
    "bound for each sample": (lambda self, p: p.log_weight, r"the generative loss .* has shape \(2, 3\)"),
    "something else": (lambda self, p: -0.5, "the generative loss .* is a float"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_bound_of_the_wrong_shape_is_refused_before_training(name):
    bound, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        make_trainer(type("Wrong", (Estimator,), {"bound": bound, "losses": IWAE.losses})(3))


def test_a_bound_of_the_wrong_shape_is_refused_beside_losses_of_its_own():
    class Wrong(Twice):
        def bound(self, particles):
            return particles.log_weight

        def losses(self, particles, step):
            loss = -IWAE.bound(self, particles)
            return Losses(loss, loss)

    with pytest.raises(ConfigError, match=r"estimator=Wrong: bound has shape \(2, 3\)"):
        make_trainer(Wrong(3))


def test_losses_and_variables_of_other_kinds_are_refused():
    class Pair(IWAE):
        def losses(self, particles, step):
            return -self.bound(particles), -self.bound(particles)

    class Plain(IWAE):
        auxiliary_variables = (tf.Variable(0.0),)

    with pytest.raises(ConfigError, match=r"estimator=Pair: losses must return a vi\.particles\.Losses"):
        make_trainer(Pair(2))
    with pytest.raises(ConfigError, match="estimator=Plain: auxiliary_variables must be Keras variables"):
        make_trainer(Plain(2))


@pytest.mark.slow
def test_out_of_memory_is_a_sentence_with_the_batch_size_and_the_samples():
    with pytest.raises(RunError, match=r"out of memory .*trainer.batch_size=30 and 2000000000 samples"):
        make_trainer(MonteCarloKL(2_000_000_000), batch_size=30, jit=False).run(1)
