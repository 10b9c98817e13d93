"""Overrides as a user types them: of a new run, of a resumed run, and the arguments of `vi-check`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi.errors import ConfigError
from vi.files import as_override
from vi.settings import validate
from vi.settings.conf import conf_directory
from vi.settings.keys import CHOSEN, COMMANDS, COMPONENTS, FILLED_IN, MAY_CHANGE, NAMED, is_of, leaves, show
from vi.settings.sentences import sentence

if TYPE_CHECKING:
    from omegaconf import DictConfig

from vi.settings.saved import Config, completed, plain, read, require_data, with_whole_paths

FILES = (".npz", ".npy", ".csv", ".parquet")
"""The suffixes of files of data."""


def composable(overrides: Sequence[str]) -> list[str]:
    """The overrides that Hydra composes: all, or with `resume=RUN_DIR` only those of Hydra, logger, resume and sweep.

    Raises:
        ConfigError: the choice of a group is no name, the directory to resume holds no run, or with `resume` there are
            several values or hydra.run.dir.
    """
    parsed = parse(overrides)
    typed = {o.key_or_group: None if o.is_delete() or o.is_sweep_override() else o.value() for o in parsed}
    for group in ("", *COMPONENTS, *CHOSEN):
        if not isinstance(typed.get(group), str | list | None):
            raise ConfigError(f"{group}={show(typed[group])}: must be GROUP=CHOICE, a name; vi-train --help shows all.")
    if typed.get("resume") is None:
        return [_spelled_out(override) for override in parsed]
    if "hydra.run.dir" in typed:
        raise ConfigError(
            f"hydra.run.dir={typed['hydra.run.dir']}: a resumed run stays in its directory; leave this out."
        )
    if several := [override.input_line for override in parsed if override.is_sweep_override()]:
        raise ConfigError(f"{several[0]}: holds several values, but one run is resumed; a list needs brackets.")
    read(Path(str(typed["resume"])), "resume", _trusted(parsed))
    return [
        text
        for text, override in zip(overrides, parsed, strict=True)
        if is_of(override.key_or_group.split("/")[0], ("hydra", "resume", "logger", "sweep", "trust"))
    ]


def _trusted(parsed: Sequence[Any]) -> Any:
    """The value of the override `trust`, or no module."""
    return next((each.value() for each in reversed(parsed) if each.key_or_group == "trust"), None) or ()


def _spelled_out(override: Any) -> str:
    """An override in Hydra's form.

    If the choice of a component is a dotted path, Hydra gets a choice of this name: `custom` with the path as target.
    An argument of a component needs no plus, because the check against the constructor finds wrong names.
    """
    group, _, argument = override.key_or_group.partition(".")
    from hydra.core.config_store import ConfigStore
    from hydra.core.override_parser.types import OverrideType
    from omegaconf import OmegaConf

    if group not in NAMED or override.type != OverrideType.CHANGE:
        return override.input_line
    if argument:
        return f"++{override.input_line}"
    if group == "data" and (file := Path(str(override.value()))).suffix in FILES:
        raise ConfigError(f"data={file}: is the name of a file; write data=arrays {as_override('data.path', file)}.")
    for target in re.findall(r"\w+(?:\.\w+)+", override.input_line.partition("=")[2]):
        custom = OmegaConf.load(conf_directory() / group / "custom.yaml")
        ConfigStore.instance().store(group=group, name=target, node=OmegaConf.merge(custom, {"_target_": target}))
    return override.input_line


def resumed(run_dir: Path, typed: Sequence[str], composed: DictConfig) -> Config:
    """The config of a resumed run: the saved config, with the typed overrides of keys that may change.

    Args:
        run_dir: the directory of the run.
        typed: the overrides.
        composed: the config that Hydra composed from the `composable` overrides.

    Raises:
        ConfigError: the directory holds no run, its data have moved, or an override changes a key that must not change.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config = read(run_dir, "resume", _trusted(parse(typed)))
    choices = config.get("choices") or {}
    changed: Any = OmegaConf.create(config)
    for override in parse(typed):
        key = override.key_or_group
        if is_of(key.split("/")[0], ("hydra", *COMMANDS)):
            continue
        if override.is_delete():
            raise ConfigError(f"~{key}: nothing can be taken out of a run that is resumed.")
        if key == "logger" or (is_of(key, ("logger",)) and changed.logger.wandb is None):
            changed.logger = composed.logger
        elif key in (*COMPONENTS, *CHOSEN, *choices):
            _require_same(run_dir, key, *_same_terms(override.value(), choices.get(key), config.get(key)))
        else:
            OmegaConf.update(changed, key, override.value(), force_add=True)
    try:
        new: Any = OmegaConf.to_container(changed, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(sentence(error)) from None
    new = completed(new)
    validate.check(new)
    if "data.path" in [override.key_or_group for override in parse(typed)]:
        new = with_whole_paths(new)
    else:
        require_data(new, f"resume={run_dir}")
    _require_same_leaves(run_dir, config, new)
    return new


def _same_terms(asked: Any, kept: Any, settings: Any) -> tuple[Any, Any]:
    """Two choices of a group, both as dotted paths if one is `custom` and the other is its dotted path."""
    target = settings.get("_target_") if isinstance(settings, dict) else None
    if "custom" in (asked, kept) and target in (asked, kept):
        return target, target
    return asked, kept


def require_same(run_dir: Path, composed: DictConfig) -> None:
    """Raises ConfigError if the run in a directory has a different config; the keys of `MAY_CHANGE` may differ."""
    from omegaconf import OmegaConf

    keys = [str(key) for key in composed if key not in ("hydra", *COMMANDS)]
    _require_same_leaves(run_dir, read(run_dir, trust=None), completed(plain(OmegaConf.masked_copy(composed, keys))))


def _require_same_leaves(run_dir: Path, config: Config, new: Config) -> None:
    kept, asked = (dict(leaves(with_whole_paths(each))) for each in (config, new))
    for key in {**asked, **kept}:
        if not is_of(key, (*MAY_CHANGE, *FILLED_IN, "choices")):
            _require_same(run_dir, key, asked.get(key), kept.get(key))


def _require_same(run_dir: Path, key: str, asked: Any, kept: Any) -> None:
    if asked != kept:
        *others, last = MAY_CHANGE
        raise ConfigError(
            f"{key}={show(asked)}: the run in {run_dir} has {key}={show(kept)}; only "
            f"{', '.join(others)} and {last} may change when it is resumed; "
            f"{as_override('init_from', run_dir)} instead of resume begins a new run from its weights."
        )


def parse(overrides: Sequence[str]) -> list[Any]:
    """The overrides, parsed by Hydra."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_overrides(list(overrides))


def arguments(overrides: Sequence[str]) -> dict[str, Any]:
    """The values of KEY=VALUE texts; raises ConfigError if one cannot be read or holds several values."""
    from hydra.errors import HydraException

    try:
        parsed = parse(overrides)
    except HydraException as error:
        raise ConfigError(sentence(error)) from None
    if wrong := [o.input_line for o in parsed if o.is_sweep_override() or o.is_delete()]:
        raise ConfigError(f"{wrong[0]}: must be KEY=VALUE, with one value.")
    return {override.key_or_group: override.value() for override in parsed}
