"""`check_estimator` passes the estimators of the library, and fails planted mistakes with the right sentence."""

import math
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import vi
from tests.support import extensions, reference
from tests.support.inventory import concrete
from vi import posteriors
from vi.errors import ConfigError
from vi.estimators import (
    IWAE,
    AnalyticKL,
    ChiUpperBound,
    DReG,
    Estimator,
    FDivergence,
    Renyi,
    ReweightedWakeSleep,
    ScoreFunction,
    StickingTheLanding,
    WakeSleep,
)
from vi.models import LatentVariableModel
from vi.ops import log_mean_exp
from vi.particles import Draws, Losses
from vi.testing import Check, Report, bench, check_estimator, checks, expectation, gradients
from vi.testing.bench import Bench
from vi.testing.linear_gaussian import (
    EXACT,
    NEAR,
    OFF,
    SD,
    data,
    log_marginal,
    log_standard_normal,
    precision,
    weights_at,
)

ARGUMENTS = {
    "FDivergence": {"function": "kl_reverse"},
    "MIWAE": {"outer": 2},
    "PIWAE": {"outer": 2},
    "MonteCarloKL": {"divergence_samples": 2},
}
OTHERWISE = [
    (Renyi, {"alpha": -1.0}),
    (Renyi, {"alpha": "max"}),
    (ChiUpperBound, {"form": "exponential", "offset": -8.0}),
    (ScoreFunction, {"baseline": "moving_average"}),
    (ScoreFunction, {"baseline": "learned", "hidden": (4,)}),
    (ScoreFunction, {"baseline": "none"}),
    (ReweightedWakeSleep, {"inference": "both"}),
    (AnalyticKL, {"free_bits": 0.5}),
    (AnalyticKL, {"capacity": 2.0}),
    (FDivergence, {"function": "squared_hellinger", "offset": -8.0}),
]
LIBRARY = sorted(concrete(Estimator), key=lambda each: each.__name__)
TRACED = {"compiled", "unknown batch size"}


@pytest.fixture
def quick(monkeypatch):
    """Fewer noises, and nothing traced: a fifth of the time."""
    monkeypatch.setattr(bench, "REPEATS", 300)
    only(monkeypatch, set(checks.CHECKS) - TRACED - {"update"})


def only(monkeypatch, names):
    chosen = {name: each for name, each in checks.CHECKS.items() if name in {*names, *checks.GATES}}
    monkeypatch.setattr(checks, "CHECKS", chosen)


class Adversarial(extensions.Adversarial):
    """As there."""


@pytest.mark.parametrize("estimator", [*LIBRARY, Adversarial], ids=lambda each: each.__name__)
def test_an_estimator_that_is_right_passes(estimator, quick):
    check_estimator(estimator, **ARGUMENTS.get(estimator.__name__, {})).raise_if_failed()


@pytest.mark.parametrize(("estimator", "arguments"), OTHERWISE, ids=str)
def test_an_estimator_with_arguments_that_are_not_the_defaults_passes(estimator, arguments, quick):
    check_estimator(estimator, **arguments).raise_if_failed()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "arguments"), [*((each, ARGUMENTS.get(each.__name__, {})) for each in LIBRARY), *OTHERWISE], ids=str
)
def test_every_estimator_of_the_library_passes_all_checks(estimator, arguments):
    check_estimator(estimator, **arguments).raise_if_failed()


class NotStopped(IWAE):
    def losses(self, particles, step):
        log_weight = particles.stopped().tempered().log_weight
        weight = tf.nn.softmax(log_weight, axis=1)
        return Losses(
            generative=-tf.reduce_sum(weight * log_weight, axis=1),
            inference=-tf.reduce_sum(weight**2 * log_weight, axis=1),
        )


class SquaredForBoth(IWAE):
    def losses(self, particles, step):
        log_weight = particles.stopped().tempered().log_weight
        weight = tf.stop_gradient(tf.nn.softmax(log_weight, axis=1))
        beta = tf.reshape(tf.cast(particles.kl_weight, weight.dtype), [-1, 1])
        loss = -tf.reduce_sum(((1 - beta) * weight + beta * weight**2) * log_weight, axis=1)
        return Losses(generative=loss, inference=loss)


