"""The shape of the library itself: who may import whom, and that nothing is without a config and a test."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import vi.estimators
import vi.likelihoods
import vi.posteriors
import vi.priors
from vi.config import conf_directory

VI = Path(vi.__file__).parent
LEAVES = {"errors", "types", "random", "ops"}
MAY_IMPORT = {
    "errors": set(),
    "types": {"errors"},
    "random": set(),
    "ops": set(),
    "schema": {"errors"},
    "sentences": {"schema"},
    "dotted": {"errors", "schema", "sentences"},
    "estimators": LEAVES,
    "networks": LEAVES,
    "discrete": {"errors"},
    "posteriors": LEAVES | {"discrete"},
    "likelihoods": LEAVES,
    "priors": LEAVES | {"discrete"},
    "model": LEAVES | {"networks", "posteriors", "likelihoods", "priors"},
    "data": LEAVES,
    "synthetic": LEAVES | {"data"},
    "densities": LEAVES,
    "schedules": {"errors"},
    "directory": {"errors"},
    "interruption": {"errors"},
    "checkpoint": LEAVES,
    "loggers": LEAVES | {"directory"},
    "dashboard": LEAVES | {"loggers"},
    "figures": LEAVES,
    "diagrams": LEAVES,
    "statistics": set(),
    "probes": set(),
    "evaluate": LEAVES | {"statistics"},
    "testing": LEAVES | {"estimators", "likelihoods", "model", "posteriors", "priors", "sentences"},
    "trainer": LEAVES | {"estimators"},
    "diagnostics": LEAVES | {"estimators", "trainer"},
    "loop": LEAVES | {"trainer"},
    "nonfinite": LEAVES | {"checkpoint", "estimators", "trainer"},
    "pictures": LEAVES | {"diagrams", "evaluate", "figures"},
    "evaluation": LEAVES | {"directory", "evaluate", "pictures", "probes", "statistics"},
    "job": LEAVES
    | {
        "checkpoint",
        "dashboard",
        "diagnostics",
        "directory",
        "evaluate",
        "evaluation",
        "interruption",
        "loggers",
        "loop",
    }
    | {"nonfinite", "pictures", "probes", "trainer"},
    "config": LEAVES
    | {"schema", "sentences", "directory", "dotted", "model", "networks", "data", "estimators"}
    | {"likelihoods", "posteriors", "priors"},
    "runs": {"errors", "schema", "config", "directory", "interruption", "job", "checkpoint", "evaluation", "nonfinite"}
    | {"diagnostics", "estimators", "evaluate", "figures"},
    "compare": {"errors", "directory", "schema", "figures"},
    "commands": {"config", "errors", "loggers", "quiet", "runs", "sentences"},
    "cli": {"config", "directory", "errors", "interruption", "job", "loggers", "quiet", "runs", "sentences"},
    "check": {"config", "dotted", "errors", "quiet", "sentences", "testing"},
    "quiet": set(),
    "__init__": {"config", "errors", "estimators", "model"},
}
ONLY = {
    "hydra": {"config", "cli"},
    "omegaconf": {"config", "cli"},
    "wandb": {"dashboard"},
    "matplotlib": {"figures"},
    "plotly": {"compare"},
    "tensorflow": set(MAY_IMPORT)
    - {
        "errors",
        "schema",
        "sentences",
        "dotted",
        "directory",
        "interruption",
        "config",
        "runs",
        "__init__",
        "loop",
        "loggers",
        "dashboard",
        "synthetic",
        "schedules",
        "check",
    }
    - {"figures", "compare", "evaluation", "probes", "statistics"},
}


def module_of(path):
    parts = path.relative_to(VI).with_suffix("").parts
    return parts[0]


def imports(path):
    """What a module imports, names under `if TYPE_CHECKING` left out."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "vi":
            yield from (f"vi.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


MODULES = sorted(VI.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(VI)))
def test_imports_go_one_way(path):
    module = module_of(path)
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "vi" and rest and rest[0] != module:
            assert rest[0] in MAY_IMPORT[module], f"{module} imports {name}"
        if top in ONLY:
            assert module in ONLY[top], f"{module} imports {name}"


def test_every_module_is_in_the_table():
    assert {module_of(path) for path in MODULES} == set(MAY_IMPORT)


def test_modules_are_short():
    lines = sorted(len(path.read_text().splitlines()) for path in MODULES)
    assert lines[-1] <= 400
    assert lines[len(lines) // 2] <= 150


def concrete(base):
    """The concrete subclasses of `base` that the library defines."""
    classes = [base]
    for each in classes:
        classes += each.__subclasses__()
    return {c for c in classes if not inspect.isabstract(c) and re.match(r"vi\.(?!testing)", c.__module__)}


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
    text = "".join((Path(__file__).parent / f"test_{each}.py").read_text() for each in tests.split())
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


def test_what_cannot_import_tensorflow_names_the_same_groups():
    from vi import schema, types

    assert schema.GROUPS == types.GROUPS
