"""Plants one mistake at a time in a copy of the tree, and prints which ones the tests catch.

    python -m tests.mutation [WORD ...]

With words, only mistakes whose name or file contains one of them are planted. The mistakes are a table, not those of
a general tool such as mutmut or cosmic-ray. Such a tool changes one operator or one constant at a time. The mistakes
that matter here are a stale seed, a swapped axis or a missing stop_gradient, and each run costs a start of TensorFlow.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutation.table import MISTAKES, Mistake

ROOT = Path(__file__).parents[2]


def answer(mistake: Mistake, tree: Path) -> str:
    """The first failing test with the mistake planted, or "survived"; the tree is restored."""
    file = tree / "vi" / mistake.file
    text = file.read_text()
    file.write_text(text.replace(mistake.before, mistake.after))
    tests = [f"tests/{name}" for name in mistake.tests.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        run = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    finally:
        file.write_text(text)
    if run.returncode == 0:
        return "survived"
    failed = [line.split()[1] for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0] if run.returncode == 1 and failed else f"no answer: pytest ended with {run.returncode}"


def main(words: list[str]) -> None:
    """Prints a Markdown table of the mistakes and what caught them."""
    chosen = [m for m in MISTAKES if not words or any(word in m.name or word in m.file for word in words)]
    print("| mistake | file | caught by |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        ignored = shutil.ignore_patterns(".git", ".venv", "outputs", "__pycache__", "site")
        shutil.copytree(ROOT, tree, symlinks=True, ignore=ignored)
        for mistake in chosen:
            print(f"| {mistake.name} | {mistake.file} | {answer(mistake, tree)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
