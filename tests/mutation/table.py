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


IW = "estimators/test_importance.py"
WIRING = "training/test_wiring.py"
TRAINER = "training/test_trainer.py"
RELAX = "posteriors/test_relaxations.py"
STATISTICS = "evaluation/test_statistics.py"
ESTIMATORS = "estimators/test_estimators.py"

_ROWS = [
    (
        "β is applied twice",
        "particles.py",
        "log_posterior=log_posterior, kl_weight=1.0)",
        "log_posterior=log_posterior)",
        WIRING,
    ),
    (
        "log weight adds log q",
        "particles.py",
        "self.log_likelihood + log_prior - log_posterior",
        "self.log_likelihood + log_prior + log_posterior",
        ESTIMATORS,
    ),
    (
        "log ratio has the wrong sign",
        "particles.py",
        "return log_posterior - log_prior\n",
        "return log_prior - log_posterior\n",
        ESTIMATORS,
    ),
    (
        "means over samples ignore masses",
        "particles.py",
        "tf.reduce_sum(self.mass * values, axis=1)",
        "tf.reduce_mean(values, axis=1)",
        "models/test_enumerated.py",
    ),
    (
        "bound of the mean, not mean of the weights",
        "particles.py",
        "return self.log_mean_exp(self.log_weight)",
        "return self.mean(self.log_weight)",
        IW,
    ),
    (
        "tempering forgets the prior",
        "particles.py",
        "else self.beta * self.log_prior",
        "else self.log_prior",
        f"{IW} {WIRING}",
    ),
    (
        "score keeps the path of z",
        "particles.py",
        "self.posterior.log_prob(tf.stop_gradient(self.z), self.noise.posterior)",
        "self.posterior.log_prob(self.z, self.noise.posterior)",
        "estimators/test_score.py",
    ),
    ("log q at moving φ", "particles.py", "self.posterior.stopped().log_prob", "self.posterior.log_prob", IW),
    (
        "DReG weights not squared",
        "estimators/importance.py",
        "particles.beta * weight**2",
        "particles.beta * weight",
        IW,
    ),
    (
        "DReG weights pass a gradient",
        "estimators/importance.py",
        "tf.stop_gradient(tf.nn.softmax(log_weight, axis=1))",
        "tf.nn.softmax(log_weight, axis=1)",
        IW,
    ),
    (
        "DReG normalizes over data",
        "estimators/importance.py",
        "tf.nn.softmax(log_weight, axis=1)",
        "tf.nn.softmax(log_weight, axis=0)",
        IW,
    ),
    (
        "MIWAE swaps M and S",
        "estimators/importance.py",
        "[-1, self.outer, self.samples]",
        "[-1, self.samples, self.outer]",
        IW,
    ),
    (
        "PIWAE trains φ on θ's bound",
        "estimators/importance.py",
        "inference=-super().bound(tempered)",
        "inference=-self.bound(tempered)",
        IW,
    ),
    (
        "further KL samples are not used",
        "estimators/elbo.py",
        "if particles.noise.divergence is None:",
        "if True:",
        ESTIMATORS,
    ),
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
        'self._seed("permutation", epoch)',
        'self._seed("permutation", 0)',
        TRAINER,
    ),
    (
        "binarization is the same at every step",
        "training/batches.py",
        'self._seed("binarization", step)',
        'self._seed("binarization", 0)',
        WIRING,
    ),
    (
        "noise is the same at every step",
        "training/batches.py",
        'return self.model.noise(self.draws, index, random.seed(self.seed, "train"), step)',
        'return self.model.noise(self.draws, index, random.seed(self.seed, "train"), 0)',
        f"{TRAINER} {WIRING}",
    ),
    (
        "noise has seed 0",
        "training/batches.py",
        'return self.model.noise(self.draws, index, random.seed(self.seed, "train"), step)',
        'return self.model.noise(self.draws, index, random.seed(0, "train"), step)',
        WIRING,
    ),
    ("fixed noise of the first B data", "training/batches.py", "tf.gather(t, index)", "t[: len(index)]", TRAINER),
    (
        "the epoch of the next step",
        "training/batches.py",
        "now = step * self.batch_size // self.size",
        "now = (step + 1) * self.batch_size // self.size",
        TRAINER,
    ),
    (
        "negative log-likelihood has the wrong sign",
        "training/step.py",
        '"train/nll": -_mean',
        '"train/nll": _mean',
        f"{TRAINER} {WIRING}",
    ),
    (
        "train/elbo adds the KL",
        "training/step.py",
        '-metrics["train/nll"] - metrics["train/kl"]',
        '-metrics["train/nll"] + metrics["train/kl"]',
        f"{TRAINER} {WIRING}",
    ),
    (
        "train/kl of samples has the wrong sign",
        "training/step.py",
        '{"train/kl": particles.mean(particles.log_ratio)}',
        '{"train/kl": -particles.mean(particles.log_ratio)}',
        WIRING,
    ),
    (
        "β of the next step",
        "training/step.py",
        "tf.cast(self._beta(step), keras",
        "tf.cast(self._beta(step + 1), keras",
        f"{TRAINER} {WIRING}",
    ),
    (
        "KL factors are ignored",
        "training/step.py",
        "self.beta(step) * batch.kl_weight",
        "self.beta(step)",
        f"{TRAINER} models/test_context.py",
    ),
    (
        "data weights are ignored",
        "training/step.py",
        "loss if weight is None else weight * loss",
        "loss",
        f"{TRAINER} {WIRING}",
    ),
    ("update_every is off by one", "training/step.py", "step % every == 0", "step % every == 1", f"{TRAINER} {WIRING}"),
    ("update_every is ignored", "training/step.py", "self._update_every.get(group, 1)", "1", f"{TRAINER} {WIRING}"),
    (
        "losses are sums over data",
        "training/step.py",
        "mean = tf.reduce_mean(values)",
        "mean = tf.reduce_sum(values)",
        f"{TRAINER} {WIRING}",
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
        "Gumbel-softmax multiplies by the temperature",
        "posteriors/relaxations.py",
        "discrete.gumbel(eps)) / temperature",
        "discrete.gumbel(eps)) * temperature",
        RELAX,
    ),
    (
        "Concrete forgets the temperature",
        "posteriors/relaxations.py",
        "(logits - discrete.logistic(eps)) / temperature",
        "logits - discrete.logistic(eps)",
        RELAX,
    ),
    (
        "logistic scale inverted",
        "posteriors/relaxations.py",
        "tfd.Logistic(logits / temperature, 1 / temperature)",
        "tfd.Logistic(logits / temperature, temperature)",
        RELAX,
    ),
    (
        "straight-through passes no gradient",
        "posteriors/relaxations.py",
        "(soft - tf.stop_gradient(soft))",
        "tf.stop_gradient(soft - soft)",
        RELAX,
    ),
    (
        "straight-through values are soft",
        "posteriors/relaxations.py",
        "hard + (soft - tf.stop_gradient(soft))",
        "soft",
        RELAX,
    ),
    (
        "temperature of the next step",
        "posteriors/relaxations.py",
        "self.temperature(step), self",
        "self.temperature(step + 1), self",
        RELAX,
    ),
    (
        "relaxed KL adds log p",
        "posteriors/relaxations.py",
        "self._log_prob_per_variable(z) - prior.log",
        "self._log_prob_per_variable(z) + prior.log",
        RELAX,
    ),
    (
        "all groups have the common optimizer",
        "runs/build.py",
        "{**common, **(settings.get(group) or {})}",
        "common",
        WIRING,
    ),
    (
        "the model's seed is 0",
        "runs/build.py",
        'keras.utils.set_random_seed(config["seed"])',
        "keras.utils.set_random_seed(0)",
        WIRING,
    ),
    ("β is 1", "runs/build.py", 'beta = config["trainer"]["beta"]', "beta = 1.0", WIRING),
]

MISTAKES = [Mistake(*row) for row in (*_ROWS, *parts.ROWS, *estimation.ROWS, *runs.ROWS)]
