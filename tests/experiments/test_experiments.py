"""Every experiment runs with tiny arguments, and those with a closed form reach it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import vi
from tests.support import models, reference
from vi import networks, random
from vi.evaluation.evaluator import Evaluator
from vi.likelihoods import Gaussian
from vi.models import LatentVariableModel
from vi.priors import StandardNormal
from vi.runs import build
from vi.settings import keys
from vi.settings.compose import compose, conf_directory, resolve

pytestmark = pytest.mark.usefixtures("without_pictures")

EXPERIMENTS = sorted(file.stem for file in (conf_directory() / "experiment").glob("*.yaml"))
QUICK = ["logger=none", "trainer.jit=false", "trainer.epochs=0.2", "trainer.evaluate_every=1", "trainer.evaluate=false"]
SMALL = ["trainer.batch_size=4", "trainer.validation_samples=2", "trainer.validation_size=5"]
QUICK_ONES = ("burda2015_iwae", "mnih2016_sbn", "tiao2017_mlp", "zhu_tabular")
"""Experiments of different kinds, among the fast tests; the others are among the slow ones."""

AUTHORS = "tiao2017 zhu tfp2019 burda2015 tucker2018 jang2017 mnih2014 mnih2016 hinton1995 bornschein2015 mnist target"


@pytest.fixture
def slice_of_mnist(tmp_path, monkeypatch):
    """A folder of data with 60 + 20 images of 28×28, and 20 + 20 + 20 binarized ones."""
    rng = np.random.default_rng(0)
    parts = {"train": 60, "test": 20}
    images = {f"x_{part}": rng.integers(0, 256, (size, 28, 28), dtype=np.uint8) for part, size in parts.items()}
    labels = {f"y_{part}": np.arange(size) % 10 for part, size in parts.items()}
    np.savez(tmp_path / "mnist.npz", **images, **labels)
    bits = {name: rng.integers(0, 2, (20, 28, 28), dtype=np.uint8) for name in ("x_train", "x_valid", "x_test")}
    np.savez(tmp_path / "binarized_mnist_larochelle.npz", **bits)
    monkeypatch.setenv("VI_DATA_DIR", str(tmp_path))


def closed_form():
    """The script `experiments/closed_form.py`."""
    file = Path(__file__).parents[2] / "experiments" / "closed_form.py"
    spec = importlib.util.spec_from_file_location("closed_form", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", [name if name in QUICK_ONES else pytest.param(name, marks=pytest.mark.slow) for name in EXPERIMENTS]
)
def test_every_experiment_runs_with_tiny_arguments(name, slice_of_mnist, tmp_path):
    data = compose([f"experiment={name}"])[0].data
    held_out = "data.validation=test" if data.get("validation") == "test" else "data.validation=5"
    size = {"vi.data.mnist": [held_out], "vi.data.binarized_mnist": []}.get(data._target_, ["data.size=60"])
    if name.startswith("tfp2019_conv"):
        size += ["encoder.filters=[2,2,2,2,2]", "decoder.filters=[2,2,2,2,2,2]"]
    if name == "target_density":
        size += [
            "prior.log_density._target_=vi.distributions.densities.gaussian",
            "+prior.log_density.scale_tril=[[1,0],[1,1]]",
        ]
    run = vi.train([f"experiment={name}", *QUICK, *SMALL, *size], directory=tmp_path / "run")
    assert run.summary["status"] == "finished"
    assert run.summary["name"] == name
    assert all(np.isfinite(value) for value in run.summary["final"].values())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_short_and_says_in_up_to_three_lines_what_it_reproduces(name):
    package, *lines = (conf_directory() / "experiment" / f"{name}.yaml").read_text().splitlines()
    assert package == "# @package _global_"
    assert name.startswith(tuple(AUTHORS.split()))
    assert 1 <= sum(line.startswith("# ") for line in lines) <= 3
    assert len(lines) <= 45


@pytest.mark.slow
def test_q_fitted_to_a_target_density_reaches_the_closed_form(tmp_path):
    """Zhu's target: KL 3.0561 before, 1.0367 at the optimum, where sd_i = Λ_ii^(−1/2)."""
    scale_tril = np.array([[1.3132716, 0], [1.25, 0.474087]])
    covariance = scale_tril @ scale_tril.T
    assert reference.kl_gaussians(np.zeros(2), np.eye(2), np.zeros(2), covariance) == pytest.approx(3.0561, abs=5e-5)
    best = np.diag(np.linalg.inv(covariance)) ** -0.5
    optimum = reference.kl_gaussians(np.zeros(2), np.diag(best**2), np.zeros(2), covariance)
    assert optimum == pytest.approx(1.0367, abs=5e-5)
    run = vi.train(["experiment=zhu_target_density", "logger=none", "trainer.evaluate_every=50"], tmp_path / "run")
    q = run.load().encode(np.zeros((1, 1), np.float32)).distribution
    loc, sd = (np.asarray(value, np.float64)[0] for value in (q.mean(), q.stddev()))
    assert reference.kl_gaussians(loc, np.diag(sd**2), np.zeros(2), covariance) == pytest.approx(optimum, abs=1e-3)
    np.testing.assert_allclose(sd, best, rtol=0.03)
    found = closed_form().target_density(run.load(), run.config)
    assert found["kl"] == pytest.approx(reference.kl_gaussians(loc, np.diag(sd**2), np.zeros(2), covariance), rel=1e-6)
    assert (found["kl_before"], found["kl_optimum"]) == pytest.approx((3.0561, 1.0367), abs=5e-5)


