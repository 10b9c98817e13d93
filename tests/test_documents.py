"""What the documents show is run as it stands there."""

import ast
import os
import pkgutil
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import vi
from tests.support import models
from tests.support.documents import (
    PAGES,
    ROOT,
    RUN,
    SHOWN,
    Reader,
    blocks,
    commands,
    python,
    quick,
    single,
    write_files,
    write_mnist,
)
from tests.support.training import make_trainer
from vi import networks
from vi.models import LatentVariableModel
from vi.runs import build
from vi.settings import compose

TRAINING = [page for page in PAGES if commands(page) and page != "docs/index.md"]


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty directory, importable as the current one is to a command, with data of MNIST's shapes beside it."""
    directory, data = tmp_path / "empty", tmp_path / "data"
    directory.mkdir()
    data.mkdir()
    write_mnist(data)
    monkeypatch.setenv("VI_DATA_DIR", str(data))
    monkeypatch.chdir(directory)
    monkeypatch.syspath_prepend(str(directory))
    yield directory
    for name in [
        name for name, module in sys.modules.items() if str(directory) in str(getattr(module, "__file__", ""))
    ]:
        del sys.modules[name]


@pytest.fixture
def reader(empty, command, monkeypatch):
    """A reader in an empty directory that holds the files of the pages."""
    write_files(empty)
    return Reader(command, monkeypatch)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_is_marked_as_shown(page):
    for block in blocks(page):
        assert block.language in RUN + SHOWN, f"{page}: a block of no known language: {block.text[:40]}"
        assert block.language != "yaml" or block.title, f"{page}: a block of YAML that is no file"


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_the_commands_of_a_page_name_what_there_is(page, reader):
    for name, *words in commands(page):
        assert name in (".", "make", "vi-train", "vi-evaluate", "vi-diagnose", "vi-compare", "vi-check"), name
        if name == "vi-train" and "--config-dir" not in words and "--help" not in words:
            compose.resolve(*compose.compose([word for word in single(words) if not word.endswith("_DIR")]))
        elif name in ("vi-evaluate", "vi-diagnose"):
            compose.compose_request(name.removeprefix("vi-"), words)


@pytest.mark.slow
def test_the_first_page_can_be_followed_from_an_empty_directory(reader, without_pictures):
    reader.follow("docs/index.md")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Optuna warns of its own plugins
@pytest.mark.parametrize("page", TRAINING)
def test_a_page_can_be_followed(page, reader):
    text = (ROOT / page).read_text()
    if re.search(r"\b(RUN|SWEEP)_DIR", text):
        run = vi.train([], directory="RUN_DIR")
        reader.names["x"] = scaled(run)
    if "SWEEP_DIR" in text:
        reader.type(["vi-train", "-m", "estimator=analytic_kl,iwae", "seed=0,1", "hydra.sweep.dir=SWEEP_DIR"])
    if "FAILED_RUN_DIR" in text:
        stop_at_a_step_that_is_not_finite("FAILED_RUN_DIR")
    reader.follow(page)


@pytest.mark.slow
def test_the_python_of_the_pages_loads_uses_and_replays_runs(reader, without_pictures):
    for block in python("README.md"):
        exec(block, reader.names)
    assert isinstance(reader.names["model"], LatentVariableModel)
    assert reader.names["images"].shape == (16, 8, 8, 1)
    run = reader.names["run"]
    run.directory.rename("RUN_DIR")
    reader.names["x"] = scaled(run)
    for block in python("docs/models.md"):
        exec(block, reader.names)
    shapes = {name: reader.names[name].shape for name in ("images", "z", "log_q", "mean", "once", "often")}
    assert shapes == {
        "images": (1, 8, 8, 1),
        "z": (5, 25, 2),
        "log_q": (5, 25),
        "mean": (5, 2),
        "once": (5, 8, 8, 1),
        "often": (5, 25, 8, 8, 1),
    }
    stop_at_a_step_that_is_not_finite("FAILED_RUN_DIR")
    for block in python("docs/runs.md"):
        exec(block, reader.names)
    assert reader.names["step"].causes


def test_using_a_model_takes_three_lines_each():
    for block in python("docs/models.md"):
        assert len([line for line in block.splitlines() if line and not line.startswith("import ")]) == 3


def test_a_laplace_likelihood_and_an_estimator_from_the_pages_train(empty, command, monkeypatch, without_pictures):
    reader = Reader(command, monkeypatch)
    for page, name in (("docs/models.md", "my_likelihoods.py"), ("docs/estimators.md", "my_bounds.py")):
        (file,) = [block.text for block in blocks(page) if block.title == name]
        (empty / name).write_text(file)
    own = ["likelihood=my_likelihoods.Laplace", "likelihood.scale=0.2", "estimator=my_bounds.IWAE"]
    reader.type(["vi-train", *own, "estimator.samples=3", "data.binarization=none", "hydra.run.dir=run"])
    assert vi.load("run").likelihood.scale == 0.2


@pytest.mark.slow
def test_vi_check_passes_the_estimator_and_prints_what_is_shown_of_the_mistake(reader):
    assert reader.run("vi-check", ["my_bounds.IWAE"])[0] == 0
    (shown,) = [block for block in blocks("docs/estimators.md") if block.language == "text" and block.title]
    assert reader.compare(shown) == 1


