"""The constructor of a class or function, read without importing its module: the declaration of its settings."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
from pathlib import Path
from typing import Any

from vi import kinds
from vi.errors import ConfigError
from vi.settings.modules import Definition, Module, Unreadable, follow, load, locate

REQUIRED = object()
"""The default of a required argument."""
VOCABULARY = ("typing", "collections.abc", "vi.kinds")
"""The modules whose names have a meaning in an annotation."""


@dataclasses.dataclass(frozen=True)
class Argument:
    """An argument of a constructor: its kind of values, its default, and its meaning.

    Without a default, `default` is `REQUIRED`. A default that is no plain value is a `Code`.
    """

    kind: kinds.Kind
    default: Any
    meaning: str = ""


Family = list[tuple[Module, ast.ClassDef] | None]
"""A class and its bases, in Python's method resolution order; None for a class that cannot be read."""


class Code(str):
    """A default as the text of an expression."""


@dataclasses.dataclass(frozen=True)
class Constructor:
    """The keyword arguments of a class or function.

    Attributes:
        arguments: by name, in the order of the source.
        open: whether it also takes arguments that are not declared.
        text: the docstring.
        file: the source file.
        line: the line in the source file.
    """

    arguments: dict[str, Argument]
    open: bool = False
    text: str = ""
    file: Path = Path()
    line: int = 0


def read(path: str) -> Constructor | None:
    """The constructor of the class or function at a dotted path; None if it can be known only by running the code.

    Raises:
        ConfigError: there is no such module or name, or it is no class or function.
    """
    try:
        return _constructor(locate(path))
    except (Unreadable, RecursionError):
        return None


def _constructor(found: Definition) -> Constructor:
    module, node = found
    if isinstance(node, ast.ClassDef):
        family = _family(module, node)
        made = _of_classes(family)
        docs: dict[str, str] = {}
        for each in reversed(family):
            docs |= meanings(ast.get_docstring(each[1]) or "") if each else {}
    else:
        if node.decorator_list:
            raise Unreadable
        made, docs = _of_function(module, node, []), meanings(ast.get_docstring(node) or "")
    arguments = {
        name: dataclasses.replace(each, meaning=docs.get(name, each.meaning)) for name, each in made.arguments.items()
    }
    text = ast.get_docstring(node) or ""
    return dataclasses.replace(made, arguments=arguments, text=text, file=module.file, line=node.lineno)


def _family(module: Module, node: ast.ClassDef) -> Family:
    order: Family = [(module, node)]
    for base in node.bases:
        try:
            if isinstance(base, ast.Subscript):
                base = base.value
            if isinstance(base, ast.Name) and base.id == "object":
                continue
            home, definition = follow(module, base)
            order += _family(home, definition) if isinstance(definition, ast.ClassDef) else [None]
        except Unreadable:
            order.append(None)
    return [each for i, each in enumerate(order) if each is None or each not in order[i + 1 :]]


def _of_classes(family: Family) -> Constructor:
    """The constructor that the first class of a family has or inherits."""
    for i, each in enumerate(family):
        if each is None:
            raise Unreadable
        module, node = each
        methods = {m.name: m for m in node.body if isinstance(m, ast.FunctionDef)}
        if "__init__" in methods:
            return _of_function(module, methods["__init__"], family[i + 1 :], method=True)
        decorators = [ast.unparse(d) for d in node.decorator_list]
        if "__new__" in methods or not all("dataclass" in d for d in decorators):
            raise Unreadable
        if decorators:
            return _of_fields(module, node, family[i + 1 :])
    return Constructor({})


def _of_fields(module: Module, node: ast.ClassDef, bases: Family) -> Constructor:
    arguments = dict(_of_classes(bases).arguments)
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and "ClassVar" not in ast.unparse(field.annotation):
            arguments[ast.unparse(field.target)] = _argument(module, field.annotation, field.value)
    return Constructor(arguments)


