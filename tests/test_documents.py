"""What the documents show is run as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import vi
from tests.support import models
from tests.support.training import make_trainer
from vi import networks
from vi.estimators import MonteCarloKL
from vi.models import LatentVariableModel
from vi.priors import StandardNormal
from vi.runs import build
from vi.settings import compose

TINY = ["trainer.epochs=1", "trainer.evaluate_every=1", "logger=none", "trainer.jit=false"]
ROOT = Path(__file__).parents[1]


def blocks(document, language):
    """The code blocks of a document."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def defined_by(block):
    """The names that a block of Python defines."""
    namespace = {"__name__": "document"}
    exec(block, namespace)
    return namespace


EXAMPLES = dict(zip(("IWAE", "LogNormal", "Laplace"), blocks("CONTRIBUTING.md", "python"), strict=True))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_smallest_components_are_complete_short_and_train(name):
    example = defined_by(EXAMPLES[name])[name]
    body = EXAMPLES[name][EXAMPLES[name].index("class ") :]
    assert len([line for line in body.splitlines() if line.strip()]) < 15
    posterior = example if name == "LogNormal" else models.DiagonalGaussian
    likelihood = (example if name == "Laplace" else models.Gaussian)((models.D,))
    model = LatentVariableModel(
        networks.mlp_encoder((models.D,), [8]),
        posterior(models.L),
        networks.mlp_decoder(models.L, (models.D,), [8]),
        likelihood,
        StandardNormal(models.L),
    )
    estimator = example(5) if name == "IWAE" else MonteCarloKL(2)
    trainer = make_trainer(estimator, model=model)
    trainer.run(200)
    first = trainer.averages()["train/bound"]
    trainer.run(200)
    assert trainer.averages()["train/bound"] > first
    particles = models.make_particles(model, estimator.draws)
    np.testing.assert_allclose(particles.posterior.log_prob(particles.z), particles.log_posterior, rtol=1e-3, atol=1e-4)
    x = model.decode(tf.zeros([1, 2000, models.L])).sample(likelihood.noise([1, 2000], models.random.seed(0, "train")))
    models.assert_mean(x.numpy()[0], model.decode(tf.zeros([models.L])).mean().numpy())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_smallest_components_run_from_the_command_line(name, tmp_path, monkeypatch):
    (tmp_path / f"my_{name.lower()}.py").write_text(EXAMPLES[name])
    monkeypatch.syspath_prepend(tmp_path)
    group = {"IWAE": "estimator", "LogNormal": "posterior", "Laplace": "likelihood"}[name]
    own = [f"{group}=custom", f"{group}._target_=my_{name.lower()}.{name}"]
    other = ["estimator=monte_carlo_kl"] if name == "LogNormal" else []
    run = vi.train([*own, *other, *TINY], directory=tmp_path / "run")
    assert run.summary["status"] == "finished"
    names = {path.stem for path in (run.directory / "figures").iterdir()}
    assert {"latent_space", "manifold", "reconstructions", "samples", "prior_samples", "curves"} <= names


def test_the_python_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, *_, replay = blocks("README.md", "python")
    real = vi.train
    monkeypatch.setattr(vi, "train", lambda overrides: real([*overrides, *TINY]), raising=False)
    namespace = defined_by(first)
    assert isinstance(namespace["model"], LatentVariableModel)
    with pytest.raises(vi.RunError, match="not finite"):
        real([*TINY, "optimizer=sgd", "optimizer.learning_rate=1e9", "trainer.epochs=9"], directory="RUN_DIR")
    assert defined_by(replay)["step"].causes


def test_using_a_model_takes_three_lines_each_as_in_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = vi.train(TINY, directory="RUN_DIR")
    x = build.build(run.config).data.validation.x[:5] / np.float32(16)
    namespace = {"vi": vi, "np": np, "x": x}
    three = blocks("README.md", "python")[1:4]
    for block in three:
        assert len(block.splitlines()) == 3
        exec(block, namespace)
    shapes = {name: namespace[name].shape for name in ("images", "z", "log_q", "mean", "once", "often")}
    assert shapes == {
        "images": (1, 8, 8, 1),
        "z": (5, 25, 2),
        "log_q": (5, 25),
        "mean": (5, 2),
        "once": (5, 8, 8, 1),
        "often": (5, 25, 8, 8, 1),
    }


def test_the_estimator_of_the_readme_passes_and_its_mistaken_twin_fails_as_shown(tmp_path, monkeypatch, command):
    text = (ROOT / "README.md").read_text()
    example = re.search(r"## An estimator of your own\n\n```\n(.*?)```", text, re.DOTALL)[1]
    mistaken, shown = re.search(r"`(log_mean_exp\(particles\.log_l.*?)`.*?```\n(.*?)```", text, re.DOTALL).groups()
    (tmp_path / "my_module.py").write_text(
        f"{example}\nclass Mine(Estimator):\n    def bound(self, particles):\n        return {mistaken}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name, code in (("IWAE", 0), ("Mine", 1)):
        ended, printed, _ = command("check", f"my_module.{name}")
        assert ended == code
    printed = [" ".join(line.split()) for line in printed.splitlines()]
    assert " 2 failed" in " ".join(printed)
    for line in shown.splitlines():
        assert " ".join(line.split()) in printed


def test_the_commands_of_the_readme_compose():
    commands = [
        line for block in blocks("README.md", "sh") for line in block.splitlines() if line.startswith("vi-train")
    ]
    assert len(commands) >= 5
    for command in commands:
        words = command.split("#")[0].split()[1:]
        words = [word for word in words if not word.startswith("-") and not word.endswith("_DIR")]
        singles = [re.sub(r"=([^,={]+),.*", r"=\1", word) for word in words]
        compose.resolve(*compose.compose(singles))


def test_the_readme_names_every_choice():
    text = (ROOT / "README.md").read_text()
    for group in compose.conf_directory().iterdir():
        if group.is_dir() and group.name != "hydra":
            assert f"`{group.name}`" in text
            for file in group.glob("*.yaml"):
                assert f"`{file.stem}`" in text, f"{group.name}/{file.stem}"


def test_documents_name_no_machine():
    for document in ROOT.glob("*.md"):
        assert not re.search(r"/(home|root|tmp|work)/", document.read_text()), document
