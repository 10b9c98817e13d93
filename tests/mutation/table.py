"""The mistakes that the fast tests ought to catch: mathematics, seeds, steps and wiring."""

from typing import NamedTuple

from tests.mutation import estimation, parts, runs


class Mistake(NamedTuple):
    """One mistake.

    Attributes:
        name: what is wrong.
        file: the file of `vi/`.
        before: a text that occurs once in it.
        after: the text that replaces it.
        tests: the test files, separated by spaces, that ought to catch it.
    """

    name: str
    file: str
    before: str
    after: str
    tests: str


WIRING = "training/test_wiring.py"
TRAINER = "training/test_trainer.py"
STATISTICS = "evaluation/test_statistics.py"

_ROWS = [
    (
        "all streams are the same",
        "random.py",
        "tf.constant([number, STREAMS[stream]], tf.int32)",
        "tf.constant([number, 0], tf.int32)",
        "test_random.py",
    ),
    ("normals lose their sign", "random.py", "tf.where(u < 0, lower, -lower)", "lower", "test_random.py"),
    ("normals lack √2", "random.py", "math.sqrt(2.0) * tf.math.erfinv", "tf.math.erfinv", "test_random.py"),
    (
        "Bernoulli threshold reversed",
        "random.py",
        "probability.shape) < threshold",
        "probability.shape) >= threshold",
        "test_random.py",
    ),
    (
        "folds ignore their number",
        "random.py",
        "tf.random.fold_in(seed, tf.cast(number, tf.int32)",
        "tf.random.fold_in(seed, tf.cast(0, tf.int32)",
        "test_random.py",
    ),
    (
        "the same order in every epoch",
        "training/batches.py",
        'random.seed(self.seed, "permutation"), epoch, self._epochs)',
        'random.seed(self.seed, "permutation"), 0, self._epochs)',
        f"{TRAINER}::test_batches_follow_an_endless_sequence_of_permutations",
    ),
    (
        "binarization is the same at every step",
        "training/batches.py",
        'self._seed("binarization", step)',
        'self._seed("binarization", 0)',
        f"{WIRING}::test_dynamic_binarization_and_fresh_noise_are_new_at_every_step",
    ),
    (
        "noise is the same at every step",
        "training/batches.py",
        'return self.model.noise(self.draws, index, random.seed(self.seed, "train"), step)',
        'return self.model.noise(self.draws, index, random.seed(self.seed, "train"), 0)',
        f"{WIRING}::test_dynamic_binarization_and_fresh_noise_are_new_at_every_step",
    ),
    (
        "noise has seed 0",
        "training/batches.py",
        'return self.model.noise(self.draws, index, random.seed(self.seed, "train"), step)',
        'return self.model.noise(self.draws, index, random.seed(0, "train"), step)',
        f"{WIRING}::test_training_noise_follows_the_seed_of_the_run_and_not_of_the_data",
    ),
    (
        "fixed noise of the first B data",
        "training/batches.py",
        "tf.gather(t, index)",
        "t[: len(index)]",
        f"{TRAINER}::test_fixed_noise_belongs_to_the_datum_and_fresh_noise_to_the_step",
    ),
    (
        "the epoch of the next step",
        "training/batches.py",
        "self._start = epoch * self.size",
        "self._start = (epoch + 1) * self.size",
        f"{TRAINER}::test_batches_follow_an_endless_sequence_of_permutations",
    ),
    (
        "negative log-likelihood has the wrong sign",
        "training/step.py",
        '"train/nll": -particles.mean',
        '"train/nll": particles.mean',
        f"{WIRING}::test_the_logged_terms_have_the_signs_of_their_names",
    ),
    (
        "train/elbo adds the KL",
        "training/step.py",
        '-metrics["train/nll"] - metrics["train/kl"]',
        '-metrics["train/nll"] + metrics["train/kl"]',
        f"{WIRING}::test_the_logged_terms_have_the_signs_of_their_names",
    ),
    (
        "train/kl of samples has the wrong sign",
        "training/step.py",
        '{"train/kl": particles.mean(particles.log_ratio)}',
        '{"train/kl": -particles.mean(particles.log_ratio)}',
        f"{WIRING}::test_a_kl_without_closed_form_is_logged_from_samples",
    ),
    (
        "β of the next step",
        "training/step.py",
        "tf.cast(self._beta(step), keras",
        "tf.cast(self._beta(step + 1), keras",
        f"{WIRING}::test_an_estimator_sees_the_weight_of_the_step",
    ),
    (
        "KL factors are ignored",
        "training/step.py",
        "self.beta(step) * batch.kl_weight",
        "self.beta(step)",
        f"{TRAINER}::test_weights_of_the_kl_of_each_datum_multiply_beta_and_follow_the_data",
    ),
    (
        "data weights are ignored",
        "training/step.py",
        "loss if weight is None else weight * loss",
        "loss",
        f"{TRAINER}::test_weights_of_data_weigh_their_losses_once",
    ),
    (
        "update_every is off by one",
        "training/step.py",
        "step % every == 0",
        "step % every == 1",
        f"{TRAINER}::test_a_group_may_be_updated_at_every_nth_step_only",
    ),
    (
        "update_every is ignored",
        "training/step.py",
        "self._update_every.get(group, 1)",
        "1",
        f"{WIRING}::test_a_group_with_an_interval_of_two_moves_in_every_second_step_alone",
    ),
    (
        "losses are sums over data",
        "training/step.py",
        "mean = tf.reduce_mean(values)",
        "mean = tf.reduce_sum(values)",
        f"{TRAINER}::test_one_step_of_sgd_follows_the_gradient_of_the_mean_loss",
    ),
    (
        "moving averages are not updated",
        "training/step.py",
        "variable.assign(value)",
        "pass",
        "training/test_layers.py",
    ),
    ("penalties are left out", "training/step.py", "mean += penalty", "pass", "training/test_layers.py"),
    (
        "baselines never learn",
        "training/step.py",
        "self.estimator.update(particles)",
        "pass",
        "estimators/test_score.py",
    ),
    (
        "cycles never end",
        "training/schedules.py",
        "step < self.cycles * self.period",
        "step >= 0",
        "training/test_schedules.py",
    ),
    ("a cycle rises too slowly", "training/schedules.py", "within / self.rise", "within", "training/test_schedules.py"),
    (
        "temperature rises",
        "training/schedules.py",
        "ops.exp(-self.rate",
        "ops.exp(self.rate",
        "training/test_schedules.py",
    ),
    (
        "temperature is bounded above",
        "training/schedules.py",
        "ops.maximum(ops.exp",
        "ops.minimum(ops.exp",
        "training/test_schedules.py",
    ),
    ("ESS lacks the square", "evaluation/statistics.py", "total**2 / squares", "total / squares", STATISTICS),
    (
        "the bound lacks log S",
        "evaluation/statistics.py",
        "np.log(total) - math.log(self.count)",
        "np.log(total)",
        STATISTICS,
    ),
    (
        "variance with ddof 0",
        "evaluation/statistics.py",
        "np.float64(self.count - 1)",
        "np.float64(self.count)",
        STATISTICS,
    ),
    (
        "variance of a sample, not of the mean",
        "evaluation/statistics.py",
        "self.square / self.count / np",
        "self.square / np",
        STATISTICS,
    ),
    (
        "merged means weigh the wrong set",
        "evaluation/statistics.py",
        "self.mean + difference * other.count / count",
        "self.mean + difference * self.count / count",
        STATISTICS,
    ),
    (
        "merged squares lack the difference",
        "evaluation/statistics.py",
        "self.square + other.square + difference**2 * self.count * other.count / count",
        "self.square + other.square",
        STATISTICS,
    ),
    (
        "merged Σw² rescaled as Σw",
        "evaluation/statistics.py",
        "np.array([[1], [2]])",
        "np.array([[1], [1]])",
        STATISTICS,
    ),
    (
        "neighbours fitted on the judged data",
        "evaluation/probes.py",
        ".fit(train_means, train_labels).score",
        ".fit(means, labels).score",
        "evaluation/test_probes.py",
    ),
    (
        "regression fitted on the judged data",
        "evaluation/probes.py",
        "probe.fit(train_means.astype(np.float64), train_labels)",
        "probe.fit(means.astype(np.float64), labels)",
        "evaluation/test_probes.py",
    ),
    (
        "all groups have the common optimizer",
        "runs/build.py",
        "{**common, **(settings.get(group) or {})}",
        "common",
        f"{WIRING}::test_a_setting_changes_what_it_is_for",
    ),
    (
        "the model's seed is 0",
        "runs/build.py",
        'keras.utils.set_random_seed(config["seed"])',
        "keras.utils.set_random_seed(0)",
        f"{WIRING}::test_initial_weights_follow_the_seed_of_the_run",
    ),
    (
        "β is 1",
        "runs/build.py",
        'config["optimizer"], factor, every), beta)',
        'config["optimizer"], factor, every), 1.0)',
        f"{WIRING}::test_the_trainer_of_a_config_has_its_seed_its_beta_and_its_noise",
    ),
]

MISTAKES = [Mistake(*row) for row in (*_ROWS, *parts.ROWS, *estimation.ROWS, *runs.ROWS)]
