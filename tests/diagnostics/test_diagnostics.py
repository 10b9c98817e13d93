"""Signal, noise and bias of gradients: against NumPy over the gradients themselves, closed forms, and the paper."""

import itertools
import math
import subprocess
import sys
import types

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml

import vi
from tests.support import enumeration, models
from tests.support.runs import TINY, leave_no_pictures
from tests.support.training import make_trainer
from vi.diagnostics.memory import peak_bytes
from vi.diagnostics.moments import Sums
from vi.diagnostics.noise import GradientNoise
from vi.diagnostics.slopes import fit_slopes
from vi.diagnostics.table import diagnose
from vi.diagnostics.watch import watch_gradients
from vi.errors import ConfigError, RunError
from vi.estimators import IWAE, AnalyticKL, DReG, ReweightedWakeSleep, ScoreFunction, StickingTheLanding
from vi.particles import Losses
from vi.posteriors import BinaryConcrete
from vi.settings import compose, keys, sections
from vi.training.fit import Progress, _is_due

SMALL = [*TINY, "encoder.hidden=[8]", "decoder.hidden=[8]"]


def near_the_optimum(loc=0.6, log_variance=0.6):
    """A linear-Gaussian model whose posterior factorizes, and q, which misses it by a little and is wider."""
    model = models.linear_gaussian()
    weight, precision = 0.8, 1 + 0.8**2 / 0.7**2
    values = [
        *(weight / 0.7**2 / precision * np.eye(models.D, models.L), np.full(models.L, loc)),
        *(np.zeros((models.D, models.L)), np.full(models.L, log_variance - np.log(precision))),
    ]
    for variable, value in zip(model.posterior.trainable_variables, values, strict=True):
        variable.assign(value)
    for variable, value in zip(model.generative_variables, (weight * np.eye(models.L, models.D), 0.0), strict=True):
        variable.assign(value + np.zeros(variable.shape))
    return model


def noise_of(estimator, model=None, **options):
    return GradientNoise(model or models.linear_gaussian(), estimator, tf.constant(models.data()), **options)


def stored(noise, repeats):
    """The gradients themselves, [repeats, P] for each group."""
    now = (tf.constant(0, tf.int64), tf.constant(1.0, keras.config.floatx()))
    found = [noise._gradients(tf.constant(repeat), *now) for repeat in range(repeats)]
    return {group: np.stack([models.flatten(each[group]) for each in found]) for group in found[0]}


def sums_of(gradients, blocks=10):
    """The sums of given gradients [R, P]."""
    parts = np.array_split(gradients - gradients[0], blocks)
    columns = ([len(p) for p in parts], [p.sum(axis=0) for p in parts], [(p**2).sum() for p in parts])
    counts, sums, squares = map(np.array, columns)
    return Sums(counts, gradients[0], sums, squares)


@pytest.mark.usefixtures("double")
def test_moments_are_those_of_the_gradients_themselves_however_they_are_split(monkeypatch):
    noise, repeats = noise_of(IWAE(3), jit=False), 25
    sums, seconds = noise.measure(repeats)
    monkeypatch.setattr("vi.diagnostics.noise.BLOCKS", 7)
    otherwise, _ = noise.measure(repeats)
    for group, gradients in stored(noise, repeats).items():
        products = gradients @ gradients.T
        square = (products.sum() - np.trace(products)) / repeats / (repeats - 1)  # over pairs of different noises
        variance = gradients.var(axis=0, ddof=1).sum()
        expected = {"norm": math.sqrt(square), "variance": variance, "snr": math.sqrt(square / variance)}
        for found in (sums[group].moments(), otherwise[group].moments()):
            assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert seconds > 0


def test_errors_are_the_spread_of_independent_measurements():
    rng, mean = np.random.default_rng(0), np.array([1.0, -2.0, 0.5])
    gradients = mean + rng.standard_normal((200, 100, 3)) * [1, 2, 3]
    found = pd.DataFrame([sums_of(each).moments() for each in gradients])
    for name, exact in {"norm": np.linalg.norm(mean), "variance": 14, "snr": np.linalg.norm(mean) / 14**0.5}.items():
        assert found[f"{name}_error"].mean() == pytest.approx(found[name].std(), rel=0.25), name
        assert found[name].mean() == pytest.approx(exact, rel=0.05), name
    biases = pd.DataFrame([sums_of(each).squared_bias(sums_of(each[:, ::-1])) for each in gradients])
    exact = np.sum((mean - mean[::-1]) ** 2)
    assert biases["bias_squared_error"].mean() == pytest.approx(biases["bias_squared"].std(), rel=0.25)
    models.assert_mean(biases["bias_squared"], exact)


