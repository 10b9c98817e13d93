"""The documents as code blocks, and a reader who writes their files and types their commands."""

import re
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import absl.logging
import numpy as np

import vi
from vi.commands.directories import Directories
from vi.settings import compose

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
]
RUN, SHOWN = ("sh", "python", "yaml"), ("text", "console")
TINY = {
    "trainer.epochs": 1,
    "trainer.evaluate_every": 1,
    "trainer.validation_samples": 2,
    "trainer.validation_size": 20,
    "trainer.jit": "false",
    "logger": "none",
}
SHORT = {
    "trainer.evaluation_samples": ["trainer.evaluation_samples=2"],
    "trainer.diagnose_every": ["trainer.diagnose_every=1"],
    "hydra.sweeper.n_trials": ["hydra.sweeper.n_trials=2"],
    "sweep=estimators": ["estimator=analytic_kl,iwae", "seed=0"],
    "sweep=latents": ["model.latent_dim=2,4", "trainer.beta=1"],
    "sweep=beta": ["trainer.beta=1,2"],
}
"""What is added to a command that has this key or this word, so that it ends in seconds."""


class Block(NamedTuple):
    """A code block: `title` is the file that it is, or the command that prints it."""

    language: str
    title: str | None
    text: str


def blocks(page):
    """The code blocks of a page, in order."""
    text = (ROOT / page).read_text()
    found = re.findall(r'^```(\w*)(?: title="(.*?)")?\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    assert 2 * len(found) == text.count("```"), f"{page}: a block whose first line is not understood"
    return [Block(language, title or None, body) for language, title, body in found]


def python(page):
    """The blocks of Python of a page that are no file."""
    return [block.text for block in blocks(page) if block.language == "python" and not block.title]


def commands(page):
    """The commands of a page, as words."""
    lines = [line for block in blocks(page) if block.language == "sh" for line in block.text.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def write_files(directory):
    """Writes the files that the pages show; two pages may show the same file, but not two versions of it."""
    for page in PAGES:
        for block in blocks(page):
            if block.title and block.language in ("python", "yaml"):
                path = directory / block.title
                assert not path.exists() or path.read_text() == block.text, f"{page}: {block.title}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text)


def write_mnist(directory):
    """Writes a file with the shapes and types of MNIST that holds few images."""
    rng = np.random.default_rng(0)
    sizes = {"train": 300, "test": 100}
    x = {f"x_{part}": rng.integers(0, 256, [n, 28, 28], dtype=np.uint8) for part, n in sizes.items()}
    y = {f"y_{part}": np.arange(n, dtype=np.uint8) % 10 for part, n in sizes.items()}
    np.savez(directory / "mnist.npz", **x, **y)


def single(words):
    """The overrides of one job of a command, its options left out."""
    overrides = [word for word in words if "=" in word and not word.startswith("-")]
    return [re.sub(r"=([^,=\[{(]+),.*", r"=\1", word) for word in overrides]


def quick(words):
    """The same arguments of vi-train with settings added, or put in place of its own, that end in seconds."""
    if "--help" in words or "--cfg" in words:
        return words
    if any(word.startswith("resume=") for word in words):
        return [re.sub(r"^(trainer\.epochs)=.*", r"\1=2", word) for word in words]
    short = [
        word
        for key, added in SHORT.items()
        if any(each.split("=")[0] == key or each == key for each in words)
        for word in added
    ]
    tiny = {key: value for key, value in TINY.items() if not any(word.startswith(f"{key}.") for word in words)}
    added = {word.split("=")[0]: word for word in [*(f"{key}={value}" for key, value in tiny.items()), *short]}
    count = None if "--config-dir" in words else compose.compose(single(words))[0].data.get("validation")
    if isinstance(count, int):
        added["data.validation"] = f"data.validation={min(count, 50)}"
    kept = [_shortened(word) for word in words if word.split("=")[0] not in added]
    return [*kept, *added.values()]


def _shortened(word):
    """The first two of the values that a word sweeps over, or the first seed."""
    key, *rest = word.split("=", 1)
    values = rest[0].split(",") if rest and rest[0][:1] not in ("[", "{", "'") else []
    return word if len(values) < 2 else f"{key}={','.join(values[: 1 if key == 'seed' else 2])}"


class Reader:
    """Follows pages in the current directory: runs their Python in one namespace and their commands in this process.

    Args:
        command: the fixture that runs a command.
        monkeypatch: pytest's, for `vi.train`.
        **names: what the Python of the page may use.
    """

    def __init__(self, command, monkeypatch, **names):
        self.command, self.monkeypatch, self.names = command, monkeypatch, {"__name__": "document", **names}
        # Hydra closes all handlers of logs, and absl's handler its stream, which must not be pytest's.
        absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__
        train = vi.train
        monkeypatch.setattr(vi, "train", lambda overrides, **where: train(quick(overrides), **where), raising=False)

    def follow(self, page):
        """Does all that a page shows, from its top to its end."""
        for block in blocks(page):
            if block.language == "python" and not block.title:
                exec(block.text, self.names)
            elif block.language == "sh":
                for line in block.text.splitlines():
                    self.type(shlex.split(line, comments=True))
            elif block.language == "text" and block.title and block.title.startswith("vi-"):
                self.compare(block)

    def type(self, words):
        """Runs a command, which must end well."""
        name, *arguments = words or ["."]
        if name == "make":
            assert re.search(rf"^{arguments[0]}: ", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif name != ".":
            code, _, error = self.run(name, arguments)
            assert code == 0, f"{shlex.join(words)}: {error}"

    def run(self, name, arguments):
        """The exit code of a command and what it prints."""
        kind = name.removeprefix("vi-")
        self.monkeypatch.setattr(Directories, "sweep", None)  # of an earlier command in this process
        if kind == "train":
            arguments = quick(arguments)
        elif kind == "evaluate":
            arguments = [re.sub(r"^samples=.*", "samples=10", word) for word in [*arguments, "samples=10"]]
            arguments = list(dict.fromkeys(arguments))
        elif kind == "diagnose":
            kept = [word for word in arguments if word.split("=")[0] not in ("samples", "repeats", "batch_size")]
            arguments = [*kept, "samples=[1,2]", "repeats=20", "batch_size=5"]
        return self.command(kind, *arguments)

    def compare(self, block):
        """A block whose title is a command must be part of what the command prints; returns the command's exit code."""
        name, *arguments = shlex.split(block.title)
        code, out, _ = self.run(name, arguments)
        printed = [" ".join(line.split()) for line in out.splitlines()]
        for line in block.text.splitlines():
            assert " ".join(line.split()) in printed, f"{block.title} does not print: {line}"
        return code
