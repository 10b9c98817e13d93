"""The console command `vi-check`: proves what an estimator of one's own promises."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

import rich.console

from vi.commands.quiet import import_tensorflow
from vi.errors import ConfigError
from vi.settings.dotted import find
from vi.settings.overrides import arguments
from vi.settings.sentences import sentence


def main(given: Sequence[str] | None = None) -> None:
    """Checks the estimator of the command line, and exits.

    Exit codes: 0 every promise is kept; 1 one is not; 2 the command was wrong; 130 interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="vi-check",
        usage="vi-check my_module.MyEstimator [samples=5] [KEY=VALUE ...]",
        description="Prove what an estimator promises, on a model of which everything is known: a table of checks, "
        "each with its number, its limit and its meaning.",
    )
    parser.add_argument(
        "estimator", metavar="my_module.MyEstimator", help="its dotted path, from the current directory"
    )
    parser.add_argument("arguments", nargs="*", metavar="KEY=VALUE", help="arguments of its constructor")
    parser.error = _refuse  # type: ignore[method-assign]
    asked = parser.parse_args(given)
    try:
        settings = arguments(asked.arguments)
        import_tensorflow()
        from vi.testing import check_estimator

        report = check_estimator(find(asked.estimator, asked.estimator), **settings)
    except ConfigError as error:
        _refuse(sentence(error))
    except KeyboardInterrupt:
        _refuse("interrupted.", 130)
    rich.console.Console(width=None if sys.stdout.isatty() else 120).print(report.table())
    sys.exit(0 if report.passed else 1)


def _refuse(message: str, code: int = 2) -> NoReturn:
    print(f"vi-check: {message}", file=sys.stderr)
    sys.exit(code)