class AnalyticKLInside(Estimator):
    def bound(self, particles):
        kl = particles.posterior.kl(particles.prior)
        return log_mean_exp(particles.log_likelihood - kl[:, None], axis=1)

    def objective(self, particles, step):
        kl = particles.kl_weight * particles.posterior.kl(particles.prior)
        loss = kl - log_mean_exp(particles.log_likelihood, axis=1)
        return Losses(generative=loss, inference=loss)


class MeanBeforeTheLog(Estimator):
    def bound(self, particles):
        log_ratio = particles.log_posterior - particles.log_prior
        return log_mean_exp(particles.log_likelihood, axis=1) - tf.reduce_mean(log_ratio, axis=1)


class SwappedAxes(Estimator):
    def bound(self, particles):
        return log_mean_exp(particles.log_weight, axis=0)


class WeighedBound(IWAE):
    def bound(self, particles):
        return super().bound(particles.tempered())


class Grouped(Estimator):
    @property
    def draws(self):
        return Draws(posterior=2 * self.samples)

    def bound(self, particles):
        grouped = tf.reshape(particles.log_weight, [-1, 2, self.samples])
        return tf.reduce_mean(log_mean_exp(grouped, axis=2), axis=1)


class NaiveExp(Estimator):
    def bound(self, particles):
        return tf.math.log(tf.reduce_mean(tf.exp(particles.log_weight), axis=1))


class SurrogateAsBound(Estimator):
    def bound(self, particles):
        weight = tf.nn.softmax(particles.log_weight, axis=1)
        return tf.reduce_sum(weight * particles.log_weight, axis=1)


class NoUpperBound(IWAE):
    kind = "upper"

    def objective(self, particles, step):
        tempered = particles.tempered()
        return Losses(generative=-tf.reduce_mean(tempered.log_weight, axis=1), inference=self.bound(tempered))


class Raised(Estimator):
    kind = "upper"

    def bound(self, particles):
        return tf.reduce_mean(tf.exp(particles.log_weight + 8), axis=1) - 9


class NoPrior(Estimator):
    def bound(self, particles):
        return tf.reduce_mean(particles.log_weight, axis=1)

    def losses(self, particles, step):
        loss = -tf.reduce_mean(particles.log_likelihood, axis=1)
        return self.objective(particles, step)._replace(generative=loss)


class StandardPrior(Estimator):
    def bound(self, particles):
        log_prior = log_standard_normal(particles.z)
        return tf.reduce_mean(particles.log_likelihood + log_prior - particles.log_posterior, axis=1)


class Unweighed(IWAE):
    def objective(self, particles, step):
        return Losses(-self.bound(particles), -self.bound(particles))


class ClosedForm(Estimator):
    def bound(self, particles):
        return tf.reduce_mean(particles.log_likelihood, axis=1) - particles.posterior.kl(particles.prior)


class NotANumber(IWAE):
    def bound(self, particles):
        return super().bound(particles) + tf.math.log(0 * particles.z[:, 0, 0] - 1)


class Hidden(IWAE):
    def build(self, event_shape, latent_dim):
        self.average = keras.Variable(0.0, trainable=False, dtype=keras.config.floatx(), name="average")

    def update(self, particles):
        self.average.assign(tf.reduce_mean(particles.log_weight))


class Counting(IWAE):
    seen = 0

    def update(self, particles):
        self.seen += 1


class NoKL(Estimator):
    def bound(self, particles):
        return tf.reduce_mean(particles.log_likelihood, axis=1)


class StoppedBound(Estimator):
    def bound(self, particles):
        return tf.reduce_mean(particles.stopped().log_weight, axis=1)


class Normalized(Estimator):
    def bound(self, particles):
        bound = tf.reduce_mean(particles.log_weight, axis=1)
        return tf.minimum(bound, tf.reduce_mean(bound))


