"""Classes and functions by their dotted paths."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

from vi.errors import ConfigError
from vi.settings.keys import suggestion
from vi.settings.modules import no_module
from vi.settings.sentences import sentence


def find(what: str, target: str) -> Callable[..., Any]:
    """The class or function at a dotted path.

    If no other place has the module, the current directory is put last on the path: for a module that is named, and not
    for the optional imports of libraries.

    Raises:
        ConfigError: there is no such class or function; the sentence begins with `what`.
    """
    path, *names = target.split(".")
    try:
        if importlib.util.find_spec(path) is None and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        found = importlib.import_module(path)
        for name in names:
            if not hasattr(found, name) and not _is_module(f"{path}.{name}"):
                raise ConfigError(f"{what}: {path} has no {name}{suggestion(name, dir(found))}")
            path, found = f"{path}.{name}", getattr(found, name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{what}: {no_module(str(error.name))}") from error
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{what}: {type(error).__name__} in {path}: {sentence(error)}") from error
    if not callable(found):
        raise ConfigError(f"{what}: must be a class or function, but is of type {type(found).__name__}.")
    return found


def _is_module(path: str) -> bool:
    """Imports the module; returns whether it exists."""
    try:
        importlib.import_module(path)
    except ModuleNotFoundError as error:
        if not f"{path}.".startswith(f"{error.name}."):
            raise  # the module exists, but imports a module that does not
        return False
    return True