def _of_function(module: Module, node: ast.FunctionDef, bases: Family, method: bool = False) -> Constructor:
    """The keyword arguments of a function, or of a method whose class has the further `bases`."""
    signature = node.args
    named = [*signature.posonlyargs, *signature.args]
    defaults = [None] * (len(named) - len(signature.defaults)) + signature.defaults
    pairs = list(zip(named, defaults, strict=True))[max(int(method), len(signature.posonlyargs)) :]
    pairs += zip(signature.kwonlyargs, signature.kw_defaults, strict=True)
    arguments = {each.arg: _argument(module, each.annotation, default) for each, default in pairs}
    for name in [each.arg for each, _ in pairs if each.annotation is None]:
        arguments[name] = _as_in_base(name, arguments[name], bases)
    if signature.kwarg is None:
        return Constructor(arguments)
    further = _passed_on(module, node, signature.kwarg.arg, bases)
    arguments |= {name: each for name, each in further.arguments.items() if name not in arguments}
    return Constructor(arguments, further.open)


def _as_in_base(name: str, argument: Argument, bases: Family) -> Argument:
    """An argument without an annotation gets the kind that a base class declares for the same name."""
    try:
        declared = _of_classes(bases).arguments.get(name)
    except Unreadable:
        return argument
    return argument if declared is None else dataclasses.replace(argument, kind=declared.kind)


def _passed_on(module: Module, node: ast.FunctionDef, name: str, bases: Family) -> Constructor:
    """The arguments of `**name`: the arguments of the function that receives it, without those that the call sets."""
    for call in ast.walk(node):
        if not isinstance(call, ast.Call) or not any(k.arg is None and _is_name(k.value, name) for k in call.keywords):
            continue
        try:
            of_base = ast.unparse(call.func).startswith("super(")
            taken = _of_classes(bases) if of_base else _constructor(follow(module, call.func))
        except Unreadable:
            break
        given = [*list(taken.arguments)[: len(call.args)], *(k.arg for k in call.keywords)]
        return Constructor({n: a for n, a in taken.arguments.items() if n not in given}, taken.open)
    return Constructor({}, open=True)


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _argument(module: Module, annotation: ast.expr | None, default: ast.expr | None) -> Argument:
    kind, value = kinds.kind_of(_evaluate(module, annotation)), _default(module, default)
    return Argument(kind if value is not None or kind.test(None) else kind | kinds.kind_of(type(None)), value)


def _default(module: Module, node: ast.expr | None) -> Any:
    if node is None:
        return REQUIRED
    try:
        return ast.literal_eval(node)
    except ValueError:
        return Code(ast.unparse(node))


def _evaluate(module: Module, annotation: ast.expr | None) -> Any:
    """The value of an annotation; a name from outside `VOCABULARY` gives `Any`."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    if annotation is None:
        return Any
    try:
        return eval(compile(ast.Expression(annotation), str(module.file), "eval"), {"__builtins__": {}}, _Names(module))
    except Exception:
        return Any


def _alias(module: Module, name: str) -> Any:
    """The type alias of this name in another module; raises Unreadable for a class."""
    if not isinstance(module.names.get(name), ast.Assign | ast.AnnAssign):
        raise Unreadable
    return _Names(module)[name]


class _Names(dict):
    """The names of a module in the scope of its annotations."""

    def __init__(self, module: Module):
        super().__init__({each.__name__: each for each in (int, float, bool, str, list, tuple, set, dict, type)})
        self.module = module

    def __missing__(self, name: str) -> Any:
        bound = self.module.names.get(name)
        if isinstance(bound, ast.Assign | ast.AnnAssign):
            return _evaluate(self.module, bound.value)
        if not isinstance(bound, tuple):
            return _Other()
        if (path := ".".join(filter(None, bound))) in VOCABULARY:
            return importlib.import_module(path)
        if bound[0] in VOCABULARY:
            return getattr(importlib.import_module(bound[0]), bound[1])
        try:
            return _alias(load(bound[0]), bound[1])
        except (ConfigError, Unreadable):
            return getattr(_Other(), bound[1] or "module")


class _Other:
    """A type that does not restrict plain values; a schedule is recognized by its name."""

    def __getattr__(self, name: str) -> Any:
        return kinds.Schedule if name == "LearningRateSchedule" else self

    def __getitem__(self, index: Any) -> Any:
        return self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self

    def __or__(self, other: Any) -> Any:
        return Any

    __ror__ = __or__


def meanings(docstring: str) -> dict[str, str]:
    """The text of a Google docstring on each argument."""
    found = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", docstring, re.MULTILINE)
    lines = re.split(r"^    (\w+)(?: \(.*?\))?: ", found[1] if found else "", flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in zip(lines[1::2], lines[2::2], strict=True)}
