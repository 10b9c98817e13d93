"""Configs: every file composes and builds, every mistake is one sentence, and a run can be loaded again."""

import itertools
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

import vi
from tests.support.runs import TINY
from tests.support.training import trainer_of
from vi.errors import ConfigError
from vi.runs import build
from vi.settings import compose, keys

CONF = compose.conf_directory()
GROUPS = {path.name: sorted(file.stem for file in path.glob("*.yaml")) for path in CONF.iterdir() if path.is_dir()}
SCHEDULE = (
    "{_target_: keras.optimizers.schedules.PolynomialDecay, initial_learning_rate: 0.0, decay_steps: 10, "
    "end_learning_rate: 1.0}"
)


DENSITY = [
    "prior.log_density._target_=vi.distributions.densities.gaussian",
    "+prior.log_density.scale_tril=[[1,0],[1,1]]",
]
NEEDS = {
    "estimator=f_divergence": ["estimator.offset=-25"],
    "data=arrays": ["data.path=x"],
    "decoder=none": ["likelihood=none"],
    "experiment=target_density": DENSITY,
    "posterior=deterministic": ["estimator=reconstruction"],
    "posterior=binary_concrete": ["prior=bernoulli"],
    "posterior=gumbel_softmax": ["prior=categorical", "posterior.categories=2"],
    "posterior=location_scale": ["estimator=monte_carlo_kl"],
    "posterior=bernoulli": ["prior=bernoulli", "estimator=score_function"],
    "posterior=categorical": ["prior=categorical", "posterior.categories=2", "estimator=score_function"],
    "prior=bernoulli": ["posterior=bernoulli", "estimator=score_function"],
    "prior=categorical": ["posterior=categorical", "posterior.categories=2", "estimator=score_function"],
    "prior=density": [*DENSITY, "estimator=monte_carlo_kl"],
}


def choices(*groups):
    """Every choice of these groups that names a component of the library, and all their combinations."""
    names = ([f"{group}={name}" for name in GROUPS[group] if name != "custom"] for group in groups)
    return [[*each, *(o for one in each for o in NEEDS.get(one, []))] for each in itertools.product(*names)]


@pytest.mark.parametrize(
    "overrides", [[f"{g}={c}", *NEEDS.get(f"{g}={c}", [])] for g in GROUPS for c in GROUPS[g] if c != "arrays"]
)
def test_every_file_composes_and_only_custom_asks_for_more(overrides):
    composed = compose.compose(overrides)
    if overrides[0].endswith("=custom"):
        with pytest.raises(ConfigError, match=r"needs \w+\._target_=DOTTED.PATH"):
            compose.resolve(*composed)
    else:
        compose.resolve(*composed)


def test_every_component_group_has_custom_and_nothing_in_it_but_a_target():
    for group in keys.NAMED:
        assert (CONF / group / "custom.yaml").read_text() == "_target_: ???\n"


NOTHING_TO_LEARN = ["posterior=deterministic", "likelihood=none", "estimator=reconstruction"]
PAIRS = [*choices("encoder", "decoder"), *choices("posterior", "likelihood")]


COMPONENTS = [
    each
    for group in ("encoder", "decoder", "posterior", "likelihood", "estimator", "optimizer", "prior")
    for each in choices(group)
]


@pytest.mark.parametrize("overrides", COMPONENTS)
@pytest.mark.usefixtures("eagerly")
def test_every_component_builds_and_trains(overrides):
    assert_builds_and_trains(overrides)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [*COMPONENTS, *(pair for pair in PAIRS if pair != NOTHING_TO_LEARN)])
def test_every_component_and_pair_builds_and_trains_in_a_graph(overrides):
    assert_builds_and_trains(overrides)


def assert_builds_and_trains(overrides):
    resolved = compose.resolve(*compose.compose([*TINY, *overrides]))
    parts = build.build(resolved)
    trainer = trainer_of(parts.model, parts.estimator, parts.data, parts.optimizers, batch_size=50, jit=False)
    before = [v.numpy() for v in parts.model.variables]
    assert trainer.run(2)
    assert any(not np.array_equal(v, b) for v, b in zip(parts.model.variables, before, strict=True))
    if not {"likelihood=none", "prior=density"} & set(overrides):  # these two cannot be sampled
        assert np.isfinite(parts.model.generate(2)).all()


@pytest.mark.parametrize("scale", ["fixed", "shared", "per_dimension", "output"])
def test_options_reach_the_components(scale):
    overrides = ["likelihood=gaussian", f"likelihood.scale={scale}", "posterior.scale=log_sd", "encoder.hidden=[]"]
    parts = build.build(compose.resolve(*compose.compose([*TINY, *overrides, "encoder.activation=tanh"])))
    assert (parts.model.likelihood.scale, parts.model.posterior.factor) == (scale, 1.0)
    assert len(parts.model.encoder.trainable_variables) == 0


