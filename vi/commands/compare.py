"""The console command `vi-compare`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import rich.console

from vi.compare import compare, write_comparison
from vi.compare.tables import print_tables
from vi.errors import ConfigError


def main(arguments: Sequence[str] | None = None) -> None:
    """Compares the runs below the directories of the command line; exits with 2 where there is nothing to compare."""
    parser = argparse.ArgumentParser(
        prog="vi-compare",
        description="Compare runs: a table with a row for each setting, mean ± standard error over seeds, and the "
        "learning curves; written as comparison.csv, .md, .png and .html.",
    )
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="a run, or a directory above runs")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where to write; by default the DIR, or here if there are several"
    )
    parser.error = _refuse  # type: ignore[method-assign, assignment]
    given = parser.parse_args(arguments)
    output = given.output or (given.directories[0] if len(given.directories) == 1 else Path())
    try:
        comparison = compare(given.directories)
        files = write_comparison(comparison, output)
    except ConfigError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{error.filename or output}: {error.strerror or error}.")
    console = rich.console.Console()
    print_tables(console, comparison)
    for file in files:
        console.print(str(file), highlight=False, soft_wrap=True, markup=False)


def _refuse(sentence: str) -> NoReturn:
    print(f"vi-compare: {sentence}", file=sys.stderr)
    sys.exit(2)
