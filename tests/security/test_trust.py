"""A saved config is data: what it names is run only if it is the library's, the user's own, or trusted on the call."""

import shutil
import stat
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml

import vi
from tests.support.runs import TINY
from vi.errors import ConfigError
from vi.runs.api import diagnose, evaluate, replay
from vi.settings import compose, saved, signature, trust

pytestmark = pytest.mark.usefixtures("nothing_leaves")
KEPT = Path(__file__).parents[1] / "data" / "old_run"
"""A run without a signature, as a stranger's."""
EVIL = """
    import pathlib
    pathlib.Path(__file__).with_name("canary").touch()

    def call(*arguments, **options):
        raise AssertionError("has run")

    class Own(dict):
        pass
"""
SCHEDULE = {"_target_": "my_evil.call", "initial_learning_rate": 0.1}
HOSTILE = {
    # Targets of components.
    **{
        f"{group}._target_": (f"{group}._target_", f"my_evil.{name}", "would run code in {here}/my_evil.py")
        for group, name in (("estimator", "Own"), ("data", "call"), ("encoder", "call"), ("decoder", "call"))
    },
    **{
        f"{group}._target_ again": (f"{group}._target_", "my_evil.call", "would run code in {here}/my_evil.py")
        for group in ("posterior", "likelihood", "prior", "optimizer")
    },
    # Names behind trusted prefixes.
    "np.load": ("data._target_", "vi.data.named.np.load", "would run code"),
    "keras.saving": ("encoder._target_", "keras.saving.load_model", "would run code"),
    "keras.utils": ("data._target_", "keras.utils.get_file", "would run code"),
    "deserialize": ("optimizer._target_", "keras.optimizers.deserialize", "would run code"),
    "schedules": ("optimizer.learning_rate", {"_target_": "keras.optimizers.schedules.deserialize"}, "would run code"),
    "os": ("data._target_", "os.system", "would run code"),
    "subprocess": ("data._target_", "subprocess.run", "would run code"),
    "builtins": ("data._target_", "builtins.eval", "would run code"),
    "hydra": ("data._target_", "hydra.utils.call", "would run code"),
    "private": ("data._target_", "vi.data.named._find", "would run code"),
    "train": ("data._target_", "vi.train", "would run code"),
    # Targets at any depth.
    "beta": ("trainer.beta", SCHEDULE, "trainer.beta._target_=my_evil.call: would run code in {here}/my_evil.py"),
    "learning rate": ("optimizer.learning_rate", SCHEDULE, "optimizer.learning_rate._target_=my_evil.call: would run"),
    "group": ("optimizer.generative", {"learning_rate": SCHEDULE}, "optimizer.generative.learning_rate._target_=my"),
    "argument": ("estimator.free_bits", SCHEDULE, "estimator.free_bits._target_=my_evil.call: would run code"),
    "list": ("encoder.hidden", [4, {"_target_": "os.system", "command": "x"}], "encoder.hidden.1._target_=os.system:"),
    "deep": ("encoder.hidden", {"a": [{"b": SCHEDULE}]}, "encoder.hidden.a.0.b._target_=my_evil.call: would run code"),
    "logger": ("logger", {"wandb": {"_target_": "my_evil.call"}}, "logger.wandb._target_=my_evil.call: would run code"),
    "no text": ("data._target_", ["os.system"], "would run code"),
    "a number": ("trainer.beta", {"_target_": 3}, "trainer.beta._target_=3: would run code"),
    # Hydra's own keys, and interpolations.
    **{
        name: (f"estimator.{name}", value, f"estimator.{name}=")
        for name, value in (("_partial_", True), ("_recursive_", False), ("_convert_", "none"))
    },
    "_args_": ("data._args_", ["x"], "data._args_=['x']: must be left out of a saved config."),
    "environment": ("name", "${oc.env:HOME}", "name=${{oc.env:HOME}}: a saved config holds no interpolations."),
    "decode": ("data.seed", "${oc.decode:'3'}", "a saved config holds no interpolations."),
    "reference": ("data.seed", "${seed}", "a saved config holds no interpolations."),
    "inside": ("encoder.hidden", ["${seed}"], "a saved config holds no interpolations."),
    "key": ("trainer.update_every", {"${seed}": 1}, "a saved config holds no interpolations."),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current directory, with a module whose import leaves a canary."""
    (tmp_path / "my_evil.py").write_text(textwrap.dedent(EVIL))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("my_evil", None)


def stranger(here, key, value):
    """A run of somebody else whose config has this value."""
    run = Path(shutil.copytree(KEPT, here / "run"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    *sections, name = key.split(".")
    section = config
    for each in sections:
        section = section[each]
    section[name] = value
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return run


def assert_refused(here, sentence, call):
    """A call is refused with one sentence, and nothing has run."""
    environment = dict(sys.modules)
    with pytest.raises(ConfigError) as error:
        call()
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert not (here / "canary").exists()
    assert "my_evil" not in set(sys.modules) - set(environment)
    assert str(here) not in sys.path


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_that_a_stranger_names_is_run(case, here):
    key, value, sentence = HOSTILE[case]
    run = stranger(here, key, value)
    for call in (
        lambda: vi.load(run),
        lambda: evaluate(run, split="validation", samples=2),
        lambda: diagnose(run, ["iwae"], [2]),
        lambda: vi.train([f"resume={run}"]),
        lambda: replay(run / "nonfinite"),
    ):
        assert_refused(here, sentence.format(here=here), call)


def test_the_sentence_says_how_to_trust_and_then_it_is_so(here):
    run = stranger(here, "estimator._target_", "my_evil.Own")
    assert_refused(here, "if you trust the code, add trust=my_evil.", lambda: vi.load(run))
    for word in ("evil", "my", "my_evil.Other", "my_evi"):
        assert_refused(here, "would run code", lambda word=word: vi.load(run, trust=word))
    for word in ("my_evil", ["other", "my_evil"], "my_evil.Own"):
        assert np.isfinite(vi.load(run, trust=word).generate(2)).all()  # the model needs no estimator


def test_trust_in_a_module_is_no_trust_in_what_it_imports(here):
    (here / "my_evil.py").write_text("import os\nfrom os import system\nfrom my_other import Own\nkept = os.system\n")
    (here / "my_other.py").write_text(textwrap.dedent(EVIL))
    run = stranger(here, "estimator._target_", "my_evil.os.system")
    text = (run / "config.yaml").read_text()
    for name in ("os.system", "system", "kept", "Own", "os"):
        (run / "config.yaml").write_text(text.replace("my_evil.os.system", f"my_evil.{name}"))
        assert_refused(here, "would run code", lambda: vi.load(run, trust="my_evil"))
    (run / "config.yaml").write_text(text.replace("my_evil.os.system", "my_evil.Own"))
    assert_refused(here, "if you trust the code, add trust=my_evil.Own.", lambda: vi.load(run, trust="my_evil"))
    assert saved.read(run, trust="my_evil.Own")["estimator"]["_target_"] == "my_evil.Own"


def test_a_signed_run_trusts_no_module_of_the_same_name_elsewhere(here, monkeypatch):
    run = stranger(here, "estimator._target_", "my_evil.Own")
    saved.save(saved.read(run, trust="my_evil"), run / "config.yaml")
    assert saved.read(run)["estimator"]["_target_"] == "my_evil.Own"
    elsewhere = here / "elsewhere"
    shutil.copytree(run, elsewhere / "run")
    shutil.copy(here / "my_evil.py", elsewhere)
    monkeypatch.chdir(elsewhere)
    assert_refused(here, f"would run code in {elsewhere}/my_evil.py", lambda: vi.load(elsewhere / "run"))
    assert not (elsewhere / "canary").exists()


@pytest.mark.parametrize("command", ["evaluate", "diagnose", "train"])
def test_the_commands_take_the_word_of_trust(command, here, monkeypatch):
    run = stranger(here, "estimator._target_", "my_evil.Own")

    def ask(*words):
        if command == "train":
            return lambda: vi.train([f"resume={run}", *words])
        from vi.commands.requests import request

        return lambda: request(command, [f"run={run}", *words])

    assert_refused(here, "estimator._target_=my_evil.Own: would run code", ask())
    if command != "train":
        assert_refused(here, "trust=3 x: must be the name of a module, or a list of names", ask("trust='3 x'"))
    with pytest.raises(ConfigError, match=r"gives a Own, but must give a vi\.estimators\.Estimator"):
        evaluate(run, split="validation", trust="my_evil")
    assert (here / "canary").exists()


def test_a_run_of_this_user_needs_no_word(here):
    config = compose.resolve(*compose.compose([*TINY, "estimator=custom", "estimator._target_=my_evil.Own"]))
    run = here / "own"
    run.mkdir()
    saved.save(config, run / "config.yaml")
    assert saved.read(run)["estimator"]["_target_"] == "my_evil.Own"
    copy = Path(shutil.copytree(run, here / "copy"))
    assert saved.read(copy) == saved.read(run)
    file = copy / "config.yaml"
    for changed in (
        file.read_text().replace("my_evil.Own", "my_evil.call"),
        file.read_text().replace("seed: 0", "seed: 1", 1),
        "\n" + file.read_text(),
        file.read_text() + "# more\n",
        file.read_text().rpartition(signature.LINE)[0],
        file.read_text().rpartition(signature.LINE)[0] + signature.LINE + "é" * 64 + "\n",
    ):
        file.write_text(changed)
        assert_refused(here, "would run code", lambda: saved.read(copy))
        shutil.copy(run / "config.yaml", file)


def test_the_key_is_the_users_alone_and_another_key_signs_nothing_here(here, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(here / "state"))
    text = signature.signed("a: 1\n")
    assert signature.is_signed(text)
    key = here / "state" / "vi" / "key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    assert signature.signed("a: 1\n") == text
    assert [path.name for path in key.parent.iterdir()] == ["key"]
    monkeypatch.setenv("XDG_STATE_HOME", str(here / "other"))
    assert not signature.is_signed(text)
    assert not (here / "other").exists()  # to read a run makes no key


def test_without_a_key_a_run_works_and_is_not_signed(here, monkeypatch):
    (here / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(here / "file"))
    assert signature.signed("a: 1\n") == "a: 1\n"
    assert not signature.is_signed("a: 1\n")


def test_what_the_configs_of_the_library_name_is_known_and_nothing_else():
    known = trust.known_targets()
    assert {"vi.estimators.IWAE", "vi.data.mnist", "keras.optimizers.Adam", "keras.optimizers.SGD"} <= known
    assert {"keras.optimizers.schedules.CosineDecay", "vi.training.schedules.Cyclical"} <= known
    assert all(target.startswith(("vi.", "keras.optimizers.")) for target in known)
    assert not {"keras.optimizers.get", "keras.optimizers.deserialize", "vi.data"} & known


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_a_run_with_a_component_of_ones_own_is_opened_and_resumed_as_before(here):
    (here / "my_estimator.py").write_text(
        "from vi.estimators import IWAE\n\nclass Mine(IWAE):\n    pass\n", encoding="utf-8"
    )
    run = vi.train([*TINY, "estimator=my_estimator.Mine", "estimator.samples=2"], directory="run")
    assert run.load().generate(1).shape == (1, 8, 8, 1)
    resumed = vi.train(["resume=run", "trainer.epochs=2"])
    assert resumed.summary["estimator"] == "Mine"
    sys.modules.pop("my_estimator", None)
