"""Configs as plain values: reads config.yaml of this or an older version, and writes it."""

from __future__ import annotations

import copy
import functools
import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi.errors import ConfigError
from vi.files import MEGABYTE, read_text, require_real, write
from vi.settings import sections, validate
from vi.settings.constructors import REQUIRED, Code, Constructor
from vi.settings.constructors import read as constructor_of
from vi.settings.keys import COMMANDS, COMPONENTS, GROUPS, MISSING
from vi.settings.sentences import sentence
from vi.settings.signature import is_signed, signed
from vi.settings.trust import places, require_plain_values, require_plain_yaml, require_trusted

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

Config = dict[str, Any]

MOVED = {
    "vi.relaxations.Annealing": "vi.training.schedules.Annealing",
    "vi.relaxations.": "vi.posteriors.",
    "vi.schedules.": "vi.training.schedules.",
    "vi.densities.": "vi.distributions.densities.",
    "vi.synthetic.": "vi.data.",
}
"""The current paths of classes and functions, by their paths in older versions. A path of a module ends with a dot."""

_AS_GIVEN = {"validation": None, "scale": 1.0, "binarization": "none"}
EARLIER: dict[str, dict[str, Any]] = {
    "vi.data.digits": _AS_GIVEN,
    **dict.fromkeys(["vi.data.mnist", "vi.data.fashion_mnist", "vi.data.omniglot"], _AS_GIVEN),
    "vi.data.binarized_mnist": _AS_GIVEN,
    "vi.data.linear_gaussian": {"validation": None},
    "vi.estimators.IWAE": {"samples": 1},
    "vi.estimators.DReG": {"samples": 1},
    "vi.posteriors.LocationScale": {"base": "normal"},
    "vi.likelihoods.Gaussian": {"form": "softplus"},
}
"""The values of missing keys in configs of older versions, if they differ from the current defaults.

By the target of a component, or the dotted key of a section ("trainer", or "" for the config itself). If the default of
a new key changes what a run does, it gets a line here with the earlier behaviour.
"""