class OwnNoise(Estimator):
    def bound(self, particles):
        return tf.reduce_mean(particles.log_weight, axis=1) - float(tf.random.uniform([]))


class SinglePrecision(Estimator):
    def bound(self, particles):
        return tf.reduce_mean(tf.constant(1.0) * particles.log_weight, axis=1)


class Unnamed(IWAE):
    kind = "Lower"


class ForgottenLoss(IWAE):
    def build(self, event_shape, latent_dim):
        self.baseline = keras.Variable([0.0], dtype=keras.config.floatx())

    @property
    def auxiliary_variables(self):
        return [self.baseline]


class LeakingLoss(ForgottenLoss):
    def losses(self, particles, step):
        losses = super().losses(particles, step)
        return losses._replace(auxiliary=(self.baseline - self.bound(particles)) ** 2)


class ReducedOverAll(Estimator):
    def bound(self, particles):
        return tf.reduce_mean(particles.log_weight)


FIVE = [
    (NotStopped, {"gradient for θ", "gradient for φ"}, "its weights w̃ are not stopped, but need tf.stop_gradient"),
    (SquaredForBoth, {"gradient for θ"}, "it follows Σ w̃² ∇ log w, with φ's weights w̃² of DReG, where w̃ belongs"),
    (AnalyticKLInside, {"expectation"}, "a closed-form KL may stand inside the importance weights"),
    (
        MeanBeforeTheLog,
        {"expectation"},
        "the mean over samples may be taken too early, of outputs or likelihoods before",
    ),
    (
        SwappedAxes,
        {"shape"},
        "for B = 4 data and 5 samples each: reduce over the samples, axis=1; the axes of data",
    ),
    (
        ReducedOverAll,
        {"shape"},
        "bound has shape (); the loss for θ has shape (); the loss for φ has shape () for B = 4 data and 5 samples "
        "each: the trainer takes the mean over the data, so reduce over the samples alone, axis=1.",
    ),
]


class DReGWithoutBeta(IWAE):
    def losses(self, particles, step):
        log_weight = particles.stopped().log_weight
        weight = tf.stop_gradient(tf.nn.softmax(log_weight, axis=1))
        return Losses(
            generative=-tf.reduce_sum(weight * log_weight, axis=1),
            inference=-tf.reduce_sum(weight**2 * log_weight, axis=1),
        )


class UnsaidSleep(WakeSleep):
    objective = Estimator.objective

    def losses(self, particles, step):
        return WakeSleep.objective(self, particles, step)


class ScoreOnThePath(Estimator):
    def bound(self, particles):
        return tf.reduce_mean(particles.log_weight, axis=1)

    def losses(self, particles, step):
        signal = tf.stop_gradient(particles.log_weight)
        others = (tf.reduce_sum(signal, axis=1, keepdims=True) - signal) / (self.samples - 1)
        score = (signal - others) * particles.log_posterior
        joint = particles.log_likelihood + particles.log_prior
        return Losses(generative=-tf.reduce_mean(joint, axis=1), inference=-tf.reduce_mean(score, axis=1))


class PathByMistake(IWAE):
    pathwise = False


class WakeUphill(ReweightedWakeSleep):
    def losses(self, particles, step):
        losses = super().losses(particles, step)
        return losses._replace(inference=-losses.inference)


class Clipped(IWAE):
    def bound(self, particles):
        return log_mean_exp(tf.maximum(particles.log_weight, -50.0), axis=1)


class Stretched(Estimator):
    def bound(self, particles):
        return 1.5 * tf.reduce_mean(particles.log_weight, axis=1)


class Summed(IWAE):
    def bound(self, particles):
        return tf.reduce_logsumexp(particles.log_weight, axis=1)


class Powered(IWAE):
    def bound(self, particles):
        return log_mean_exp(1.5 * particles.log_weight, axis=1) / 1.5


class Uphill(IWAE):
    def losses(self, particles, step):
        loss = self.bound(particles.tempered())
        return Losses(loss, loss)


