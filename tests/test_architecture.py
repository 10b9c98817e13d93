"""The shape of the library itself: who may import whom, and that nothing is without a config and a test."""

import inspect
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import vi.estimators
import vi.likelihoods
import vi.posteriors
import vi.priors
from tests.support.imports import circles, graph, imports_of
from tests.support.inventory import concrete
from vi.settings.conf import conf_directory

VI = Path(vi.__file__).parent
FILES = graph("vi", "experiments")
TESTS = graph("tests")
GROUND = {"errors", "text", "kinds", "random", "ops", "graphs", "files", "precision", "products", "particles"}
GROUND |= {"substitution", "quiet"}
COMPONENTS = {"likelihoods", "priors", "posteriors", "estimators"}
BELOW = {
    **dict.fromkeys(["settings", "distributions", "networks", "data", "loggers"], GROUND),
    **dict.fromkeys(["likelihoods", "priors", "posteriors"], GROUND | {"distributions", "networks"}),
    "estimators": GROUND,
    "models": GROUND | COMPONENTS | {"distributions", "networks"},
    "training": GROUND | COMPONENTS | {"data", "models"},
    "evaluation": GROUND | COMPONENTS | {"data", "models"},
    "testing": GROUND | COMPONENTS | {"settings", "networks", "models"},
}
BELOW["diagnostics"] = BELOW["training"] | {"training", "evaluation"}
BELOW["pictures"] = BELOW["diagnostics"]
BELOW["runs"] = set(BELOW) | GROUND
BELOW["compare"] = GROUND | {"settings", "pictures", "runs"}
BELOW["commands"] = set(BELOW) | GROUND
"""For each room of `vi/`, the rooms that its files may import besides their own: lower ones alone."""

ONLY = {
    "hydra": ("vi.settings", "vi.commands", "vi.runs.build"),
    "omegaconf": ("vi.settings", "vi.commands", "vi.runs.build"),
    "wandb": ("vi.loggers.dashboard",),
    "matplotlib": ("vi.pictures", "vi.compare"),
    "plotly": ("vi.compare",),
}
NEVER = {
    "tensorflow": ("vi.errors", "vi.text", "vi.kinds", "vi.files", "vi.settings", "vi.compare", "vi.loggers"),
    "keras": ("vi.errors", "vi.text", "vi.kinds", "vi.files", "vi.settings", "vi.compare", "vi.loggers"),
}


def room(module):
    return module.split(".")[1] if module.count(".") else ""


def is_in(module, rooms):
    return any(module == each or module.startswith(f"{each}.") for each in rooms)


@pytest.mark.parametrize("module", [module for module in FILES if module.startswith("vi.")])
def test_imports_lead_downward(module):
    own = room(module)
    wrong = [name for name in FILES[module] if room(name) not in {own, *BELOW.get(own, GROUND)}]
    assert wrong == []
    for name in imports_of(path_of(module)):
        top = name.split(".")[0]
        assert top not in ONLY or is_in(module, ONLY[top]), f"{module} imports {name}"
        assert top not in NEVER or not is_in(module, NEVER[top]), f"{module} imports {name}"


def test_no_files_import_one_another():
    assert circles(FILES) == []


def test_no_test_module_imports_another():
    shared = {name for names in TESTS.values() for name in names}
    assert [name for name in shared if ".test_" in name] == []


def test_names_of_tests_have_fewer_than_80_characters():
    names = re.findall(r"def (test_\w+)", "".join(path.read_text() for path in Path(__file__).parent.rglob("*.py")))
    assert [name for name in names if len(name) >= 80] == []


def test_the_comparison_of_runs_needs_their_directories_alone():
    found = {name for module in FILES if room(module) == "compare" for name in FILES[module] if room(name) == "runs"}
    assert found <= {"vi.runs.directory"}


def test_scripts_are_thin():
    scripts = (VI.parent / "experiments").rglob("*.py")
    assert [path.name for path in scripts if len(path.read_text().splitlines()) > 120] == []


def test_every_room_is_in_the_table():
    rooms = {path.stem for path in VI.glob("[a-z]*") if path.name != "conf"}
    assert rooms == {*BELOW, *GROUND}


def path_of(module):
    path = VI.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_modules_are_short():
    lines = sorted(len(path.read_text().splitlines()) for path in VI.rglob("*.py"))
    assert lines[-1] <= 400
    assert lines[len(lines) // 2] <= 150


FAMILIES = [
    (vi.estimators.Estimator, "estimator", "estimators importance score wake_sleep"),
    (vi.posteriors.Posterior, "posterior", "posteriors discrete relaxations"),
    (vi.likelihoods.Likelihood, "likelihood", "likelihoods"),
    (vi.priors.Prior, "prior", "posteriors discrete"),
]


@pytest.mark.parametrize(("base", "group", "tests"), FAMILIES)
def test_every_component_has_a_config_and_a_test(base, group, tests):
    files = (conf_directory() / group).glob("*.yaml")
    targets = {OmegaConf.load(file).get("_target_", "???") for file in files} - {"???"}
    classes = concrete(base)
    assert classes
    assert targets == {".".join([*each.__module__.split(".")[:2], each.__name__]) for each in classes}
    text = "".join(
        file.read_text() for each in tests.split() for file in Path(__file__).parent.rglob(f"test_{each}.py")
    )
    assert [each.__name__ for each in classes if not re.search(rf"\b{each.__name__}\(", text)] == []


def allowed_overrides(base):
    """The abstract methods and the hooks that the docstring of a base class names."""
    text = inspect.getdoc(base)
    return {name for name in vars(base) if f"`{name}`" in text} | set(base.__abstractmethods__)


@pytest.mark.parametrize(("base", "group", "tests"), FAMILIES)
def test_subclasses_replace_abstract_methods_and_named_hooks_only(base, group, tests):
    for each in concrete(base):
        for parent in each.__mro__[: each.__mro__.index(base)]:
            names = {name for name in vars(parent) if not name.startswith("_") and name in vars(base)}
            assert names <= allowed_overrides(base), f"{parent.__name__} replaces {names - allowed_overrides(base)}"


def test_settings_and_particles_name_the_same_groups():
    from vi import particles
    from vi.settings import keys

    assert keys.GROUPS == particles.GROUPS
