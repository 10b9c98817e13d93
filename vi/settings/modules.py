"""Modules as text: finds the class or function at a dotted path without running the module."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
import os
import re
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from vi.errors import ConfigError
from vi.settings.keys import suggestion

DYNAMIC = re.compile(r"import \*|globals\(|exec\(|setattr\(|sys\.modules")
"""Texts in a module that may make names at run time."""


class Unreadable(Exception):
    """The answer can be known only by running the code."""


UNREADABLE = (Unreadable, ImportError, OSError, ValueError, RecursionError)


@dataclasses.dataclass(frozen=True, eq=False)
class Module:
    """A module of Python text; `names` has the last binding of each name.

    A binding is a class, a function, the value of an assignment, or for an import the dotted path; else `ast.Store`.
    """

    name: str
    file: Path
    text: str
    names: dict[str, str | ast.AST]


Found = tuple[Module, ast.ClassDef | ast.FunctionDef | None]
"""A class or function and its module; None is for the module itself."""


def origin(path: str) -> str:
    """The file of the first module of a dotted path; empty if there is none. Nothing is run."""
    top = path.partition(".")[0]
    try:
        spec = _spec(top)
        return os.path.realpath(spec.origin or next(iter(spec.submodule_search_locations or [""]))) if spec else ""
    except (ImportError, ValueError, OSError):
        return ""


def locate(path: str) -> Found:
    """The module, class or function at a dotted path. The current directory is searched last.

    Raises:
        ConfigError: there is no such module or name, or it is a plain value.
        Unreadable: it can be known only by running the module. The other exceptions of `UNREADABLE` mean the same.
    """
    top, *names = path.split(".")
    if top == "__main__":
        raise ConfigError("a run cannot find code of a notebook or a script again; write it into a module of its own.")
    spec = _spec(top)
    if spec is None:
        raise ConfigError(no_module(top))
    return functools.reduce(_member, names, _load(spec))


def _spec(top: str) -> ModuleSpec | None:
    """Where a module lies. The current directory is searched last."""
    return importlib.util.find_spec(top) or PathFinder.find_spec(top, [os.getcwd()])


def no_module(name: str) -> str:
    """The sentence for a module that is in no place where modules are searched."""
    return f"there is no module {name} on Python's path or in the current directory, {os.getcwd()}."


def follow(module: Module, expression: ast.AST) -> Found:
    """The object that an expression of a module refers to; raises as `locate` does."""
    itself: Found = (module, None)
    return functools.reduce(_member, ast.unparse(expression).split("."), itself)


def _member(owner: Found, name: str) -> Found:
    module, node = owner
    path = f"{module.name}.{name}"
    bound = module.names.get(name, path)
    if node is not None:
        raise Unreadable
    if isinstance(bound, ast.ClassDef | ast.FunctionDef):
        return module, bound
    if isinstance(bound, ast.Constant):
        raise ConfigError(f"must be a class or function, but is of type {type(bound.value).__name__}.")
    try:
        if not isinstance(bound, str):
            return follow(module, bound)
        if bound != path:
            return locate(bound)
    except ConfigError as error:
        raise Unreadable from error
    places = [str(module.file.parent)] if module.file.name == "__init__.py" else []
    if spec := PathFinder.find_spec(path, places):
        return _load(spec)
    lazy = "def __getattr__" in module.text and "TYPE_CHECKING" not in module.text  # its block imports the lazy names
    if lazy or DYNAMIC.search(module.text):
        raise Unreadable
    raise ConfigError(f"{module.name} has no {name}{suggestion(name, [*module.names])}")


def _load(spec: ModuleSpec) -> Found:
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise Unreadable
    return _parse(spec.name, Path(spec.origin), os.stat(spec.origin).st_mtime_ns), None


@functools.cache
def _parse(name: str, file: Path, written: int) -> Module:
    text = file.read_text(encoding="utf-8")
    names: dict[str, str | ast.AST] = {}
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    try:
        tree = ast.parse(text, str(file))
    except SyntaxError as error:
        raise ConfigError(f"SyntaxError in {name}: {error}") from None
    for node in _outside_definitions(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                top = each.name.split(".")[0]
                names[each.asname or top] = each.name if each.asname else top
        elif isinstance(node, ast.ImportFrom):
            home = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names |= {each.asname or each.name: f"{home}.{each.name}" for each in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = node.value
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, node.ctx)
    return Module(name, file, text, names)


def _outside_definitions(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree that are not inside classes or functions."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _outside_definitions(child)