class AveragedTwice(IWAE):
    def losses(self, particles, step):
        loss = self.objective(particles, step).generative / tf.cast(tf.shape(particles.z)[0], particles.z.dtype)
        return Losses(loss, loss)


class MeanForAll(IWAE):
    def losses(self, particles, step):
        loss = self.objective(particles, step).generative
        loss = 0 * loss + tf.reduce_mean(loss)
        return Losses(loss, loss)


class FirstBeta(IWAE):
    def objective(self, particles, step):
        beta = particles.beta[:1]
        log_weight = particles.log_likelihood + beta * (particles.log_prior - particles.log_posterior)
        loss = -log_mean_exp(log_weight, axis=1)
        return Losses(loss, loss)


class PlainSquares(IWAE):
    def losses(self, particles, step):
        log_weight = particles.stopped().tempered().log_weight
        weight = tf.stop_gradient(tf.nn.softmax(log_weight, axis=1))
        return Losses(
            generative=-tf.reduce_sum(weight * log_weight, axis=1),
            inference=-tf.reduce_sum(weight**2 * log_weight, axis=1),
        )


class Frozen(IWAE):
    def losses(self, particles, step):
        losses = self.objective(particles, step)
        return losses._replace(inference=tf.stop_gradient(losses.inference))


class NoisyLosses(IWAE):
    def losses(self, particles, step):
        losses = self.objective(particles, step)
        return losses._replace(inference=losses.inference + tf.cast(tf.random.uniform([]), losses.inference.dtype))


MORE = [
    (PathByMistake, {"without a path"}, "declare pathwise = True, or give φ a score"),
    (WakeUphill, {"gradient for φ"}, "has it the wrong sign, or a gradient of mean zero?"),
    (
        Clipped,
        {"expectation"},
        "With p(x|z) multiplied by e^-100,000, the bound is on the wrong side of log p(x)",
    ),
    (Stretched, {"expectation"}, "or something may be added to them or multiply them"),
    (Summed, {"expectation"}, "that is log 20; a sum of weights may stand where their mean belongs"),
    (Powered, {"expectation"}, "weights may be raised to a power above 1"),
    (Uphill, {"gradient for θ", "gradient for φ"}, "it follows -1 times that gradient"),
    (AveragedTwice, {"each datum by itself"}, "Losses are divided by B"),
    (MeanForAll, {"each datum by itself"}, "averaged over the batch"),
    (FirstBeta, {"order of data"}, "or the β of one datum taken for all?"),
    (PlainSquares, {"gradients with β"}, "the doubly reparameterized weights of φ are (1 − β) w̃ + β w̃²"),
    (Frozen, {"gradient for φ"}, "its loss has no gradient for φ at all"),
    (NoisyLosses, {"no noise of its own"}, "draw no random number"),
    (WeighedBound, {"β"}, "it must not use particles.kl_weight"),
    (Grouped, {"order of samples"}, "declare exchangeable = False"),
    (NaiveExp, {"extreme weights"}, "stay in log space"),
    (SurrogateAsBound, {"expectation"}, "a surrogate such as Σ w̃ log w may be returned as the bound"),
    (NoUpperBound, {"expectation"}, "should kind be estimate?"),
    (Raised, {"shape"}, 'Raised: kind="upper" needs an `objective`, since −bound would raise the bound.'),
    (NoPrior, {"gradient for θ"}, "no gradient for the parameters of p(z), so a learned prior would not change"),
    (StandardPrior, {"expectation"}, "a density may be missing or wrong"),
    (Unweighed, {"gradients with β"}, "β weighs neither the loss of θ nor the loss of φ, though they depend on p(z)"),
    (ClosedForm, {"gradients with β"}, "or multiply a closed-form KL by particles.kl_weight"),
    (NotANumber, {"finite"}, "not finite at ordinary weights: is there a log of zero"),
    (NoKL, {"expectation"}, "with one sample already; a density may be missing or wrong"),
    (StoppedBound, {"differences by φ"}, "a tf.stop_gradient, or an operation without a gradient, stands in `bound`"),
    (Normalized, {"each datum by itself"}, "depends on the others of its batch"),
    (SinglePrecision, {"double precision"}, "cannot compute Mul as input #1"),
    (Unnamed, {"expectation"}, "must be 'lower', 'upper' or 'estimate'"),
    (ForgottenLoss, {"auxiliary loss"}, "losses give no auxiliary loss"),
    (LeakingLoss, {"auxiliary loss"}, "apply tf.stop_gradient to tensors of the particles"),
    (DReGWithoutBeta, {"gradients with β"}, "losses must use particles.tempered()"),
    (UnsaidSleep, {"gradient for φ"}, "does not follow the gradient of its bound"),
    (ScoreOnThePath, {"gradient for φ", "one sample"}, "is something divided by S − 1?"),
]


