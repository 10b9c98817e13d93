"""The dashboard of a stranger's run is not used, and a stranger's folder does not say where the user's key goes."""

import shutil
from pathlib import Path

import keras
import pytest
import wandb
import yaml

import vi
from vi.errors import ConfigError
from vi.loggers.dashboard.wandb_run import Service
from vi.runs.api import evaluate
from vi.settings import compose, overrides, saved, validate

KEPT = Path(__file__).parents[1] / "data" / "old_run"
EVIL = {"mode": "online", "project": "p", "entity": "e", "settings": {"base_url": "http://127.0.0.1:9"}, "dir": "/"}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A stranger's run in the current directory that asks for a dashboard."""
    monkeypatch.chdir(tmp_path)
    directory = Path(shutil.copytree(KEPT, tmp_path / "run"))
    config = yaml.safe_load((directory / "config.yaml").read_text())
    config["logger"] = {"wandb": EVIL}
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    return directory


def test_the_dashboard_of_a_strangers_run_is_not_used(run, caplog):
    caplog.set_level("INFO")
    assert saved.read(run)["logger"] == {"wandb": None}
    assert "its settings of Weights & Biases are not used" in caplog.text
    assert saved.read(run, trust=["my_module"])["logger"] == {"wandb": None}
    assert vi.load(run).generate(1).shape == (1, 8, 8, 1)


@pytest.mark.parametrize("logger", [None, [1], "x", {"wandb": [1]}, {"wandb": {"mode": "on"}}, {}])
def test_no_logger_of_a_strangers_run_matters(run, logger):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["logger"] = logger
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert saved.read(run)["logger"] == {"wandb": None}


def test_the_command_line_gives_a_resumed_run_of_a_stranger_its_dashboard(run):
    for typed, expected in (
        ([], None),
        (["logger=wandb"], {"mode": "offline", "project": "vi", "entity": None, "tags": [], "group": None}),
        (
            ["logger.wandb.project=mine"],
            {"mode": "offline", "project": "mine", "entity": None, "tags": [], "group": None},
        ),
    ):
        words = [f"resume={run}", *typed]
        assert overrides.resumed(run, words, compose.compose(words)[0])["logger"]["wandb"] == expected


def test_the_dashboard_of_a_run_of_this_user_stays(run):
    config = saved.read(run)
    config["logger"] = {"wandb": {"mode": "disabled", "project": "mine", "entity": None, "tags": ["a"]}}
    saved.save(config, run / "config.yaml")
    assert saved.read(run)["logger"] == config["logger"]


@pytest.mark.parametrize("name", ["dir", "settings", "id", "name", "notes", "host", "config", "sync_tensorboard"])
def test_only_five_settings_of_the_dashboard_may_be_set(name):
    config = compose.resolve(*compose.compose(["data=digits"]))
    config["logger"] = {"wandb": {"mode": "offline", "project": "p", "entity": None, "tags": ["a"], "group": "g"}}
    validate.check(config)
    config["logger"]["wandb"][name] = "x"
    with pytest.raises(ConfigError, match=rf"^logger\.wandb\.{name}: there is no such key"):
        validate.check(config)


@pytest.mark.parametrize(("name", "value"), [("tags", "a"), ("tags", [1]), ("group", 3)])
def test_tags_are_texts(name, value):
    config = compose.resolve(*compose.compose(["data=digits"]))
    config["logger"] = {"wandb": {"mode": "offline", "project": "p", "entity": None, name: value}}
    with pytest.raises(ConfigError, match=rf"^logger\.wandb\.{name}="):
        validate.check(config)


def test_settings_in_the_current_directory_name_no_host(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("WANDB_BASE_URL", "WANDB_CONFIG_DIR", "WANDB_SERVICE"):
        monkeypatch.delenv(name, raising=False)
    text = "[default]\nbase_url = http://127.0.0.1:9\nproject = evil\n"
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text(text)
    (tmp_path / "run").mkdir()
    own = wandb.Settings.read_system_settings
    with Service().begin(tmp_path / "run", mode="offline") as logged:
        assert logged.run.settings.base_url == wandb.Settings().base_url
        assert logged.run.settings.project != "evil"
    assert wandb.Settings.read_system_settings is own


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_data_of_a_strangers_run_are_not_downloaded(name, run, monkeypatch):
    def download():
        pytest.fail("it was downloaded")

    monkeypatch.delenv("VI_DATA_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(run / "no_keras"))
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", download)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"] = {"_target_": f"vi.data.{name}", "path": None}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match=rf"{name}\.npz; data\.path=PATH says where"):
        evaluate(run)
