"""From overrides to a composed and checked config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vi.errors import ConfigError
from vi.settings import sections, validate
from vi.settings.conf import choices_in, conf_directory
from vi.settings.keys import COMMANDS, suggestion
from vi.settings.sentences import sentence

if TYPE_CHECKING:
    from omegaconf import DictConfig

from vi.settings.overrides import composable, parse
from vi.settings.saved import Config, completed, plain, with_whole_paths


def compose(overrides: Sequence[str] = ()) -> tuple[DictConfig, dict[str, str | None]]:
    """The config of `vi-train` with these overrides, and the choice of each group.

    Raises:
        ConfigError: an override is wrong.
    """
    composed = _compose("train", overrides, composable)
    choices = choices_of(composed.hydra)
    del composed["hydra"]
    return composed, choices


def compose_request(command: str, overrides: Sequence[str] = ()) -> Config:
    """The settings of a command, "evaluate" or "diagnose", with these overrides.

    Raises:
        ConfigError: an override is wrong.
    """

    def known(overrides: Sequence[str]) -> list[str]:
        for override in parse(overrides):
            key = override.key_or_group
            if key not in keys:
                raise ConfigError(f"{key}: there is no such key{suggestion(key, keys)}")
            if override.is_sweep_override():
                raise ConfigError(f"{override.input_line}: holds several values; a list needs brackets.")
        return list(overrides)

    keys = sections.dotted_keys(sections.REQUESTS[command])
    composed = _compose(command, overrides, known)
    del composed["hydra"]
    asked = plain(composed)
    validate.check_request(command, asked)
    return asked


def estimators_of(names: Sequence[str]) -> dict[str, Config]:
    """The settings of estimators by name: a choice of the group, or the dotted path of a class.

    Raises:
        ConfigError: there is no such choice or class, or the class takes no `samples`.
    """
    found = {name: estimator_of(name, f"estimators=[{name}]") for name in names}
    for name, settings in found.items():
        if settings == {"_target_": name}:
            validate.check_call("estimators", {**settings, "samples": 1})
    return found


def estimator_of(name: str, what: str) -> Config:
    """The settings of a choice of the group estimator, or the target alone of a dotted path.

    Raises:
        ConfigError: there is no such choice; the sentence begins with `what`.
    """
    choices = choices_in("estimator")
    if name in choices:
        return plain(compose([f"estimator={name}"])[0].estimator)
    if not validate.TARGET.test(name):
        end = f"{suggestion(name, choices)} Allowed: {', '.join(choices)}, or a dotted path."
        raise ConfigError(f"{what}: there is no such choice{end}")
    return {"_target_": name}


def _compose(name: str, overrides: Sequence[str], prepare: Callable[[Sequence[str]], list[str]]) -> DictConfig:
    """The config of this name with the overrides that `prepare` returns; keys can be added to it."""
    import hydra
    from omegaconf import OmegaConf

    try:
        with hydra.initialize_config_dir(str(conf_directory()), version_base="1.3", job_name=name):
            composed = hydra.compose(name, prepare(overrides), return_hydra_config=True)
    except (hydra.errors.HydraException, ValueError) as error:
        raise ConfigError(sentence(error)) from None
    OmegaConf.set_struct(composed, False)
    return composed


def choices_of(hydra: Any) -> dict[str, str | None]:
    """The choice of each group, without Hydra's own groups, from Hydra's part of a config."""
    return {group: choice for group, choice in hydra.runtime.choices.items() if group.split("/")[0] != "hydra"}


def resolve(config: DictConfig, choices: Mapping[str, str | None]) -> Config:
    """The config as plain values, with every interpolation resolved and every value checked.

    Raises:
        ConfigError: a value is not allowed, or an interpolation leads nowhere.
    """
    resolved = completed(plain(config))
    resolved["choices"] = dict(choices)
    validate.check(resolved)
    return with_whole_paths({key: value for key, value in resolved.items() if key not in COMMANDS})