def assert_fails(report, names, sentence):
    assert not report
    assert {each.name for each in report.failures} == names
    assert not any("tf.Tensor" in each.meaning for each in report.failures)
    assert any(sentence in each.meaning for each in report.failures), report
    with pytest.raises(AssertionError, match="failed"):
        report.raise_if_failed()


def name_of(value):
    return getattr(value, "__name__", "x")


@pytest.mark.parametrize(("estimator", "names", "sentence"), FIVE, ids=name_of)
def test_a_planted_mistake_fails_its_check_alone_with_the_sentence_that_names_it(estimator, names, sentence, quick):
    assert_fails(check_estimator(estimator), names, sentence)


MEANS = {"expectation", *gradients.NAMES.values(), "gradients with β", "without a path", "a shared variable"}


@pytest.mark.parametrize(("estimator", "names", "sentence"), MORE, ids=name_of)
def test_other_mistakes_fail_with_the_sentence_that_names_them(estimator, names, sentence, quick, monkeypatch):
    only(monkeypatch, names | MEANS if names & MEANS else set(checks.CHECKS) - MEANS)
    assert_fails(check_estimator(estimator), names, sentence)


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "names", "sentence"), FIVE, ids=name_of)
def test_a_planted_mistake_fails_its_check_alone_among_all(estimator, names, sentence):
    assert_fails(check_estimator(estimator), names, sentence)


def test_the_documented_bias_of_sticking_the_landing_is_found(quick, monkeypatch):
    only(monkeypatch, MEANS)
    report = check_estimator(StickingTheLanding, importance_weighted=True)
    assert_fails(report, {"gradient for φ"}, "in a mean of weights the score does not vanish")


def test_an_estimate_of_the_weights_is_not_promised_where_double_overflows(monkeypatch):
    only(monkeypatch, {"extreme weights"})
    check = check_estimator(FDivergence, function="squared_hellinger", offset=-8.0)["extreme weights"]
    assert (check.passed, check.meaning[:13]) == (None, "Not promised:")


def test_losses_that_are_inherited_are_not_compared_with_themselves(quick, monkeypatch):
    only(monkeypatch, MEANS - {"expectation"})
    report = check_estimator(IWAE)
    assert [report[name].passed for name in gradients.NAMES.values()] == [None, None]
    assert report["gradients with β"].passed
    assert report["gradients with β"].meaning.startswith("β, different for each datum, weighs the objective of θ and φ")
    assert check_estimator(Adversarial)["gradients with β"].meaning.startswith("β weighs no loss")


def test_without_an_objective_nothing_is_promised_of_gradients(quick, monkeypatch):
    class Free(IWAE):
        def objective(self, particles, step):
            return Losses(None, None)

        def losses(self, particles, step):
            return IWAE.objective(self, particles, step)

    only(monkeypatch, MEANS - {"expectation"})
    report = check_estimator(Free)
    assert [report[name].passed for name in ("gradient for θ", "gradients with β", "without a path")] == [None] * 3
    assert "whose loss falls on average from q off the true posterior towards it" in report["gradient for φ"].meaning


