"""The constructor of a class or function, read without importing its module: the declaration of its settings."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib
import re
import types
from pathlib import Path
from typing import Any

from vi import kinds
from vi.errors import ConfigError
from vi.settings.keys import is_of
from vi.settings.modules import UNREADABLE, Module, Unreadable, follow, locate

REQUIRED = object()
"""The default of a required argument."""
VOCABULARY = ("typing", "collections.abc", "vi.kinds")
"""The modules that are imported because annotations use their names."""
TYPES = {each.__name__: each for each in (int, float, bool, str, list, tuple, set)}
"""The names of annotations that are not imported."""
SYNTAX = (
    *(ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.keyword, ast.Constant, ast.Tuple, ast.List, ast.Load),
    *(ast.BinOp, ast.BitOr, ast.UnaryOp, ast.USub),
)
RANGES = (kinds.Range, kinds.AtLeast, kinds.Between)
"""All that an annotation may call, so that its evaluation runs no code of the module."""


class Code(str):
    """A default as the text of an expression."""


@dataclasses.dataclass(frozen=True)
class Argument:
    """An argument of a constructor: its kind of values, its default, and its meaning.

    Without a default, `default` is `REQUIRED`. A default that is no plain value is a `Code`.
    """

    kind: kinds.Kind
    default: Any
    meaning: str = ""


NEW = Argument(kinds.ANYTHING, REQUIRED)
"""What an argument overrides that no base class has."""


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


Family = list[tuple[Module, ast.AST | None]]
"""A class and its bases, in Python's method resolution order; an expression stands for a base that cannot be read."""


def read(path: str) -> Constructor | None:
    """The constructor of the class or function at a dotted path; None if it can be known only by running the code.

    Raises:
        ConfigError: there is no such module or name, or it is no class or function.
    """
    try:
        module, node = locate(path)
        if node is None:
            raise ConfigError("must be a class or function, but is of type module.")
        made = _constructor(_family(module, node))
    except UNREADABLE:
        return None
    return None if made.open and not made.arguments else made


def _family(module: Module, node: ast.AST | None) -> Family:
    """The family of a class or of an expression that refers to it; a function is alone in its family."""
    if isinstance(node, ast.expr):
        with contextlib.suppress(ConfigError, *UNREADABLE):
            module, node = follow(module, node)
    order: Family = [(module, node)]
    for base in node.bases if isinstance(node, ast.ClassDef) else ():
        order += _family(module, base)
    return [each for i, each in enumerate(order) if each not in order[i + 1 :]]


def _constructor(family: Family) -> Constructor:
    """The constructor of a function, or the one that the first class of a family has or inherits."""
    if not family:
        return Constructor({})
    (module, node), *bases = family
    if isinstance(node, ast.ClassDef):
        made = _of_class(module, node, bases)
    elif isinstance(node, ast.FunctionDef) and not node.decorator_list:
        made = _of_function(module, node, Constructor({}))
    else:
        return Constructor({}, open=True)
    text = ast.get_docstring(node) or ""
    return Constructor(_described(made.arguments, text), made.open, text, module.file, node.lineno)


def _described(arguments: dict[str, Argument], docstring: str) -> dict[str, Argument]:
    """The arguments with the meanings that a docstring gives them."""
    texts = meanings(docstring)
    return {name: dataclasses.replace(each, meaning=texts.get(name, each.meaning)) for name, each in arguments.items()}


def _of_class(module: Module, node: ast.ClassDef, bases: Family) -> Constructor:
    methods = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}
    decorators = [ast.unparse(each) for each in node.decorator_list]
    if method := methods.get("__init__", methods.get("__new__")):
        return _of_function(module, method, _constructor(bases), bound=1)
    if not decorators:
        return _constructor(bases)
    if not all("dataclass" in each for each in decorators):
        return Constructor({}, open=True)
    return _of_fields([(module, node), *bases])


def _of_fields(family: Family) -> Constructor:
    """The constructor that a dataclass gets from its fields and from the fields of the dataclasses that it inherits."""
    arguments: dict[str, Argument] = {}
    classes = [(module, node) for module, node in reversed(family) if isinstance(node, ast.ClassDef)]
    for module, node in classes:
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        for field in fields if any("dataclass" in ast.unparse(each) for each in node.decorator_list) else ():
            name, (options, value) = ast.unparse(field.target), _field(field.value)
            if options.get("init") == "False":
                arguments.pop(name, None)
            elif not re.search("ClassVar|KW_ONLY", ast.unparse(field.annotation)):
                arguments[name] = _argument(module, field.annotation, value)
        arguments = _described(arguments, ast.get_docstring(node) or "")
    return Constructor(arguments, open=len(classes) < len(family))