def scaled(run):
    """Five data of a run as its model sees them."""
    return build.build(run.config).data.validation.x[:5] / np.float32(16)


def stop_at_a_step_that_is_not_finite(directory):
    """Makes a run that stops so."""
    with pytest.raises(vi.RunError, match="not finite"):
        vi.train(["optimizer=sgd", "optimizer.learning_rate=1e9"], directory=directory)


def smallest():
    """The components that CONTRIBUTING.md shows: the name that each block of Python defines, with the block."""
    for block in python("CONTRIBUTING.md"):
        defined = [each for each in ast.parse(block).body if isinstance(each, ast.ClassDef | ast.FunctionDef)]
        yield defined[0].name, block


EXAMPLES = dict(smallest())
GROUP = {
    "IWAE": "estimator",
    "LogNormal": "posterior",
    "Laplace": "likelihood",
    "WideNormal": "prior",
    "tanh_encoder": "encoder",
    "cube": "data",
}


def defined_by(block):
    """The names that a block of Python defines."""
    namespace = {"__name__": "document"}
    exec(block, namespace)
    return namespace


def test_a_component_of_each_kind_is_shown_complete_and_short():
    assert set(EXAMPLES) == set(GROUP)
    for name, block in EXAMPLES.items():
        body = block[re.search("^(class|def) ", block, re.MULTILINE).start() :]
        assert len([line for line in body.splitlines() if line.strip()]) < 15, name


def test_the_smallest_components_train_and_their_densities_and_samples_agree():
    iwae, log_normal, laplace, wide_normal = (
        defined_by(EXAMPLES[name])[name] for name in ("IWAE", "LogNormal", "Laplace", "WideNormal")
    )
    model = LatentVariableModel(
        networks.mlp_encoder((models.D,), [8]),
        log_normal(models.L),
        networks.mlp_decoder(models.L, (models.D,), [8]),
        laplace((models.D,)),
        wide_normal(models.L),
    )
    trainer = make_trainer(iwae(5), model=model)
    trainer.run(200)
    first = trainer.averages()["train/bound"]
    trainer.run(200)
    assert trainer.averages()["train/bound"] > first
    particles = models.make_particles(model, iwae(5).draws)
    np.testing.assert_allclose(particles.posterior.log_prob(particles.z), particles.log_posterior, rtol=1e-3, atol=1e-4)
    noise = model.likelihood.noise([1, 2000], models.random.seed(0, "train"))
    x = model.decode(tf.zeros([1, 2000, models.L])).sample(noise)
    models.assert_mean(x.numpy()[0], model.decode(tf.zeros([models.L])).mean().numpy())
    z = model.prior.sample(model.prior.noise([2000], models.random.seed(0, "train")))
    models.assert_mean(z.numpy(), np.zeros(models.L))
    models.assert_mean(z.numpy() ** 2, np.full(models.L, 4.0))


@pytest.mark.slow
def test_the_smallest_components_run_together_from_the_command_line(empty):
    names = [name for name in EXAMPLES if name != "cube"]  # its data are no images
    for name in names:
        (empty / f"my_{name.lower()}.py").write_text(EXAMPLES[name])
    own = [f"{GROUP[name]}=my_{name.lower()}.{name}" for name in names]
    run = vi.train(quick(own), directory=empty / "run")
    assert run.summary["status"] == "finished"
    pictures = {path.stem for path in (run.directory / "figures").iterdir()}
    assert {"latent_space", "manifold", "reconstructions", "samples", "prior_samples", "curves"} <= pictures


def test_the_smallest_data_set_holds_what_its_docstring_says():
    data = defined_by(EXAMPLES["cube"])["cube"](size=100)
    assert (data.event_shape, len(data.train), len(data.validation)) == ((3,), 90, 10)


def test_the_ways_through_the_library_name_functions_that_exist():
    lists = [block.text for block in blocks("CONTRIBUTING.md") if block.title == "functions of vi"]
    assert len(lists) == 3
    for line in "".join(lists).splitlines():
        assert callable(pkgutil.resolve_name(f"vi.{line.split()[0]}")), line


def test_the_pages_name_every_choice():
    text = (ROOT / "docs" / "choices.md").read_text()
    for group in compose.conf_directory().iterdir():
        if group.is_dir() and group.name != "hydra":
            assert f"`{group.name}`" in text
            for file in group.glob("*.yaml"):
                assert f"`{file.stem}`" in text, f"{group.name}/{file.stem}"


def test_the_readme_fits_on_two_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_documents_name_no_machine():
    for page in PAGES:
        assert not re.search(r"/(home|root|tmp|work)/", (ROOT / page).read_text()), page


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link_and_fetches_nothing(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, env=quiet)
    assert (built.returncode, built.stderr) == (0, "")
    pages = [page.relative_to(tmp_path).as_posix() for page in tmp_path.rglob("*.html")]
    assert {"index.html", "estimators.html", "api/estimators.html", "experiments/index.html"} <= set(pages)
    for page in pages:
        text = (tmp_path / page).read_text()
        fetched = re.findall(r'<(?:script|img|iframe|source)[^>]*\ssrc="(https?:[^"]*)', text)
        fetched += [link for link in re.findall(r"<link[^>]*>", text) if "http" in link and "canonical" not in link]
        assert fetched == [], page
