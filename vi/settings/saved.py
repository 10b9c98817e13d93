"""Configs as plain values: of a run's config.yaml, read and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi.errors import ConfigError
from vi.files import write
from vi.settings import validate
from vi.settings.keys import COMPONENTS
from vi.settings.sentences import sentence

if TYPE_CHECKING:
    from omegaconf import DictConfig


Config = dict[str, Any]


def read(run_dir: Path, key: str | None = None) -> Config:
    """The config of a run; `key` is what named its directory, for error messages.

    Raises:
        ConfigError: the directory holds no run, or its config is damaged.
    """
    from omegaconf import OmegaConf
    from yaml import YAMLError

    file, what = run_dir / "config.yaml", f"{key}={run_dir}" if key else str(run_dir)
    if not file.is_file():
        raise ConfigError(f"{what}: holds no config.yaml, so it is not the directory of a run.")
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(file))
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what}: its config.yaml is damaged: {sentence(error).rstrip('.')}.") from None
    if not isinstance(config, dict) or not {"model", "trainer", *COMPONENTS} <= set(config):
        raise ConfigError(f"{what}: its config.yaml is not the config of a run.")
    try:
        validate.check(config)
    except ConfigError as error:
        raise ConfigError(f"{what}: in its config.yaml, {error}") from None
    return config


def plain(config: DictConfig) -> Config:
    """A composed config as plain values, every interpolation resolved.

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
    """Writes the config as YAML, whole or not at all."""
    from omegaconf import OmegaConf

    write(file, OmegaConf.to_yaml(OmegaConf.create(config)))