@pytest.mark.parametrize(("estimator", "what"), [(Hidden, "variable average"), (Counting, "attribute seen")])
def test_an_update_of_what_is_not_saved_is_found(estimator, what, monkeypatch):
    only(monkeypatch, {"update"})
    assert_fails(check_estimator(estimator), {"update"}, f"`update` changes the {what}, which no checkpoint holds")


def test_an_update_of_what_is_saved_passes(monkeypatch):
    only(monkeypatch, {"update"})
    assert check_estimator(ScoreFunction, baseline="moving_average")["update"].passed
    assert check_estimator(IWAE)["update"].passed is None


def test_noise_of_its_own_is_found(monkeypatch):
    only(monkeypatch, {"no noise of its own"})
    assert_fails(check_estimator(OwnNoise), {"no noise of its own"}, "ask for noise in `draws`")


class Numeric(IWAE):
    def bound(self, particles):
        return super().bound(particles) if np.any(particles.z) else None


class KnownBatch(IWAE):
    def bound(self, particles):
        return super().bound(particles) + tf.zeros(particles.z.shape[:1], particles.z.dtype)


@pytest.mark.parametrize(
    ("estimator", "names"),
    [
        (Numeric, TRACED),
        (KnownBatch, {"unknown batch size"}),
        (WakeSleep, set()),
    ],
)
def test_what_cannot_be_traced_is_found(estimator, names, monkeypatch):
    only(monkeypatch, TRACED)
    assert {each.name for each in check_estimator(estimator).failures} == names


class AtLeastTwo(IWAE):
    def __init__(self, samples):
        super().__init__(samples)
        if samples < 2:
            raise ConfigError(f"samples={samples}: must be at least 2.")


class Typo(Estimator):
    def bound(self, particles):
        return particles.nothing


def test_an_error_within_the_estimator_is_a_failed_check_that_says_where():
    report = check_estimator(Typo)
    (failure,) = report.failures
    line = Typo.bound.__code__.co_firstlineno + 1
    error = "AttributeError: 'Particles' object has no attribute 'nothing'"
    assert (failure.name, failure.meaning) == ("shape", f"{error} (test_testing.py, line {line})")
    assert {each.meaning for each in report.checks[1:]} == {"Not checked: see shape."}


def test_an_estimator_may_refuse_one_sample(monkeypatch):
    only(monkeypatch, {"expectation", "one sample"})
    report = check_estimator(AtLeastTwo, samples=3)
    assert report
    assert report["one sample"].meaning == "It refuses samples=1: samples=1: must be at least 2."


def test_a_group_without_an_objective_is_not_checked_against_one(quick, monkeypatch):
    only(monkeypatch, {"gradient for θ", "gradient for φ", "differences by φ"})
    report = check_estimator(ReweightedWakeSleep)
    assert report
    untold = Check("differences by φ", None, "Not promised: it states no objective for φ.")
    assert report["differences by φ"] == untold
    assert report["gradient for φ"].meaning.startswith("It states no objective for φ, whose loss falls on average")
    assert report["gradient for θ"].passed


