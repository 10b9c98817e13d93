"""Plants one mistake at a time in a copy of the tree, and prints which ones the tests catch.

    python -m tests.mutation [WORD ...]

With words, only mistakes whose name or file contains one of them are planted. The mistakes are a table, not those of
a general tool such as mutmut or cosmic-ray. Such a tool changes one operator or one constant at a time. The mistakes
that matter here are a stale seed, a swapped axis or a missing stop_gradient. TensorFlow is imported once; each mistake
is judged in a fork of this process, which has not yet imported vi.
"""

import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.mutation.table import MISTAKES, Mistake

ROOT = Path(__file__).parents[2]
LIBRARIES = ("tensorflow", "keras", "tensorflow_probability", "pandas", "scipy.stats")
"""What most tests import. Importing them starts no thread of TensorFlow, so a fork is safe."""
LIMIT = 300
"""The seconds after which a mistake is given up."""
FORK = multiprocessing.get_context("fork")


class FirstFailure:
    """A plugin of pytest that sends the name of the first test that fails."""

    def __init__(self, answers: Connection):
        self.answers = answers

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.answers.send(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.answers.send(f"no answer: {report.nodeid} cannot be imported")


def judge(tests: list[str], tree: Path, answers: Connection) -> None:
    """Runs the tests of a tree, in a process of its own."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    options = ["-x", "-m", "not slow", "-p", "no:cacheprovider"]
    code = pytest.main([*options, *tests], plugins=[FirstFailure(answers)])
    answers.send("survived" if code == 0 else f"no answer: pytest ended with {int(code)}")


def answer(mistake: Mistake, tree: Path) -> str:
    """The first failing test with the mistake planted, or "survived"; the tree is restored."""
    file = tree / "vi" / mistake.file
    text = file.read_text()
    file.write_text(text.replace(mistake.before, mistake.after))
    answers, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=judge, args=([f"tests/{name}" for name in mistake.tests.split()], tree, theirs))
    process.start()
    theirs.close()
    try:
        return answers.recv() if answers.poll(LIMIT) else f"no answer in {LIMIT} s"
    except EOFError:
        return "no answer: the process died"
    finally:
        process.kill()
        process.join()
        file.write_text(text)


def main(words: list[str]) -> None:
    """Prints a Markdown table of the mistakes, what caught them, and the seconds."""
    chosen = [m for m in MISTAKES if not words or any(word in m.name or word in m.file for word in words)]
    for name in LIBRARIES:
        importlib.import_module(name)
    sys.dont_write_bytecode = True
    survivors = 0
    print("| mistake | file | caught by | seconds |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        ignored = shutil.ignore_patterns(".git", ".venv", "outputs", "__pycache__", "site")
        shutil.copytree(ROOT, tree, symlinks=True, ignore=ignored)
        os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        for mistake in chosen:
            start = time.monotonic()
            found = answer(mistake, tree).removeprefix("tests/")
            survivors += found.startswith(("survived", "no answer"))
            print(f"| {mistake.name} | {mistake.file} | {found} | {time.monotonic() - start:.0f} |", flush=True)
    print(f"\n{len(chosen) - survivors} of {len(chosen)} mistakes were caught.")


if __name__ == "__main__":
    main(sys.argv[1:])