def test_the_settings_of_a_group_overlay_the_common_ones():
    rates = ["optimizer.learning_rate=0.5", "optimizer.inference.learning_rate=0.25", "optimizer.beta_1=0.7"]
    optimizers = build.build_optimizers(compose.resolve(*compose.compose(rates))["optimizer"])
    assert {g: float(o.learning_rate) for g, o in optimizers.items()} == {
        "generative": 0.5,
        "inference": 0.25,
        "auxiliary": 0.5,
    }
    assert {o.beta_1 for o in optimizers.values()} == {0.7}


def test_a_learning_rate_may_be_a_whole_number():
    optimizers = build.build_optimizers(
        compose.resolve(*compose.compose(["optimizer=sgd", "optimizer.learning_rate=2"]))["optimizer"]
    )
    assert {float(o.learning_rate) for o in optimizers.values()} == {2.0}


def test_optimizers_of_ones_own_and_schedules_of_the_learning_rate():
    overrides = [
        "optimizer=custom",
        "optimizer._target_=keras.optimizers.Nadam",
        f"+optimizer.learning_rate={SCHEDULE}",
    ]
    optimizers = build.build_optimizers(compose.resolve(*compose.compose(overrides))["optimizer"])
    assert all(isinstance(o, keras.optimizers.Nadam) for o in optimizers.values())
    assert all(float(o.learning_rate) == 0.0 for o in optimizers.values())


def test_beta_may_be_a_number_or_a_keras_schedule():
    parts = build.build(compose.resolve(*compose.compose([*TINY, f"trainer.beta={SCHEDULE}"])))
    assert float(parts.beta(5)) == 0.5
    assert build.build(compose.resolve(*compose.compose([*TINY, "trainer.beta=4"]))).beta == 4


def test_the_output_bias_may_start_at_the_mean_of_the_data():
    overrides = ["model.output_bias=data_mean", "data.binarization=none"]
    parts = build.build(compose.resolve(*compose.compose([*TINY, *overrides])))
    bias = parts.model.decoder.get_layer("output").bias.numpy()
    expected = np.clip(parts.data.train.x.mean(0) / 16, 0.001, 0.999).ravel()
    np.testing.assert_allclose(1 / (1 + np.exp(-bias)), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("overrides", "pseudo"),
    [
        (["data.binarization=none"], True),
        (["data.binarization=dynamic"], False),
        (["data.binarization=none", "likelihood=gaussian"], False),
    ],
)
def test_grey_levels_under_a_bernoulli_likelihood_are_marked(overrides, pseudo):
    resolved = compose.resolve(*compose.compose([*TINY, *overrides]))
    build.build(resolved)
    assert resolved["pseudo"] is pseudo
    assert resolved["model"]["event_shape"] == [8, 8, 1]


WRONG = {
    "trainer.epochs=-3": "trainer.epochs=-3: must be a finite number above 0.",
    "estimatr=multi_sample": "estimatr: there is no such key; did you mean estimator?",
    "trainer.epoch=3": "trainer.epoch: there is no such key; did you mean trainer.epochs?",
    "+trainer.epoch=3": "trainer.epoch: there is no such key; did you mean trainer.epochs?",
    "trainer.epochs": "trainer.epochs: is not of the form KEY=VALUE; quote a value with spaces, commas or braces.",
    "~trainer.epochs": "trainer.epochs is not set: must be a finite number above 0.",
    "data=mnis": "data=mnis: there is no such choice; did you mean mnist? Allowed: arrays, binarized_mnist, ",
    "estimator=custom": "estimator=custom: needs estimator._target_=DOTTED.PATH of a class or function of your own.",
    "data=arrays": "data.path is not set; give it on the command line, data.path=VALUE.",
    "model.latent_dim=2.5": "model.latent_dim=2.5: must be a whole number of at least 1.",
    "model.latent_dim=${nope}": "model.latent_dim=${nope}: there is no key nope.",
    "estimator.samples=0": "estimator.samples=0: must be a whole number of at least 1.",
    "seed=-1": "seed=-1: must be a whole number from 0 to 2147483647.",
    "seed=null": "seed=null: must be a whole number from 0 to 2147483647.",
    "trainer.jit=yes": "trainer.jit=yes: must be auto, true or false.",
    "encoder.hidden=3": "encoder.hidden=3: must be a list of positive whole numbers, such as [256].",
    "data.validation=1.5": "data.validation=1.5: must be a fraction between 0 and 1, or a whole number",
    "trainer.noise=frozen": "trainer.noise=frozen: must be fresh or fixed.",
    "optimizer.learning_rate=abc": "optimizer.learning_rate=abc: must be a finite number above 0, or a Keras schedule",
    "logger.wandb.mode=on": "logger.wandb.mode=on: must be offline, online or disabled.",
    "logger.wandb=offline": "logger.wandb=offline: must be a mapping of settings, or null.",
    "optimizer.beta_1=1": "optimizer.beta_1=1: must be a finite number of at least 0 and below 1.",
    "encoder.activation=rleu": "encoder.activation=rleu: must be a Keras activation, one of celu, elu, ",
    "seed=0,1": "seed=0,1: holds several values; add -m to run one job for each, or brackets to give a list.",
    "~logger": "logger=null: must hold logger.wandb",
    "~model": "model=null: must hold model.latent_dim, model.output_bias.",
    "name=a/b": "name=a/b: must be a name of letters, digits, hyphens, underscores and dots, which does "
    "not begin with a dot.",
}


