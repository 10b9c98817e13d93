"""The help of a choice: the summary of its class and the settings, read without importing it."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi.errors import ConfigError
from vi.files import short
from vi.kinds import ANYTHING
from vi.settings.compose import compose
from vi.settings.conf import choices_in, conf_directory
from vi.settings.constructors import REQUIRED, Argument, Constructor, read
from vi.settings.keys import CHOSEN, COMPONENTS, MISSING, is_of, leaves, show
from vi.settings.overrides import parse
from vi.settings.sections import RUN, declared
from vi.settings.validate import GIVEN, KERAS

if TYPE_CHECKING:
    from omegaconf import DictConfig

WIDTH = 100


def help_of(overrides: Sequence[str]) -> str:
    """The help of every choice GROUP=CHOICE among the overrides, or the choices of a group GROUP.

    Raises:
        ConfigError: an override is wrong, or none chooses anything.
    """
    if set(overrides) <= {*COMPONENTS, *CHOSEN}:
        return "\n".join(map(_of_group, overrides))
    composed, choices = compose(overrides)
    groups = [group for override in parse(overrides) if (group := override.key_or_group) in (*COMPONENTS, *CHOSEN)]
    if not groups:
        raise ConfigError(f"{' '.join(overrides)}: --help explains a group or a choice: estimator, or estimator=renyi.")
    return "\n".join(_of_choice(group, str(choices[group]), composed) for group in groups)


def _of_group(group: str) -> str:
    """The choices of a group, each with its summary."""
    choices, lines = choices_in(group), [f"{group}=CHOICE, with one of these choices:", ""]
    width = max(map(len, choices)) + 2
    for choice in choices:
        text = f"{choice:{width}}{_summary(group, choice)}"
        lines += textwrap.wrap(
            text, WIDTH, initial_indent="  ", subsequent_indent=" " * (width + 2), break_on_hyphens=False
        )
    if group in COMPONENTS:
        lines += ["", f"A class or function of your own is {group}=my_module.MyClass."]
    return "\n".join([*lines, "", f"vi-train --help {group}={choices[0]} shows the settings of a choice.", ""])


def _summary(group: str, choice: str) -> str:
    """What a choice is: the summary of its class, or else the comment at the top of its file; may be empty."""
    text = (conf_directory() / group / f"{choice}.yaml").read_text()
    if (target := re.search(r"^_target_: (\S+)", text, re.MULTILINE)) and (constructor := read(target[1])):
        return _described(constructor)[0]
    comment = re.match(r"(?:# @package.*\n)?((?:#.*\n)*)", text)
    return " ".join(comment[1].replace("#", " ").split()) if comment else ""


def _of_choice(group: str, choice: str, composed: Any) -> str:
    title = f"{group}={choice}"
    if group in COMPONENTS:
        return _of_component(group, title, composed[group])
    if group in RUN:
        return f"{title}\n\n{_of_section(group, composed[group])}"
    return f"{title}\n\n{(conf_directory() / group / f'{choice}.yaml').read_text()}"


def _of_section(section: str, settings: DictConfig) -> str:
    values = dict(leaves(_plain(settings), f"{section}."))
    arguments = {
        f"{prefix}.{name}": argument
        for prefix in RUN
        if is_of(prefix, (section,))
        for name, argument in declared(RUN[prefix]).items()
    }
    return _settings("", {key: arguments[key] for key in values if key in arguments}, values)


def _of_component(group: str, title: str, settings: DictConfig) -> str:
    values = _plain(settings)
    target = values.pop("_target_")
    if target == MISSING:
        return f"{title}\n\nA class or function of your own: {group}=my_module.MyClass {group}.KEY=VALUE.\n"
    try:
        constructor = read(target)
    except ConfigError as error:
        raise ConfigError(f"{title}: {error}") from None
    if constructor is None:
        return f"{title}\n\n{target}, whose arguments are known only once it is imported.\n"
    arguments = {name: each for name, each in constructor.arguments.items() if name not in GIVEN.get(group, ())}
    if target.startswith("keras."):
        arguments = {name: _of_keras(name, each) for name, each in arguments.items() if name in KERAS}
    summary, about = _described(constructor)
    source = f"Source: {target}, in {_shown(constructor.file)}, line {constructor.line}\n"
    paragraphs = [_filled(f"{title}: {summary}"), "", _settings(f"{group}.", arguments, values)]
    return "\n".join([*paragraphs, *([f"{about}\n"] if about else []), source])


def _plain(settings: DictConfig) -> dict[str, Any]:
    from omegaconf import OmegaConf

    values: Any = OmegaConf.to_container(settings)
    return values


def _of_keras(name: str, argument: Argument) -> Argument:
    """An argument of a Keras class, with its kind, and without the markup of Keras's documentation."""
    return dataclasses.replace(argument, kind=KERAS[name], meaning=re.sub(r"`|\s*\{\{.*?\}\}\.?", "", argument.meaning))


def _settings(prefix: str, arguments: Mapping[str, Argument], values: Mapping[str, Any]) -> str:
    """A paragraph for each setting: its key and value, its meaning, and its allowed values."""
    if not arguments:
        return "It has no settings.\n"
    lines = []
    for name, argument in arguments.items():
        value = values.get(name, argument.default)
        shown = "" if value in (REQUIRED, MISSING) else f"={show(list(value) if isinstance(value, tuple) else value)}"
        lines += [*_wrapped(f"{prefix}{name}{shown}", 2), *_wrapped(argument.meaning, 6)]
        lines += [] if argument.kind is ANYTHING else _wrapped(f"Must be {argument.kind.allowed}.", 6)
        lines += [] if shown else _wrapped("Must be given.", 6)
    return "Settings, with their values:\n\n" + "\n".join(lines) + "\n"


def _described(constructor: Constructor) -> tuple[str, str]:
    """The first sentence of a docstring, and its other paragraphs up to the arguments."""
    paragraphs = constructor.text.split("\n\n")
    ends = [i for i, each in enumerate(paragraphs) if each.startswith(("Args:", "Raises:", "Attributes:", "Returns:"))]
    summary, *about = paragraphs[: min(ends, default=len(paragraphs))]
    return " ".join(summary.split()), "\n\n".join(_filled(each) for each in about)


def _filled(paragraph: str) -> str:
    """A paragraph in lines of the width of the help; lists and indented code stay as they are."""
    keep = paragraph.startswith((" ", "-", "*", ">", "```"))
    return paragraph if keep else "\n".join(_wrapped(" ".join(paragraph.split()), 0))


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)


def _shown(file: Path) -> Path:
    """The path of a file: of the library's files relative to the package, of other files from the current directory."""
    package = Path(__file__).resolve().parents[2]
    return file.relative_to(package) if file.is_relative_to(package) else short(file)
