"""The classes and functions that a saved config may name: of the library, or of modules that the user trusts.

Whoever opens a run that somebody else has made must not run that person's code. So a saved config is data: it names
members of a finite set, `known_targets`. Other names need a signature of this user, or the user's word on the call.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from vi.errors import ConfigError
from vi.kinds import is_list
from vi.settings.conf import conf_directory
from vi.settings.keys import is_of, show
from vi.settings.modules import UNREADABLE, locate, origin

OF_HYDRA = ("_args_", "_partial_", "_recursive_", "_convert_")
"""Keys that change what Hydra does with a target."""
DEEPEST = 30
"""The deepest nesting of a saved config."""
MOST_VALUES, LONGEST = 10_000, 3_000
"""The largest number of keys and values of a saved config, and the number of characters of one of them."""
PARTIAL = "prior.log_density"
"""The only key whose target is not called, but given on as a function."""


@functools.cache
def known_targets() -> frozenset[str]:
    """The names in `conf/`, and Keras's optimizers and schedules."""
    texts = (file.read_text() for file in conf_directory().rglob("*.yaml"))
    found = {target for text in texts for target in re.findall(r"_target_: *([\w.]+)", text)}
    for module in ("keras.optimizers", "keras.optimizers.schedules"):
        found |= {f"{module}.{name}" for name in locate(module)[0].names if name[0].isupper()}
    return frozenset(found)


def require_plain_yaml(text: str | TextIO) -> None:
    """Raises YAMLError if a text in YAML has aliases, is nested too deeply, or has too many or too long values.

    Aliases let a small file stand for a huge config. A number in hexadecimal digits may have more digits than Python
    prints.
    """
    import yaml

    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        values += isinstance(event, yaml.ScalarEvent)
        if values > MOST_VALUES:
            raise yaml.YAMLError(f"it has more than {MOST_VALUES:,} keys and values")
        if isinstance(event, yaml.ScalarEvent):
            event.value.encode()  # a UnicodeEncodeError, which is a ValueError, for half of a character
            if len(event.value) > LONGEST:
                raise yaml.YAMLError(f"it has a value of more than {LONGEST:,} characters")
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"it has the alias *{event.anchor}, and a saved config has none")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {DEEPEST} levels deep")


def require_plain_values(config: Mapping[str, Any]) -> None:
    """Raises ConfigError if a saved config has anything but plain values and targets with keyword arguments."""
    for key, value in _values(config):
        if isinstance(value, str) and "${" in value:
            raise ConfigError(f"{key}={value}: a saved config holds no interpolations.")
        name = key.rpartition(".")[2]
        if name in OF_HYDRA and (key, value) != (f"{PARTIAL}._partial_", True):
            raise ConfigError(f"{key}={show(value)}: must be left out of a saved config.")


def places(config: Mapping[str, Any]) -> list[str]:
    """The targets of a config that are not of the library, each with the file of its module."""
    targets = {str(target) for key, target in _values(config) if key.rpartition(".")[2] == "_target_"}
    return sorted(f"{target} {origin(target)}" for target in targets - known_targets())


def require_trusted(config: Mapping[str, Any], trust: str | Sequence[str]) -> None:
    """Raises ConfigError for a target that is neither known nor of a module, or one of the modules, of `trust`."""
    trust = [str(each) for each in (trust if is_list(trust) else [trust])]
    for key, target in _values(config):
        if key.rpartition(".")[2] != "_target_" or str(target) in known_targets() or _is_trusted(str(target), trust):
            continue
        module = "" if is_of(str(target), trust) else str(target).rpartition(".")[0]
        raise ConfigError(
            f"{key}={show(target)}: would run code{_place(str(target))} that is not part of vi, and this user has not "
            f"made the run on this machine; if you trust the code, add trust={module or target}."
        )


def _is_trusted(target: str, trust: Sequence[str]) -> bool:
    """Whether a target is named itself, or is defined in a module that is named.

    What a module only imports is not its own: my_module.os.system is not trusted with my_module.
    """
    if target in trust or not is_of(target, trust):
        return target in trust
    try:
        module, defined = locate(target)
    except ConfigError:
        return True  # there is no such name, and the next check says so
    except UNREADABLE:
        return False
    return defined is not None and is_of(module.name, trust)


def _place(target: str) -> str:
    """The end of a sentence: the file of a target; empty if it cannot be found."""
    try:
        return f" in {locate(target)[0].file}"
    except (ConfigError, *UNREADABLE):
        return ""


def _values(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values of a nested config that are no mappings or lists, with their dotted keys; and all keys as values."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            below = f"{key}.{name}".lstrip(".")
            if "${" in str(name):
                yield below, str(name)
            yield from [(below, each)] if name in ("_target_", *OF_HYDRA) else _values(each, below)
    elif isinstance(value, list | tuple):
        for i, each in enumerate(value):
            yield from _values(each, f"{key}.{i}")
    else:
        yield key, value
