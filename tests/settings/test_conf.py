"""The files of conf/ hold what the constructors declare: the same keys and defaults, but for the presets named here."""

import pytest
from omegaconf import OmegaConf

from vi.settings import compose, sections
from vi.settings.conf import choices_in, conf_directory
from vi.settings.constructors import REQUIRED, read
from vi.settings.epochs import COUNTED
from vi.settings.keys import COMPONENTS, MISSING
from vi.settings.validate import GIVEN

PRESETS = {
    "estimator/multi_sample": {"samples": 25},
    "estimator/multi_sample_monte_carlo_kl": {"samples": 25},
    "prior/categorical": {"categories": "${posterior.categories}"},
    "prior/density": {"log_density": {"_target_": MISSING, "_partial_": True}},
    "optimizer/burda2015_full": {"learning_rate", "epsilon"},
    "optimizer/burda2015_short": {"learning_rate", "epsilon"},
}
"""What a file sets that differs from the constructor's defaults; of optimizers the keys alone."""
FILES = [
    f"{group}/{file.stem}"
    for group in COMPONENTS
    for file in sorted((conf_directory() / group).glob("*.yaml"))
    if file.stem != "custom"
]


def load(name):
    """A file of conf/, with those that it names in its defaults, as plain values."""
    group, content = name.split("/")[0], OmegaConf.to_container(OmegaConf.load(conf_directory() / f"{name}.yaml"))
    for base in content.pop("defaults", []):
        content = content if base == "_self_" else {**load(f"{group}/{base}"), **content}
    return content.get(group, content)


def as_in_yaml(default):
    return MISSING if default is REQUIRED else list(default) if isinstance(default, tuple) else default


@pytest.mark.parametrize("name", FILES)
def test_a_file_agrees_with_the_constructor_that_it_configures(name):
    settings, group = load(name), name.split("/")[0]
    constructor = read(settings.pop("_target_"))
    defaults = {key: as_in_yaml(argument.default) for key, argument in constructor.arguments.items()}
    if group == "optimizer":  # Keras's have more arguments than are worth a line
        differing = {key for key in settings if settings[key] != defaults[key]}
        assert differing == PRESETS.get(name, set())
    else:
        expected = {key: default for key, default in defaults.items() if key not in GIVEN.get(group, ())}
        assert settings == {**expected, **PRESETS.get(name, {})}


def test_a_preset_says_so():
    presets = {name for name in PRESETS if not name.startswith("prior/")}
    texts = {name: (conf_directory() / f"{name}.yaml").read_text() for name in FILES}
    assert presets == {name for name, text in texts.items() if "# A preset: " in text}


def defaults_of(section):
    return {key: as_in_yaml(argument.default) for key, argument in sections.declared(section).items()}


def test_the_files_of_the_sections_agree_with_their_declarations():
    train = OmegaConf.to_container(OmegaConf.load(conf_directory() / "train.yaml"))
    train.pop("defaults")
    assert train.pop("model") == defaults_of(sections.Model)
    assert train.pop("sweep") == defaults_of(sections.Sweep)
    assert train == defaults_of(sections.Run)
    assert load("trainer/default") == defaults_of(sections.Trainer)
    assert load("logger/wandb") == {"wandb": defaults_of(sections.Wandb)}
    assert load("logger/none") == defaults_of(sections.Logger)


@pytest.mark.parametrize("command", sections.REQUESTS)
def test_the_file_of_a_request_agrees_with_its_declaration(command):
    asked = OmegaConf.to_container(OmegaConf.load(conf_directory() / f"{command}.yaml"))
    known = sections.REQUESTS[command]
    assert asked.pop("data") == defaults_of(known["data"])
    assert asked == defaults_of(known[""])


def test_every_kind_admits_the_default_that_is_declared():
    declared = [argument for section in sections.RUN.values() for argument in sections.declared(section).values()]
    components = [read(load(name)["_target_"]) for name in FILES if not name.startswith("optimizer/")]
    declared += [argument for each in components for argument in each.arguments.values()]
    for argument in declared:
        default = as_in_yaml(argument.default)
        assert default == MISSING or argument.kind.test(default), argument


@pytest.mark.parametrize("name", ["cosine", "exponential", "linear", "restarts", "stages"])
def test_schedules_take_the_keys_of_their_files(name):
    settings = OmegaConf.to_container(OmegaConf.load(conf_directory() / "schedule" / f"{name}.yaml"))
    assert {COUNTED.get(key, key) for key in settings} - {"_target_"} <= set(read(settings["_target_"]).arguments)


def test_schedules_that_a_warmup_names_take_its_keys():
    for file in (conf_directory() / "warmup").glob("*.yaml"):
        beta = OmegaConf.to_container(OmegaConf.load(file))["beta"]
        assert set(beta) - {"_target_"} <= set(read(beta["_target_"]).arguments)


@pytest.mark.parametrize("name", choices_in("estimator"))
def test_estimators_by_name_have_the_settings_of_their_choice(name):
    settings = compose.estimators_of([name])[name]
    assert settings == compose.resolve(*compose.compose([f"estimator={name}"]))["estimator"]
    assert settings["_target_"].startswith("vi.estimators.")