def test_the_ratio_is_zero_without_signal_and_infinite_without_noise():
    rng = np.random.default_rng(1)
    found = pd.DataFrame([sums_of(rng.standard_normal((100, 5))).moments() for _ in range(200)])
    assert 0.3 < (found["snr"] == 0).mean() < 0.7
    square_error = (found["snr"] + found["snr_error"]) ** 2 - found["snr"] ** 2
    assert (found["snr"] ** 2 > 3 * square_error).mean() < 0.03
    still = sums_of(np.full((30, 4), 1e6 + 0.1)).moments()
    assert (still["variance"], still["snr"]) == (0, math.inf)
    assert still["norm_error"] <= 1e-12 * still["norm"]  # scalar products round as their arrays lie in memory


def test_the_norm_is_exact_and_the_bias_is_zero_or_not_measured():
    model, estimators = models.linear_gaussian(), {"inherits": AnalyticKL, "surrogate": StickingTheLanding}
    exact = dict(zip(("generative", "inference"), models.exact_gradients(model, models.data()), strict=True))
    found = diagnose(model, tf.constant(models.data()), estimators, [2], 300, jit=False)
    for row in found.itertuples():
        assert abs(row.norm - np.linalg.norm(exact[row.group])) < 4 * row.norm_error
        if row.estimator == "surrogate":
            assert abs(row.bias_squared) <= 4 * row.bias_squared_error
            assert (row.bias_squared != 0) == (row.group == "inference")  # of θ the losses are the objective
        else:  # the reference itself
            assert math.isnan(row.bias_squared)
            assert math.isnan(row.bias_squared_error)


class SquaredForBoth(DReG):
    """A mistake: w̃² for θ too."""

    def losses(self, particles, step):
        inference = super().losses(particles, step).inference
        return Losses(generative=inference, inference=inference)


def test_a_bias_is_found_and_not_measured_for_a_group_without_objective():
    estimators = {"dreg": SquaredForBoth, "stl": lambda s: StickingTheLanding(s, importance_weighted=True)}
    estimators["rws"] = ReweightedWakeSleep
    found = diagnose(near_the_optimum(), tf.constant(models.data()), estimators, [4], 300, jit=False)
    found["ratio"] = found["bias_squared"] / (found["bias_squared_error"] + 1e-9)
    ratio = found.set_index(["estimator", "group"])["ratio"].to_dict()
    assert math.isnan(ratio.pop(("rws", "inference")))
    biased = {("dreg", "generative"), ("stl", "inference")}
    assert {which for which, z in ratio.items() if z > 5} == biased
    assert all(abs(ratio[which]) < 4 for which in set(ratio) - biased)


@pytest.mark.parametrize("straight_through", [False, True])
def test_where_z_has_no_path_or_a_biased_one_there_is_no_reference(straight_through):
    model = enumeration.make_model()
    if straight_through:
        posterior = BinaryConcrete(enumeration.L, straight_through=True)
        model = vi.LatentVariableModel(model.encoder, posterior, model.decoder, model.likelihood, model.prior)
    x = tf.constant(np.random.default_rng(0).integers(0, 2, (models.B, enumeration.D)), "float32")
    found = diagnose(model, x, {"score": ScoreFunction}, [5], 20, jit=False)
    assert found["bias_squared"].isna().all()
    assert (found["variance"] > 0).all()


class TwoOrThree(IWAE):
    """Refuses a single sample, and does not fit into memory with many."""

    full = 3

    def __init__(self, samples):
        if samples == 1:
            raise ConfigError("TwoOrThree: one sample leaves none out.")
        super().__init__(samples)

    def losses(self, particles, step):
        if self.samples > self.full:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return super().losses(particles, step)


