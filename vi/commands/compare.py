"""The console command `vi-compare`."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from vi.commands.start import Parser, run_command
from vi.errors import ConfigError
from vi.loggers.terminal import Terminal, print_line
from vi.settings.sentences import sentence


def main() -> NoReturn:
    """Runs `vi-compare` and exits as in `run_command`."""
    run_command("compare", _compare)


def _compare(given: list[str]) -> None:
    parser = Parser(
        prog="vi-compare",
        description="Compare runs. A table has a row for each setting, with means and standard errors over seeds; a "
        "plot shows the learning curves. Both are written as comparison.csv, .md, .png and .html.",
    )
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="a run, or a directory above runs")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="the directory to write into; by default the one DIR, or the current directory if there are several DIR",
    )
    asked = parser.parse_args(given)
    from vi.compare import compare, write_comparison  # pandas and Matplotlib take half a second to import
    from vi.compare.tables import print_tables

    output = asked.output or (asked.directories[0] if len(asked.directories) == 1 else Path())
    comparison = compare(asked.directories)
    try:
        files = write_comparison(comparison, output)
    except OSError as error:
        raise ConfigError(sentence(error)) from None
    console = Terminal()
    print_tables(console, comparison)
    for file in files:
        print_line(console, str(file))