@pytest.mark.parametrize("override", WRONG)
def test_a_mistake_is_one_sentence_with_the_key_the_value_and_what_is_allowed(override):
    with pytest.raises(ConfigError) as error:
        compose.resolve(*compose.compose([override]))
    assert WRONG[override] in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mistake_in_a_component_of_ones_own_is_named_with_its_target():
    cases = {
        "my_missing.Thing": "estimator._target_=my_missing.Thing: there is no module my_missing on Python's path",
        "vi.estimators.AnalyticKl": "estimator._target_=vi.estimators.AnalyticKl: vi.estimators has no AnalyticKl; did",
        "Thing": "estimator._target_=Thing: ",
        "operator.add": "estimator.a is not set; operator.add needs it: estimator.a=VALUE.",
    }
    for target, message in cases.items():
        composed = compose.compose([*TINY, "estimator=custom", f"estimator._target_={target}"])
        with pytest.raises(ConfigError) as error:
            build.build(compose.resolve(*composed))
        assert str(error.value).startswith(message)


def test_a_schedule_must_be_one():
    resolved = compose.resolve(*compose.compose([*TINY, "trainer.beta={_target_: keras.optimizers.SGD}"]))
    with pytest.raises(
        ConfigError, match=r"trainer\.beta\._target_=keras\.optimizers\.SGD: gives a SGD, but must give a .*Schedule"
    ):
        build.build(resolved)


@pytest.mark.slow
@pytest.mark.parametrize(("labels", "count"), [(np.linspace(0, 1, 30), 30), (np.arange(6), 6), (None, 30)])
def test_labels_that_are_absent_or_no_classes_and_very_few_data_do_not_fail_a_run(tmp_path, labels, count):
    arrays = {"x_train": np.random.default_rng(0).standard_normal((count, 12)), "y_train": labels}
    np.savez(tmp_path / "own.npz", **{name: array for name, array in arrays.items() if array is not None})
    own = ["data=arrays", f"data.path={tmp_path / 'own.npz'}", "data.validation=3", "likelihood=gaussian"]
    run = vi.train([*TINY, *own, "trainer.batch_size=3", "model.latent_dim=3"], directory=tmp_path / "run")
    assert run.summary["status"] == "finished"
    assert run.summary["knn_accuracy"] is None
    names = {path.stem for path in (run.directory / "figures").iterdir() if "diagram" not in path.stem}
    assert names == {"latent_space", "reconstructions", "samples", "prior_samples", "curves"}


@pytest.mark.parametrize(("group", "kind"), [("data", "vi.data.Dataset"), ("optimizer", "Optimizer")])
def test_components_of_ones_own_must_be_of_their_kind(group, kind):
    resolved = compose.resolve(
        *compose.compose([*TINY, f"{group}=custom", f"{group}._target_=collections.OrderedDict"])
    )
    with pytest.raises(
        ConfigError, match=rf"_target_=collections\.OrderedDict: gives a OrderedDict, but must .*{kind}"
    ):
        build.build(resolved)


MINE = """
    import tensorflow as tf
    import keras
    import numpy as np
    from vi.data import Dataset
    from vi.estimators import Estimator
    from vi.ops import log_mean_exp

    class Power(Estimator):
        def __init__(self, samples=1, power=1.0):
            super().__init__(samples)
            self.power = power
        def bound(self, particles):
            return log_mean_exp(self.power * particles.log_weight, axis=1) / self.power

    def blobs(n, **options):
        x = np.random.default_rng(0).standard_normal((n, 3)).astype("float32")
        return Dataset({"x_train": x}, "blobs", **options)

    def encoder(event_shape, width):
        return keras.Sequential([keras.Input(event_shape), keras.layers.Dense(width)])
"""


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_components_of_ones_own_by_dotted_path_from_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "my_components.py").write_text(textwrap.dedent(MINE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    own = [
        *("estimator=custom", "estimator._target_=my_components.Power", "estimator.samples=3", "+estimator.power=0.5"),
        *("data=custom", "data._target_=my_components.blobs", "+data.n=200", "+data.validation=0.5"),
        *("encoder=custom", "encoder._target_=my_components.encoder", "+encoder.width=4", "likelihood=gaussian"),
    ]
    run = vi.train([*TINY, *own, "trainer.batch_size=20"], directory=tmp_path / "run")
    assert run.summary["estimator"] == "Power"
    assert run.config["estimator"] == {"_target_": "my_components.Power", "samples": 3, "power": 0.5}
    assert run.load().encode(tf.ones([2, 3])).mean().shape == (2, 2)


def test_a_config_is_answered_without_tensorflow():
    code = (
        "import sys; from vi.settings.compose import compose, resolve; resolve(*compose(['trainer.epochs=2'])); "
        "print('tensorflow' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert result.stdout.strip() == "False"