def test_the_model_is_what_it_is_said_to_be():
    kernel, bias, loc, log_sd = (w[0] for w in weights_at(EXACT)["generative"])
    sd = np.exp(log_sd)
    oracle = reference.LinearGaussian(kernel.T * sd, bias + loc @ kernel, SD)  # of z = m + s u, with u ~ N(0, I)
    x = data(4)
    np.testing.assert_allclose(log_marginal(x), [oracle.log_marginal(each) for each in x], rtol=1e-12)
    with precision("float64"):
        bench = Bench(IWAE, {})
        q = bench.trial(EXACT).particles().posterior.distribution
        particles = bench.trial(OFF).particles()
    for each, mean, variance in zip(x, q.mean()[:, 0], q.variance()[:, 0], strict=True):
        expected = oracle.posterior(each)
        np.testing.assert_allclose(mean, loc + sd * expected[0], rtol=1e-9)
        np.testing.assert_allclose(np.diag(variance), np.outer(sd, sd) * expected[1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(particles.posterior.log_prob(particles.z), particles.log_posterior, rtol=1e-9)
    np.testing.assert_allclose(particles.prior.distribution.log_prob(particles.z), particles.log_prior, rtol=1e-9)
    np.testing.assert_allclose(particles.prior.sample(np.ones((4, 2, 3))), np.broadcast_to(loc + sd, (4, 2, 3)))


@pytest.mark.parametrize("group", ["generative", "inference"])
def test_gradients_by_each_datums_own_weights_add_up_to_that_of_the_shared_ones(group):
    with precision("float64"):
        trial = Bench(IWAE, {}).trial(NEAR)
        (shared,), (own,) = (gradients.gradients(each, gradients.objective(each)) for each in (trial, trial.copies()))
    np.testing.assert_allclose(own[group].sum(axis=0), shared[group][0], rtol=1e-9, atol=1e-12)


def test_a_right_estimator_fails_as_seldom_as_is_said(monkeypatch):
    monkeypatch.setattr(expectation, "FALSE_ALARM", 0.05)
    rng, trials = np.random.default_rng(0), 2000
    for sides in (1, 2):
        found = [expectation.worst_mean(rng.standard_normal((60, 10)), 0.0, 1, sides) for _ in range(trials)]
        alarms = np.mean([expectation.ratio(each) > 1 for each in found])
        assert abs(alarms - 0.05) < 4 * np.sqrt(0.05 * 0.95 / trials)
    assert expectation.ratio(expectation.worst_mean(np.full((9, 2), np.nan), 0.0, 1)) == np.inf


def test_with_skewed_values_it_fails_about_twice_as_often_at_most(monkeypatch):
    monkeypatch.setattr(expectation, "FALSE_ALARM", 0.05)
    rng, trials, power = np.random.default_rng(0), 2000, 1.7
    mean = math.gamma(1 + power)
    draws = (rng.standard_exponential((bench.REPEATS, 10)) ** power for _ in range(trials))  # of kurtosis 43
    found = [expectation.worst_mean(each - mean, 0.0, 1) for each in draws]
    alarms = np.mean([expectation.ratio(each) > 1 for each in found])
    assert alarms < 0.1 + 4 * np.sqrt(0.1 * 0.9 / trials)


def test_the_precision_of_keras_is_left_as_it_was(monkeypatch):
    only(monkeypatch, {"order of data"})
    check_estimator(IWAE)
    assert keras.config.floatx() == keras.config.dtype_policy().name == "float32"


def test_a_report_is_a_table():
    found = (Check("one", True, "Good.", 0.5, 1), Check("two", False, "Bad [B].", 2, 1), Check("three", None, "No."))
    report = Report("Mine(samples=5)", "lower", found, 1.0)
    assert not report.passed
    assert report.failures == found[1:2]
    lines = str(report).splitlines()
    assert lines[0].rstrip() == "Mine(samples=5), kind lower"
    assert [line.split() for line in lines[4:7]] == [
        ["one", "0.5", "1", "passed", "Good."],
        ["two", "2", "1", "failed", "Bad", "[B]."],
        ["three", "–", "No."],
    ]
    assert Report("Mine()", "lower", found[::2], 1.0)


def test_the_module_is_there_after_import_vi():
    assert vi.testing.check_estimator is check_estimator


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing.here"], "vi-check: nothing.here: there is no module nothing on Python's path"),
        (["vi.estimators.IWEA"], "vi-check: vi.estimators.IWEA: vi.estimators has no IWEA; did you mean IWAE?"),
        (["vi.particles.Draws"], "vi-check: Draws(samples=5): TypeError: Draws.__new__() got an unexpected keyword"),
        (["builtins.dict"], "vi-check: dict: gives a dict, but must give a vi.estimators.Estimator."),
        (
            ["vi.estimators.IWAE", "power=2"],
            "vi-check: power: vi.estimators.IWAE has no such argument; it takes samples.",
        ),
        (["vi.estimators.IWAE", "samples=0"], "vi-check: samples=0: must be a whole number of at least 1."),
        (["vi.estimators.IWAE", "samples=1,5"], "vi-check: samples=1,5: must be KEY=VALUE, with one value."),
        (["vi.estimators.IWAE", "samples"], "vi-check: samples: is not of the form KEY=VALUE;"),
        (["--fast"], "vi-check: "),
        ([], "vi-check: the following arguments are required: ESTIMATOR; see vi-check --help."),
        (["IWEA"], "vi-check: IWEA: there is no such choice. Allowed: analytic_kl, "),
        (["iwea"], "vi-check: iwea: there is no such choice; did you mean iwae? Allowed: analytic_kl, "),
        (["iwae", "power=2"], "vi-check: power: vi.estimators.IWAE has no such argument; it takes samples."),
    ],
)
def test_a_wrong_command_is_one_sentence_and_exit_code_2(words, sentence, command):
    code, _, said = command("check", *words)
    assert code == 2
    assert said.startswith(sentence)
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "title"),
    [
        (["iwae"], "IWAE(samples=5), "),
        (["estimator=iwae", "samples=3"], "IWAE(samples=3), "),
        (["multi_sample"], "AnalyticKL(samples=25, "),
    ],
)
def test_the_command_takes_a_choice_of_the_group_estimator(words, title, quick, monkeypatch, command):
    only(monkeypatch, {"shape"})
    code, out, _ = command("check", *words)
    assert code == 0
    assert out.startswith(title)