def test_what_an_estimator_refuses_or_memory_does_not_hold_is_left_out_and_said(caplog):
    model, x, stages = models.linear_gaussian(), tf.constant(models.data()), []
    options = {"repeats": 20, "jit": False, "progress": lambda stage, done: stages.append((stage, done))}
    found = diagnose(model, x, {"it": TwoOrThree}, [1, 3, 4, 5], **options)
    assert found["samples"].tolist() == [3, 3]
    assert "it with S=1 is left out: TwoOrThree: one sample leaves none out." in caplog.text
    for s in (4, 5):
        assert f"it with S={s} is left out: out of memory; fewer data or samples need less." in caplog.text
    assert stages == [("it, 1 sample", 0), ("it, 3 samples", 0.25), ("it, 4 samples", 0.5), ("it, 5 samples", 0.75)]
    with pytest.raises(ConfigError, match="one sample leaves none out"):
        diagnose(model, x, {"it": TwoOrThree}, [1], **options)
    with pytest.raises(RunError, match="out of memory; fewer data or samples need less"):
        diagnose(model, x, {"it": TwoOrThree}, [4], **options)


def test_an_evaluation_can_be_interrupted_and_beta_weighs_the_kl():
    model, x = models.linear_gaussian(), tf.constant(models.data())

    def stop():
        raise vi.Interrupted(15)

    with pytest.raises(vi.Interrupted):
        diagnose(model, x, {"iwae": IWAE}, [2], 20, jit=False, poll=stop)
    noise = noise_of(AnalyticKL(1), model, jit=False)
    without, weighted = (noise.measure(20, kl_weight=beta)[0]["inference"] for beta in (0.0, 3.0))
    with tf.GradientTape() as tape:
        kl = tf.reduce_mean(model.encode(x).kl(model.prior))
    gradient = models.flatten(tape.gradient(kl, [v.value for v in model.inference_variables]))
    difference = (weighted.sums - without.sums).sum(axis=0) / 20 + weighted.shift - without.shift
    np.testing.assert_allclose(difference, 3 * gradient, rtol=1e-4, atol=1e-4)


def test_memory_is_of_the_tensors_that_are_alive_at_once():
    @tf.function
    def chain(x):
        doubled = 2.0 * x  # 400 bytes
        both = tf.concat([doubled, tf.reshape(doubled + 1.0, [100])], 0)  # 400 + 400, then 800 more
        return tf.reduce_sum(both)

    assert peak_bytes(chain.get_concrete_function(tf.zeros([100])).graph) == 1600
    few, many = (noise_of(IWAE(s), jit=False).memory() for s in (200, 400))
    assert many / few == pytest.approx(2, rel=0.1)


def power_law(slope, error, seed=0, samples=(1, 4, 16, 64)):
    """Rows of one estimator and group whose SNR and variance are powers of S, with a relative error."""
    rng = np.random.default_rng(seed)
    values = {
        name: [3.0 * s**slope * math.exp(error * rng.standard_normal()) for s in samples]
        for name in ("snr", "variance")
    }
    values |= {f"{name}_error": error * np.array(values[name]) for name in ("snr", "variance")}
    return pd.DataFrame({"estimator": "it", "group": "inference", "samples": samples} | values)


def test_slopes_are_found_with_the_errors_that_they_have():
    exact = fit_slopes(power_law(-0.5, 1e-9))
    assert exact["quantity"].tolist() == ["snr", "variance"]
    np.testing.assert_allclose(exact["slope"], -0.5, atol=1e-6)
    fits = pd.concat([fit_slopes(power_law(0.5, 0.1, seed)).iloc[:1] for seed in range(100)])
    models.assert_mean(fits["slope"], 0.5)
    # ln S is −ln 4, 0, ln 4 about its mean; √(χ²/ν) above 1 adds to the error, by 17 % in the mean for ν = 1.
    assert fits["slope"].std() == pytest.approx(0.1 / math.sqrt(2 * math.log(4) ** 2), rel=0.3)
    assert fits["slope_error"].min() == pytest.approx(0.1 / math.sqrt(2 * math.log(4) ** 2), rel=0.01)


def test_slopes_leave_out_one_sample_and_what_has_no_logarithm():
    points = power_law(0.5, 1e-3, samples=(1, 4, 16, 64, 256))
    points.loc[0, "snr"], points.loc[2, "snr"] = 100.0, 0.0
    assert fit_slopes(points)["slope"][0] == pytest.approx(0.5, abs=0.01)
    points.loc[3, "snr"] *= 2
    assert fit_slopes(points)["slope_error"][0] > 0.1
    assert fit_slopes(points.iloc[:2]).isna().any(axis=1).all()


