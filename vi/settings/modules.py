"""Modules as text: finds the class or function at a dotted path without running the module."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
import os
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from vi.errors import ConfigError
from vi.settings.keys import suggestion

DYNAMIC = ("globals(", "exec(", "setattr(", "sys.modules", "def __getattr__")
"""Texts in a module that may make names at run time."""


class Unreadable(Exception):
    """The answer can be known only by running the code."""


@dataclasses.dataclass(frozen=True, eq=False)
class Module:
    """A module of Python text."""

    name: str
    file: Path
    text: str
    tree: ast.Module

    @functools.cached_property
    def names(self) -> dict[str, tuple[str, str] | ast.AST]:
        """The last binding of each name: a statement, or for an import the module and the name in the module."""
        found: dict[str, tuple[str, str] | ast.AST] = {}
        for node in _statements(self.tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    top = each.name.split(".")[0]
                    found[each.asname or top] = (each.name if each.asname else top, "")
            elif isinstance(node, ast.ImportFrom):
                for each in node.names:
                    found[each.asname or each.name] = (self._absolute(node), each.name)
            elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name] = node
            else:
                stored = [n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
                found.update({name.id: node for name in stored})
        return found

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        package = parts[: len(parts) - node.level + (self.file.name == "__init__.py")]
        return ".".join([*package, *([node.module] if node.module else [])])


Definition = tuple[Module, ast.ClassDef | ast.FunctionDef]


def locate(path: str) -> Definition:
    """The class or function at a dotted path. The current directory is searched last.

    Raises:
        ConfigError: there is no such module or name, or it is no class or function.
        Unreadable: it can be known only by running the module.
    """
    top, *names = path.split(".")
    found: Module | Definition = load(top)
    for name in names:
        if not isinstance(found, Module):
            raise Unreadable
        found = member(found, name)
    if isinstance(found, Module):
        raise ConfigError("must be a class or function, but is of type module.")
    return found


def load(name: str) -> Module:
    """The module of this name; raises ConfigError if there is no such module."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top) or PathFinder.find_spec(top, [os.getcwd()])
    except (ImportError, ValueError) as error:
        raise Unreadable from error
    if spec is None:
        raise ConfigError(f"there is no module {top}.")
    places, origin = list(spec.submodule_search_locations or []), spec.origin
    for i, part in enumerate(rest):
        files = [Path(place, *tail) for place in places for tail in ((part, "__init__.py"), (f"{part}.py",))]
        origin = next((str(file) for file in files if file.is_file()), None)
        if origin is None:
            if any(Path(place, part).is_dir() or [*Path(place).glob(f"{part}.*")] for place in places):
                raise Unreadable  # an extension module, or a folder without __init__.py
            raise ConfigError(f"there is no module {'.'.join([top, *rest[: i + 1]])}.")
        places = [str(Path(origin).parent)] if origin.endswith("__init__.py") else []
    if origin is None or not origin.endswith(".py"):
        raise Unreadable
    return _parse(name, Path(origin), os.stat(origin).st_mtime_ns)


@functools.cache
def _parse(name: str, file: Path, written: int) -> Module:
    try:
        text = file.read_text(encoding="utf-8")
        return Module(name, file, text, ast.parse(text, str(file)))
    except SyntaxError as error:
        raise ConfigError(f"SyntaxError in {name}: {error}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable from error


def member(module: Module, name: str) -> Module | Definition:
    """The object of a name in a module; raises ConfigError if the module has no such name."""
    bound = module.names.get(name)
    if isinstance(bound, ast.ClassDef | ast.FunctionDef):
        return module, bound
    if isinstance(bound, tuple) and bound != (module.name, name):
        return _imported(*bound)
    if isinstance(bound, ast.Assign | ast.AnnAssign):
        if isinstance(bound.value, ast.Constant):
            raise ConfigError(f"must be a class or function, but is of type {type(bound.value.value).__name__}.")
        return _follow(module, bound.value)
    if bound is not None and not isinstance(bound, tuple):
        raise Unreadable
    try:
        return load(f"{module.name}.{name}")
    except ConfigError as error:
        if not str(error).startswith("there is no module"):
            raise
    declared = "if TYPE_CHECKING" in module.text  # the names of `__getattr__` are then imported in that block
    if "*" in module.names or (any(word in module.text for word in DYNAMIC) and not declared):
        raise Unreadable
    raise ConfigError(f"{module.name} has no {name}{suggestion(name, [*module.names])}")


def follow(module: Module, node: ast.AST | None) -> Definition:
    """The class or function that an expression of a module refers to; raises Unreadable if there is no such object."""
    found = _follow(module, node)
    if isinstance(found, Module):
        raise Unreadable
    return found


def _follow(module: Module, node: ast.AST | None) -> Module | Definition:
    try:
        if isinstance(node, ast.Name) and node.id in module.names:
            return member(module, node.id)
        if isinstance(node, ast.Attribute) and isinstance(base := _follow(module, node.value), Module):
            return member(base, node.attr)
    except (ConfigError, RecursionError) as error:
        raise Unreadable from error
    raise Unreadable


def _imported(module: str, name: str) -> Module | Definition:
    try:
        found = load(module)
        return member(found, name) if name else found
    except (ConfigError, RecursionError) as error:
        raise Unreadable from error


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when the module is imported, including those inside `if`, `try` and `with`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If | ast.Try | ast.With | ast.For | ast.While | ast.ExceptHandler):
            yield child if isinstance(child, ast.For | ast.With) else ast.Pass()
            yield from _statements(child)
        elif isinstance(child, ast.stmt):
            yield child