def read(run_dir: Path, key: str | None = None, trust: str | Sequence[str] | None = ()) -> Config:
    """The config of a run, in the form of this version.

    Args:
        run_dir: the directory of the run.
        key: the setting that names `run_dir`, for error messages.
        trust: the modules of other people whose code may run. None if nothing of the config is built: its components
            are then not looked at.

    Raises:
        ConfigError: the directory holds no run, its config is damaged, or it names code that is not trusted.
    """
    from omegaconf import OmegaConf
    from yaml import YAMLError

    file, what = run_dir / "config.yaml", f"{key}={run_dir}" if key else str(run_dir)
    if not os.path.lexists(file):
        raise ConfigError(f"{what}: holds no config.yaml, so it is not the directory of a run.")
    require_real(run_dir)
    try:
        text = read_text(file, MEGABYTE)
        stream = io.StringIO(text)
        stream.name = str(file.absolute())  # for error messages
        require_plain_yaml(stream)
        stream.seek(0)
        config: Any = OmegaConf.to_container(OmegaConf.load(stream))
    except (YAMLError, OSError, ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(f"{what}: its config.yaml is damaged: {sentence(error).rstrip('.')}.") from None
    if not isinstance(config, dict) or not {"model", "trainer", *COMPONENTS} <= set(config):
        raise ConfigError(f"{what}: its config.yaml is not the config of a run.")
    config = as_of_today(config)
    try:
        require_plain_values(config)
        if trust is not None and not is_signed(text, places(config)):
            require_trusted(config, trust)
            _forget_dashboard(config, run_dir)
            _forbid_download(config["data"])
        if trust is not None:
            validate.check(config)
    except ConfigError as error:
        raise ConfigError(f"{what}: in its config.yaml, {error}") from None
    return config


def _forget_dashboard(config: Config, run_dir: Path) -> None:
    """Takes out the dashboard of a run that this user has not made here, so that nothing is sent anywhere."""
    logger = config.get("logger")
    dashboard = logger.get("wandb") if isinstance(logger, dict) else None
    config["logger"] = {"wandb": None}
    if dashboard is not None:
        _warn_of_dashboard(run_dir.absolute())


def _forbid_download(data: Any) -> None:
    """Sets the path of data that Keras would download, so that nothing is fetched for somebody else's run.

    The path is where Keras keeps them once they are on this machine.
    """
    name = str(data.get("_target_")).removeprefix("vi.data.") if isinstance(data, dict) else ""
    if name not in ("mnist", "fashion_mnist") or data.get("path") is not None:
        return
    given = os.environ.get("VI_DATA_DIR")
    if given is None or not Path(given).expanduser().joinpath(f"{name}.npz").is_file():
        home = os.environ.get("KERAS_HOME") or str(Path("~", ".keras"))
        data["path"] = str(Path(home).expanduser() / "datasets" / f"{name}.npz")


@functools.cache
def _warn_of_dashboard(run_dir: Path) -> None:
    """Says once that a run has lost its dashboard; a command reads the config of a run several times."""
    log.warning(
        "The run was not made by this user on this machine, so its settings of Weights & Biases are not used; "
        "logger=wandb on the command line of vi-train gives it new ones."
    )


def as_of_today(config: Config) -> Config:
    """The config of an older version in the form of this one: classes at their current paths, and new keys added."""
    config = _moved(config)
    for prefix, section in sections.RUN.items():
        if prefix in (*COMMANDS, "logger.wandb"):
            continue
        above, _, name = prefix.rpartition(".")
        settings: Any = config if not above else config[above]
        if name and isinstance(settings, dict):
            settings = settings.setdefault(name, {})
        if isinstance(settings, dict):
            defaults = {name: copy.deepcopy(each.default) for name, each in sections.declared(section).items()}
            defaults |= EARLIER.get(prefix, {})
            settings |= {name: value for name, value in defaults.items() if name not in (*settings, *COMMANDS)}
    for component in COMPONENTS:
        if isinstance(settings := config[component], dict):
            earlier = EARLIER.get(str(settings.get("_target_")), {})
            settings |= {name: value for name, value in earlier.items() if name not in settings}
    return completed(config)


def with_whole_paths(config: Config) -> Config:
    """A config with absolute paths of its data and of `init_from`, so that it opens from any directory.

    A data set that is not of this library keeps its path as typed.
    """
    found = dict(config)
    if isinstance(config.get("init_from"), str | int):
        found["init_from"] = _whole(str(config["init_from"]))
    data = config.get("data")
    if (
        isinstance(data, dict)
        and str(data.get("_target_")).startswith("vi.")
        and data.get("path") not in (None, MISSING)
    ):
        found["data"] = data | {"path": _whole(data["path"])}
    return found


def require_data(config: Config, what: str) -> None:
    """Raises ConfigError, with `what` first, if the data of a run are no longer at their path."""
    data = config["data"]
    path = data.get("path") if str(data.get("_target_")).startswith("vi.") else None
    if isinstance(path, str) and not Path(path).expanduser().exists():
        here = "" if Path(path).is_absolute() else f" (seen from {Path.cwd()})"
        raise ConfigError(f"{what}: the run's data are not at {path}{here}; data.path=PATH says where they are now.")


def _whole(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def completed(config: Config) -> Config:
    """A config with the defaults of the library's components filled in, so that a later version uses the same values.

    A parameter group's settings are left out where they repeat the common settings of the optimizer.
    """
    found = dict(config)
    for component in COMPONENTS:
        if isinstance(settings := config.get(component), dict):
            found[component] = _overlaid(settings) if component == "optimizer" else _filled(component, settings)
    return found


def _filled(component: str, settings: Config) -> Config:
    target, given = str(settings.get("_target_")), validate.GIVEN.get(component, ())
    constructor: Constructor | None = None
    if target.startswith("vi."):
        try:
            constructor = constructor_of(target)
        except ConfigError:
            return settings  # the check reports the error
    arguments = constructor.arguments if constructor else {}
    defaults = {name: each.default for name, each in arguments.items() if name not in (*given, *settings)}
    plain = {name: value for name, value in defaults.items() if value is not REQUIRED and not isinstance(value, Code)}
    return settings | {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def _overlaid(settings: Config) -> Config:
    common = {name: value for name, value in settings.items() if name not in GROUPS}
    for group in GROUPS:
        own = settings.get(group)
        if not isinstance(own, dict):
            if own is not None:
                common[group] = own  # the check reports the error
            continue
        if own := {name: value for name, value in own.items() if name not in common or value != common[name]}:
            common[group] = own
    return common


def _moved(value: Any) -> Any:
    """A value with the older paths of classes replaced by their current paths, at any depth."""
    if isinstance(value, list):
        return [_moved(each) for each in value]
    if not isinstance(value, dict):
        return value
    value = {name: _moved(each) for name, each in value.items()}
    target = value.get("_target_")
    for path, today in MOVED.items():
        if isinstance(target, str) and (target == path or (path.endswith(".") and target.startswith(path))):
            value["_target_"] = today + target.removeprefix(path)
            break
    return value


def plain(config: DictConfig) -> Config:
    """A composed config as plain values, with every interpolation resolved.

    Raises:
        ConfigError: an interpolation leads nowhere.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        resolved: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(sentence(error)) from None
    return resolved


def save(config: Config, file: Path) -> None:
    """Writes the config as YAML, signed and atomically."""
    from omegaconf import OmegaConf

    write(file, signed(OmegaConf.to_yaml(OmegaConf.create(config)), places(config)))