@pytest.mark.slow
def test_the_bound_of_a_target_density_is_its_log_normalizer_less_the_kl(tmp_path, monkeypatch):
    """Any posterior family and any density by its dotted path; here of normalizer Z = e³, of which q is capable."""
    (tmp_path / "my_density.py").write_text(
        "import math\nimport tensorflow as tf\n\ndef shifted(z, centre):\n"
        "    return 3 - 0.5 * tf.reduce_sum((z - centre) ** 2, -1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    density = ["prior.log_density._target_=my_density.shifted", "+prior.log_density.centre=1.5"]
    options = ["posterior=full_covariance_gaussian", "model.latent_dim=3", "trainer.evaluate_every=50", "logger=none"]
    run = vi.train(["experiment=target_density", *density, *options], tmp_path / "run")
    assert run.summary["final"]["validation/elbo"] == pytest.approx(3, abs=0.01)
    np.testing.assert_allclose(run.load().encode(np.zeros((1, 1), np.float32)).mean(), [[1.5] * 3], atol=0.03)


@pytest.mark.slow
def test_linear_factor_analysis_reaches_the_maximum_likelihood(tmp_path):
    """Within 0.1 nat of probabilistic PCA's closed form; importance weighting finds the exact log p(x)."""
    run = vi.train(["experiment=tiao2017_linear_fa", "logger=none", "trainer.evaluate_every=50"], tmp_path / "run")
    model, parts = run.load(), build.build(run.config)
    kernel, bias = (v.numpy().astype(np.float64) for v in model.decoder.trainable_variables)
    sd = float(model.decode(np.zeros((1, 4), np.float32)).distribution.stddev()[0, 0])
    exact = reference.LinearGaussian(kernel.T, bias, sd)
    x = parts.data.train.x.astype(np.float64)
    log_likelihood = np.mean([exact.log_marginal(each) for each in x])
    optimum = reference.principal_component_log_likelihood(x, 4)
    assert optimum - 0.1 < log_likelihood < optimum + 1e-3
    found = closed_form().factor_analysis(model, run.config)
    assert (found["log_likelihood"], found["optimum"]) == pytest.approx((log_likelihood, optimum), abs=1e-3)
    estimates = Evaluator(model, parts.data).estimate(parts.data.test, samples=500, size=1000)
    difference = estimates.iw_bound - [exact.log_marginal(each) for each in parts.data.test.x[:1000].astype(np.float64)]
    assert abs(difference.mean()) < 3 * difference.std() / np.sqrt(1000) + 1e-4


@pytest.mark.slow
def test_the_kl_alone_ends_at_the_prior(slice_of_mnist, tmp_path):
    options = ["logger=none", "trainer.epochs=400", "trainer.evaluate_every=400", "trainer.batch_size=20"]
    run = vi.train(["experiment=tiao2017_kl_only", *options, "encoder.hidden=[8]"], tmp_path / "run")
    assert run.metrics["train/nll"].iloc[-1] == 0
    assert run.summary["final"]["validation/elbo"] == pytest.approx(0, abs=0.01)
    q = run.load().encode(np.random.default_rng(1).random((5, 28, 28, 1), np.float32))
    assert q.kl(run.load().prior).max() < 0.01


@pytest.mark.parametrize("scale", ["output", "shared", "per_dimension"])
def test_the_covariance_of_a_linear_model_is_that_of_its_samples(scale):
    """x = W z + b + softplus(V z + c) ε where the decoder gives the scale."""
    likelihood = Gaussian((models.D,), scale=scale, sd=0.7)
    decoder = networks.mlp_decoder(models.L, likelihood.outputs((models.D,)), hidden=[])
    encoder, posterior = networks.mlp_encoder((models.D,), []), models.DiagonalGaussian(models.L)
    model = LatentVariableModel(encoder, posterior, decoder, likelihood, StandardNormal(models.L))
    rng = np.random.default_rng(0)
    for variable in model.generative_variables:
        variable.assign(rng.standard_normal(variable.shape))
    mean, covariance = closed_form().covariance(model)
    z = tf.constant(rng.standard_normal((400_000, models.L)), "float32")
    x = model.decode(z[None]).sample(likelihood.noise([1, len(z)], random.seed(0, "train"))).numpy()[0] - mean
    models.assert_mean(x, np.zeros(models.D))
    models.assert_mean((x[:, :, None] * x[:, None]).reshape(len(x), -1), covariance.ravel())


def test_a_network_that_is_not_affine_has_no_closed_form():
    with pytest.raises(vi.ConfigError, match="the decoder is not affine"):
        closed_form().affine(networks.mlp_decoder(2, (3,), [4]), 2)


@pytest.mark.slow
def test_a_linear_decoder_recovers_the_covariance_of_tabular_data(tmp_path):
    """Within 5 % in Frobenius norm of the data's own model's."""
    run = vi.train(["experiment=zhu_tabular_linear", "logger=none", "trainer.evaluate_every=20"], tmp_path / "run")
    assert closed_form().factor_analysis(run.load(), run.config)["covariance_error"] < 0.05


RMSPROP, ADAM = "keras.optimizers.RMSprop", "keras.optimizers.Adam"
TIAO = {
    **{"data._target_": "vi.data.mnist", "data.binarization": "none", "data.validation": "test"},
    **{"encoder.hidden": [256], "decoder.hidden": [256], "encoder.activation": "relu", "decoder.activation": "relu"},
    **{"model.latent_dim": 2, "posterior.scale": "log_variance", "optimizer._target_": RMSPROP},
    **{"optimizer.learning_rate": 1e-3, "trainer.batch_size": 100, "trainer.epochs": 50, "estimator.samples": 1},
    **{"estimator._target_": "vi.estimators.AnalyticKL", "trainer.noise": "fresh", "trainer.beta": 1.0},
    **{"likelihood._target_": "vi.likelihoods.Bernoulli"},
}
CONV = {
    **{"encoder.filters": [32, 32, 64, 64, 64], "encoder.kernel_size": [5, 5, 5, 5, 7], "encoder.hidden": []},
    **{"encoder.strides": [1, 2, 1, 2, 1], "encoder.padding": ["same"] * 4 + ["valid"], "encoder.offset": 0.5},
    **{"decoder.filters": [64, 64, 64, 32, 32, 32], "decoder.kernel_size": [7, 5, 5, 5, 5, 5], "decoder.hidden": []},
    **{"decoder.strides": [1, 1, 2, 1, 2, 1], "decoder.padding": ["valid"] + ["same"] * 5},
    **{"decoder.output_kernel_size": 5, "decoder.projection": False, "model.latent_dim": 16},
    **{"encoder.activation": "leaky_relu", "decoder.activation": "leaky_relu", "data.binarization": "dynamic"},
    **{"posterior._target_": "vi.posteriors.FullCovarianceGaussian", "optimizer._target_": ADAM},
    **{"estimator._target_": "vi.estimators.MonteCarloKL", "estimator.divergence_samples": 0},
    **{"trainer.batch_size": 256, "trainer.epochs": 15, "data.validation": "test"},
}
ZHU_CONV = {
    **{
        f"{part}.{key}": value
        for part in ("encoder", "decoder")
        for key, value in {
            "filters": [8, 8],
            "kernel_size": 5,
            "strides": 2,
            "padding": "valid",
            "hidden": [64],
            "activation": "tanh",
        }.items()
    },
    **{"decoder.output_kernel_size": 3, "decoder.projection": True, "posterior.scale": "log_sd"},
    **{"model.latent_dim": 2, "optimizer._target_": ADAM, "trainer.epochs": 20},
    **{"likelihood._target_": "vi.likelihoods.Bernoulli"},
}
TABULAR = {
    **{"data.features": 12, "model.latent_dim": 4, "encoder.hidden": [64], "likelihood.scale": "output"},
    **{"posterior._target_": "vi.posteriors.FullCovarianceGaussian", "trainer.epochs": 20},
    **{"estimator._target_": "vi.estimators.MonteCarloKL", "estimator.divergence_samples": 10},
}
BURDA = {
    **{"encoder.hidden": [200, 200], "decoder.hidden": [200, 200], "model.latent_dim": 50},
    **{"encoder.activation": "tanh", "decoder.activation": "tanh", "likelihood._target_": "vi.likelihoods.Bernoulli"},
    **{"data.binarization": "dynamic", "model.output_bias": "data_mean", "trainer.batch_size": 20},
    **{"optimizer._target_": "keras.optimizers.Adam", "optimizer.epsilon": 1e-4, "trainer.epochs": 40},
    **{"trainer.evaluate": True, "trainer.evaluation_samples": 5000},
}
JANG = {
    **{"data._target_": "vi.data.binarized_mnist", "posterior._target_": "vi.posteriors.GumbelSoftmax"},
    **{"posterior.categories": 10, "prior.categories": 10, "model.latent_dim": 300, "trainer.batch_size": 100},
    **{"estimator._target_": "vi.estimators.AnalyticKL", "trainer.epochs": 20, "optimizer.learning_rate": 1e-3},
    "posterior.temperature": {"_target_": "vi.training.schedules.Annealing", "rate": 1e-4, "minimum": 0.5},
}
SPECIFIED = {
    "jang2017_categorical": JANG | {"posterior.straight_through": False},
    "jang2017_straight_through": JANG | {"posterior.straight_through": True},
    "burda2015_vae": BURDA | {"estimator._target_": "vi.estimators.MonteCarloKL"},
    "burda2015_iwae": BURDA | {"estimator._target_": "vi.estimators.IWAE"},
    "tucker2018_dreg": BURDA | {"estimator._target_": "vi.estimators.DReG"},
    "tiao2017_mlp": TIAO,
    "tiao2017_monte_carlo_kl": TIAO | {"estimator._target_": "vi.estimators.MonteCarloKL"},
    "tiao2017_kl_only": TIAO | {"likelihood._target_": "vi.likelihoods.NoLikelihood", "trainer.epochs": 10},
    "tiao2017_logistic_fa": TIAO | {"decoder.hidden": []},
    "tiao2017_nonlinear_fa": TIAO | {"likelihood._target_": "vi.likelihoods.Gaussian", "likelihood.scale": "shared"},
    "tiao2017_multi_sample": TIAO | {"estimator.samples": 25, "trainer.epochs": 10},
    "tiao2017_multi_sample_fixed": TIAO | {"estimator.samples": 25, "trainer.epochs": 10, "trainer.noise": "fixed"},
    "zhu_autoencoder": {
        **{"encoder.hidden": [256, 64], "decoder.hidden": [64, 256], "model.latent_dim": 2},
        **{f"{part}.activation": "sigmoid" for part in ("encoder", "posterior", "decoder")},
        **{"likelihood.mean": "sigmoid", "optimizer._target_": RMSPROP, "optimizer.learning_rate": 5e-4},
        **{"trainer.batch_size": 32, "trainer.epochs": 20, "likelihood.sd": (784 / 2) ** 0.5},
    },
    "zhu_conv": ZHU_CONV | {"trainer.beta": 1.0},
    "zhu_kl_options": ZHU_CONV | {"trainer.beta": 10.0, "estimator.divergence_samples": 10},
    "zhu_tabular": TABULAR | {"decoder.hidden": [64], "trainer.beta": 10.0},
    "zhu_tabular_linear": TABULAR | {"decoder.hidden": [], "trainer.beta": 1.0, "trainer.epochs": 60},
    "tfp2019_conv": CONV | {"optimizer.learning_rate": 1e-3, "trainer.beta": 1.0},
    "tfp2019_conv_doubled": CONV | {"optimizer.learning_rate": 1e-3, "trainer.beta": 2.0},
    "tfp2019_conv_tuned": CONV | {"trainer.beta": 1.0, "trainer.epochs": 10},
}


@pytest.mark.parametrize(("choice", "stages"), [("burda2015_short", 4), ("burda2015_full", 8)])
def test_the_schedule_of_burda_has_3_to_the_i_passes_at_falling_rates(choice, stages):
    composed = resolve(*compose(["experiment=burda2015_iwae", f"optimizer={choice}"]))
    schedule = composed["optimizer"]["learning_rate"]
    steps = (60_000 - composed["data"]["validation"]) // composed["trainer"]["batch_size"]
    passes = np.array([3**i for i in range(stages)])
    np.testing.assert_array_equal(schedule["boundaries"], steps * np.cumsum(passes)[:-1])
    np.testing.assert_allclose(schedule["values"], 10.0 ** (-3 - np.arange(stages) / (stages - 1)), rtol=1e-4)
    assert passes.sum() == {4: composed["trainer"]["epochs"], 8: 3280}[stages]


@pytest.mark.parametrize("name", SPECIFIED)
def test_an_experiment_is_as_its_text_specifies(name):
    found = dict(keys.leaves(resolve(*compose([f"experiment={name}"]))))
    assert {key: found[key] for key in SPECIFIED[name]} == SPECIFIED[name]