def _field(value: ast.expr | None) -> tuple[dict[str | None, str], ast.expr | None]:
    """The options of a dataclass's field as text, and its default."""
    if not isinstance(value, ast.Call) or not ast.unparse(value.func).endswith("field"):
        return {}, value
    values = {each.arg: each.value for each in value.keywords}
    default = value if "default_factory" in values else values.get("default")
    return {name: ast.unparse(each) for name, each in values.items()}, default


def _of_function(module: Module, node: ast.FunctionDef, base: Constructor, bound: int = 0) -> Constructor:
    """The keyword arguments of a function; a method has one `bound` argument, and the `base` that it overrides."""
    signature = node.args
    named = signature.args[0 if signature.posonlyargs else bound :] + signature.kwonlyargs
    values = [*[None] * len(named), *signature.defaults, *signature.kw_defaults][-len(named) :]
    pairs = zip(named, values, strict=False)  # without arguments, the defaults are of positional ones
    own = {arg.arg: _argument(module, arg.annotation, value, base.arguments.get(arg.arg, NEW)) for arg, value in pairs}
    if signature.kwarg is None:
        return Constructor(own)
    further = _receiver(module, node, f"**{signature.kwarg.arg}", base)
    return Constructor({**own, **further.arguments, **own}, further.open)


def _receiver(module: Module, node: ast.FunctionDef, options: str, base: Constructor) -> Constructor:
    """What the options "**NAME" of a function may hold: the arguments of the call that they are passed to.

    The function's own `*args` are empty, because a config holds keyword arguments.
    """
    star = f"*{node.args.vararg.arg}" if node.args.vararg else ""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and options in map(ast.unparse, call.keywords):
            of_base = ast.unparse(call.func).startswith("super(")
            taken = base if of_base else _constructor(_family(module, call.func))
            starred = [ast.unparse(each) for each in call.args if isinstance(each, ast.Starred)]
            if not all(each == star for each in starred):
                return Constructor({}, open=True)  # values of unknown number
            given = [*list(taken.arguments)[: len(call.args) - len(starred)], *(each.arg for each in call.keywords)]
            return Constructor({n: a for n, a in taken.arguments.items() if n not in given}, taken.open)
    return Constructor({}, open=True)


def _argument(module: Module, annotation: ast.expr | None, value: ast.expr | None, base: Argument = NEW) -> Argument:
    """An argument and its default; without an annotation it has the kind of `base`, the argument that it overrides."""
    default = REQUIRED
    if value is not None:
        try:
            default = ast.literal_eval(value)
        except ValueError:
            default = Code(ast.unparse(value))
    kind = base.kind if annotation is None else _kind(module, annotation)
    kind = kind if default is not None or kind.test(None) else kind | kinds.kind_of(type(None))
    return Argument(kind, default, base.meaning)


def _kind(module: Module, annotation: ast.expr) -> kinds.Kind:
    """The kind of an annotation; anything, if it is not of `SYNTAX`, or a name has no meaning here."""
    try:
        return kinds.kind_of(_evaluate(module, annotation))
    except Exception:
        return kinds.ANYTHING


def _evaluate(module: Module, expression: ast.AST) -> Any:
    nodes = [*ast.walk(expression)]
    called = [_evaluate(module, node.func) for node in nodes if isinstance(node, ast.Call)]
    if not all(isinstance(node, SYNTAX) for node in nodes) or not all(each in RANGES for each in called):
        raise Unreadable
    names = {node.id for node in nodes if isinstance(node, ast.Name)} & module.names.keys()
    known = {name: _named(module, name) for name in names}
    for node in nodes:
        if isinstance(node, ast.Attribute):
            _require_vocabulary(known.get(ast.unparse(node.value)), node.attr)
    return eval(ast.unparse(expression), {"__builtins__": TYPES, **known})


def _require_vocabulary(owner: Any, name: str) -> None:
    """Raises Unreadable unless the owner is a module of the vocabulary, and the name is one of its types or kinds.

    Other attributes lead to `sys.modules`, and some of its modules run code when an element is taken.
    """
    if getattr(owner, "__name__", "") not in VOCABULARY or isinstance(getattr(owner, name), types.ModuleType):
        raise Unreadable


def _named(module: Module, name: str) -> Any:
    bound = module.names[name]
    if not isinstance(bound, str):
        return _evaluate(module, bound)
    if bound in VOCABULARY:
        return importlib.import_module(bound)
    home, _, name = bound.rpartition(".")
    if home in VOCABULARY:
        _require_vocabulary(owner := importlib.import_module(home), name)
        return getattr(owner, name)
    if is_of(bound, VOCABULARY):
        raise Unreadable
    return _named(locate(home)[0], name)


def meanings(docstring: str) -> dict[str, str]:
    """The text of a Google docstring on each argument."""
    found = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", docstring, re.MULTILINE)
    lines = re.split(r"^    (\w+)(?: \(.*?\))?: ", found[1] if found else "", flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in zip(lines[1::2], lines[2::2], strict=True)}