def test_the_command_prints_the_table_and_exits_with_0_or_1(quick, monkeypatch, command):
    only(monkeypatch, {"gradient for φ"})
    for argument, code, title in (
        ("samples=3", 0, "StickingTheLanding(samples=3), kind lower"),
        ("importance_weighted=true", 1, "StickingTheLanding(samples=5, importance_weighted=True), kind lower"),
    ):
        ended, out, _ = command("check", "vi.estimators.StickingTheLanding", argument)
        assert ended == code
        assert title in out


@pytest.mark.slow
def test_the_command_takes_a_class_from_the_current_directory(tmp_path):
    (tmp_path / "my_module.py").write_text("from vi.estimators import IWAE\nclass Mine(IWAE):\n    pass\n")
    command = [sys.executable, "-P", "-c", "from vi.commands.check import main; main()", "my_module.Mine"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ, timeout=300)
    assert (result.returncode, result.stderr) == (0, "")
    assert "17 passed, 0 failed, 6 not checked" in result.stdout


VARIANTS = {"a TFP bijector", "a shared variable"}


@pytest.mark.parametrize("estimator", [DReG, StickingTheLanding, ScoreFunction])
def test_flows_of_tfp_and_shared_variables_keep_the_gradient(estimator, quick, monkeypatch):
    only(monkeypatch, VARIANTS)
    report = check_estimator(estimator)
    assert [report[name].passed for name in sorted(VARIANTS)] == [True, True], report


@pytest.mark.parametrize("estimator", [DReG, StickingTheLanding])
def test_a_path_that_a_bijector_remembers_and_loses_is_found(estimator, quick, monkeypatch):
    only(monkeypatch, {"a TFP bijector"})
    monkeypatch.setattr(posteriors.base.tf, "identity", lambda tensor: tensor)
    assert_fails(check_estimator(estimator), {"a TFP bijector"}, "bijectors remember the noise of each z")


def test_a_prior_that_follows_the_loss_of_q_is_found(quick, monkeypatch):
    only(monkeypatch, {"a shared variable"})
    monkeypatch.setattr(LatentVariableModel, "shared", [])
    assert_fails(check_estimator(DReG), {"a shared variable"}, "misses its objectives")


def test_a_posterior_without_a_closed_form_may_be_refused(quick, monkeypatch):
    only(monkeypatch, {"a TFP bijector"})
    assert check_estimator(AnalyticKL)["a TFP bijector"].passed is None
