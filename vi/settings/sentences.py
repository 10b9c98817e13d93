"""One sentence for an error of Hydra, OmegaConf or Python: the key, the value and the allowed values."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vi.settings import sections
from vi.settings.conf import choices_in, conf_directory
from vi.settings.keys import CHOSEN, COMPONENTS, suggestion

NO_SUCH_KEY = r"Could not override '([^']+)'|Override (\S+)=\S* looks like a config group"
SAID = {
    r"Could not delete (?:from config. )?'([^']+)'(?:\.| does not exist)": "~{0}: there is nothing to take out.",
    r"The value of '([^']+)' is (.*) and not (.*)\.$": "~{0}={2}: {0} is {1}; ~{0} takes it out whatever it is.",
    r"An item is already at '([^']+)'": "+{0}: there is such a key already; leave out the +.",
    r"Multiple values for ([^ ]+)\. To|^(\S+) appears more than once": "+{0}: it is chosen already; leave out the +.",
    r"(?:Ambiguous value for argument|Sweep parameters) '(?:\+\+)?([^']+)'": "{0}: holds several values; add -m "
    "to run one job for each, or brackets to give a list.",
    r"Additional config directory '([^']+)' not found": "--config-dir={0}: there is no such directory.",
    r"Cannot find primary config '([^']+)'": "--config-name={0}: there is no such config; leave it out.",
    r"Primary config .*?'([^']+)'": "--config-path: {0} holds no config; leave it out, --config-dir adds configs.",
    r"Interpolation key '([^']+)' not found full_key: hydra": "${{{0}}}: there is no key {0}.",
    r"Interpolation key '([^']+)' not found full_key: (\S+)": "{1}=${{{0}}}: there is no key {0}.",
    r"ConfigError raised while resolving interpolation: (.*?) full_key: ": "{0}",
    r"(?:\w+ raised while resolving interpolation: )?\"?(.*?)\"?\.? full_key: (\S+)": "{1}: {0}.",
}
"""Messages of Hydra and OmegaConf, as patterns, and the sentences that replace them."""
SHORT = {"lr": "learning_rate", "bs": "batch_size", "latents": "latent_dim"}
"""Other names for the last part of a key."""
EXTRAS = {"hydra/launcher=joblib": "joblib", "hydra/sweeper=optuna": "optuna"}


def sentence(error: BaseException) -> str:
    """An exception as one line. For an error of Hydra, the line names the wrong key or choice and the allowed ones."""
    text = " ".join(str(error).split())
    if override := getattr(error, "override", None):
        return _unreadable(override)
    if "/" in (missing := getattr(error, "missing_cfg_file", None) or ""):
        return _no_such_choice(missing, getattr(error, "options", None) or ())
    if found := re.search(NO_SUCH_KEY, text):
        key = found[1] or found[2]
        return f"{key}: there is no such key{_full_key(key)}"
    if found := re.search(r"Error merging override (.*)", text):
        return f"{found[1]}: {str(error.__cause__).splitlines()[0].rstrip('.')}."
    for pattern, said in SAID.items():
        if found := re.search(pattern, text):
            return said.format(*(group for group in found.groups() if group is not None))
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{error.filename}: must be a directory, but a file is in its way."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    return text


def first_line(error: BaseException) -> str:
    """The first line of an exception that states the error; Keras puts a bold line before this line."""
    lines = re.sub(r"\x1b\[\d+m", "", str(error)).splitlines()
    return next((line for line in lines if line and not line.startswith("Exception encountered when calling")), "")


def _unreadable(override: str) -> str:
    """The sentence for an override that Hydra cannot parse."""
    quote = "quote a value with spaces, commas or braces."
    if "=" in override:
        return f"{override}: cannot be read; close its brackets, and {quote}"
    if override in (*COMPONENTS, *CHOSEN):
        return f"{override}: is a group; choose with {override}=CHOICE; vi-train --help {override} lists the choices."
    if groups := [group for group in (*COMPONENTS, *CHOSEN) if override in choices_in(group)]:
        return (
            f"{override}: is not of the form KEY=VALUE; did you mean {' or '.join(f'{g}={override}' for g in groups)}?"
        )
    return f"{override}: is not of the form KEY=VALUE; {quote}"


def _full_key(wrong: str) -> str:
    """The end of a sentence: the keys with the same last part as a question, else the closest key, or a full stop."""
    last = wrong.rpartition(".")[2]
    known = sections.dotted_keys()
    for group in COMPONENTS:
        known += sorted({f"{group}.{name}" for choice in choices_in(group) for name in _arguments(group, choice)})
    same = [key for key in known if key.rpartition(".")[2] == SHORT.get(last, last)]
    return f"; did you mean {' or '.join(same)}?" if same else suggestion(wrong, [*known, *COMPONENTS, *CHOSEN])


def _arguments(group: str, choice: str) -> list[str]:
    """The names of the arguments of a choice that its file sets."""
    text = (conf_directory() / group / f"{choice}.yaml").read_text()
    return re.findall(r"^(?!defaults|trainer)([a-z]\w*):", text, re.MULTILINE)


def _no_such_choice(file: str, options: Sequence[str]) -> str:
    group, choice = file.rsplit("/", 1)
    if extra := EXTRAS.get(f"{group}={choice}"):
        return f"{group}={choice}: is not installed; pip install 'vi[{extra}]' adds it."
    allowed = f" Allowed: {', '.join(options)}." if options else ""
    end = suggestion(choice, options)
    if group in COMPONENTS and choice[:1].isupper() and choice.lower() not in options:
        end = f"; a class of your own is named with its module, {group}=my_module.{choice}."
    return f"{group}={choice}: there is no such choice{end}{allowed}"