@pytest.mark.slow
def test_the_slopes_of_the_papers():
    """For φ, IWAE's signal falls (Rainforth et al., 2018) and DReG's rises (Tucker et al., 2018)."""
    estimators = {"iwae": IWAE, "dreg": DReG, "analytic_kl": AnalyticKL, "stl": StickingTheLanding}
    found = diagnose(near_the_optimum(), tf.constant(models.data()), estimators, [30, 100, 300, 1000], 10_000)
    slopes = fit_slopes(found).set_index(["quantity", "group", "estimator"])["slope"].to_dict()
    for name in estimators:
        assert slopes["snr", "generative", name] == pytest.approx(0.5, abs=0.05)
    expected = {"iwae": -0.5, "dreg": 0.5, "analytic_kl": 0.5, "stl": 0.5}
    for name, slope in expected.items():
        assert slopes["snr", "inference", name] == pytest.approx(slope, abs=0.1), name
    assert slopes["variance", "inference", "iwae"] == pytest.approx(-1, abs=0.1)
    assert slopes["variance", "inference", "dreg"] == pytest.approx(-3, abs=0.2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of few operations, which are quick to trace, and without pictures."""
    own = [*TINY, "encoder.hidden=[]", "decoder.hidden=[]", "optimizer=sgd"]
    with pytest.MonkeyPatch.context() as patch:
        leave_no_pictures(patch)
        return vi.train(own, directory=tmp_path_factory.mktemp("runs") / "finished")


def test_the_command_leaves_tables_and_pictures(finished, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "140")
    own = ["estimators=[vi.estimators.IWAE]", "samples=[2,4]", "repeats=20", "batch_size=3", "checkpoint=initial"]
    code, out, err = command("diagnose", f"run={finished.directory}", *own)
    assert (code, err) == (0, "")
    for part in (
        "initial checkpoint, step 0, 3 validation data, 20 repeats",
        "vi.estimators.IWAE",
        "SNR",
        "MB at the peak",
    ):
        assert part in out
    folder = finished.directory / "diagnostics"
    assert {path.name for path in folder.iterdir()} == {"gradients.csv", "slopes.csv", "snr.png", "variance.png"}
    gradients, slopes = (pd.read_csv(folder / f"{name}.csv") for name in ("gradients", "slopes"))
    assert len(gradients) == len(slopes) == 4
    assert set(gradients["group"]) == {"generative", "inference"}
    assert gradients.iloc[0][["checkpoint", "step", "split", "batch_size", "repeats"]].tolist() == [
        *("initial", 0, "validation", 3, 20)
    ]
    monkeypatch.setattr("vi.pictures.power_laws", lambda *given: None)
    trained, _ = finished.diagnose(["iwae"], [2], 20, 3)
    assert trained["step"].unique() == [finished.summary["best"]["step"]]
    assert trained["norm"][0] != gradients["norm"][0]


ANSWERS = {
    "": "run is not set; give it on the command line, run=VALUE.",
    "run=RUN repeat=3": "repeat: there is no such key; did you mean repeats?",
    "run=RUN samples=[0]": "samples=[0]: must be a list of at least one positive whole number, such as [256].",
    "run=RUN samples=1,2": "samples=1,2: holds several values; a list needs brackets.",
    "run=RUN repeats=5": "repeats=5: must be a whole number of at least 20.",
    "run=RUN checkpoint=first": "checkpoint=first: must be best, last or initial.",
    "run=RUN estimators=iwae": "estimators=iwae: must be a list of choices of the group estimator, or of dotted paths "
    "of classes, such as [iwae, dreg].",
    "run=RUN estimators=[iwea]": "estimators=[iwea]: there is no such choice; did you mean iwae? Allowed: ",
    "run=RUN batch_size=999999": "batch_size=999999: exceeds the 299 validation data.",
    "run=nope": "run=nope: holds no config.yaml, so it is not the directory of a run.",
    "run=RUN --nope": "unrecognized arguments: --nope; see vi-diagnose --help.",
    "run=RUN estimators=[vi.estimators.Nope] samples=[2]": "estimators._target_=vi.estimators.Nope: vi.estimators has ",
}


@pytest.mark.parametrize("arguments", ANSWERS)
def test_every_mistake_is_one_sentence(arguments, finished, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "RUN").symlink_to(finished.directory)
    code, _, err = command("diagnose", *arguments.split())
    assert code == 2
    assert err.splitlines()[-1].startswith(f"vi-diagnose: {ANSWERS[arguments]}")


@pytest.mark.parametrize("arguments", [["--help"], ["run=RUN", "estimators=[iwea]"], ["run=nope"]])
def test_help_and_wrong_values_are_answered_without_tensorflow(arguments, finished, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('imported')")
    (tmp_path / "RUN").symlink_to(finished.directory)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from vi.commands.diagnose import main; main()"
    result = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == (0 if arguments == ["--help"] else 2)
    assert "imported" not in result.stderr
    lines = (compose.conf_directory() / "diagnose.yaml").read_text().splitlines()
    if arguments == ["--help"]:
        assert "Usage: vi-diagnose run=RUN_DIR" in result.stdout
        assert [line for line in lines if line not in result.stdout] == []
        assert [line for line in lines if " # " not in line] == ["data:"]


def test_every_key_of_the_command_has_a_rule():
    text = (compose.conf_directory() / "diagnose.yaml").read_text()
    assert [key for key, _ in keys.leaves(yaml.safe_load(text))] == sections.dotted_keys(sections.REQUESTS["diagnose"])


def test_watching_gradients_does_not_change_the_training_and_traces_once(monkeypatch):
    trainer, traced = make_trainer(DReG(3), beta=0.5, jit=False), []
    plain = GradientNoise.gradients
    monkeypatch.setattr(GradientNoise, "gradients", lambda *given: traced.append(given) or plain(*given))
    watch, found = watch_gradients(trainer, tf.constant(models.data()), seed=0), []
    for due in (True, True, False):
        trainer.run(5)
        before = state(trainer)
        found.append(watch(due))
        np.testing.assert_array_equal(before, state(trainer))
    first, second, none = found
    assert none == dict.fromkeys(first)
    assert all(value > 0 and value != second[name] for name, value in first.items())
    assert len(traced) == 2  # not compiled and compiled, both at the first time


def state(trainer):
    """All that determines the rest of a training."""
    return models.flatten(v for group in trainer.state.values() for v in group)


def test_out_of_memory_a_training_is_watched_no_longer_and_it_is_said_once(caplog, monkeypatch):
    trainer = make_trainer(TwoOrThree(3), jit=False)
    watch = watch_gradients(trainer, tf.constant(models.data()), seed=0)
    monkeypatch.setattr(TwoOrThree, "full", 2)
    assert [set(watch(True).values()) for _ in range(2)] == [{None}, {None}]
    assert caplog.text.count("trainer.diagnose_every is given up: out of memory") == 1


def test_noise_is_independent_over_sample_counts_and_shared_by_estimators():
    few, same, many = (noise_of(make).noise(0).posterior.numpy().ravel() for make in (IWAE(2), DReG(2), IWAE(3)))
    np.testing.assert_array_equal(few, same)
    assert np.intersect1d(few, many).size == 0


def test_a_diagnosis_is_due_at_the_first_evaluation_after_each_so_many_epochs():
    trainer = types.SimpleNamespace(size=30, batch_size=7)

    def due(*steps):
        return [_is_due(trainer, Progress(step=b, evaluated=a), 0.5) for a, b in itertools.pairwise(steps)]

    assert due(0, 2, 3, 4, 5, 15, 16) == [False, True, False, True, True, False]  # every 2 1/7 steps


NUMBERS = ("mean_norm", "variance", "snr")


@pytest.mark.slow
def test_a_training_diagnoses_itself_every_few_epochs_also_gone_on_with(tmp_path):
    vi.train([*SMALL, "trainer.epochs=3", "trainer.diagnose_every=2"], directory=tmp_path)
    metrics = vi.train([f"resume={tmp_path}", "trainer.epochs=4"]).metrics
    names = [f"gradient_{name}/{group}" for group in ("generative", "inference") for name in NUMBERS]
    assert metrics[names].notna().to_numpy().tolist() == [[False] * 6, [True] * 6, [False] * 6, [True] * 6]
    assert (metrics[names].dropna() > 0).all(axis=None)


@pytest.mark.slow
def test_a_training_that_diagnoses_itself_is_the_same_bit_for_bit_also_gone_on_with(tmp_path):
    own = [*SMALL, "trainer.jit=true", "estimator=dreg", "trainer.epochs=4"]
    plain = vi.train(own, directory=tmp_path / "plain")
    vi.train([*own, "trainer.epochs=3", "trainer.diagnose_every=2"], directory=tmp_path / "watched")
    watched = vi.train([f"resume={tmp_path / 'watched'}", "trainer.epochs=4"])
    for one, other in zip(plain.load("last").variables, watched.load("last").variables, strict=True):
        np.testing.assert_array_equal(one, other)
    same = [name for name in plain.metrics if name != "seconds"]
    pd.testing.assert_frame_equal(plain.metrics[same], watched.metrics[same], check_exact=True)
