"""The console command `vi-check`: tests the promises of an estimator."""

from __future__ import annotations

import sys
from typing import NoReturn

from vi.commands.start import Parser, run_command
from vi.loggers.terminal import Terminal
from vi.quiet import import_tensorflow
from vi.settings.compose import estimator_of
from vi.settings.dotted import find
from vi.settings.overrides import arguments
from vi.settings.validate import check_call


def main() -> NoReturn:
    """Runs `vi-check`. Exits as in `run_command`; the code is 1 if the estimator breaks a promise."""
    run_command("check", _check)


def _check(given: list[str]) -> int:
    parser = Parser(
        prog="vi-check",
        usage="vi-check ESTIMATOR [samples=5] [KEY=VALUE ...]",
        description="Test the promises of an estimator on a model with known log p(x): a table of checks, "
        "each with its number, its limit and its meaning.",
    )
    parser.add_argument(
        "estimator",
        metavar="ESTIMATOR",
        help="the dotted path of a class, such as my_module.MyEstimator, or a choice of the group estimator",
    )
    parser.add_argument("arguments", nargs="*", default=[], metavar="KEY=VALUE", help="arguments of its constructor")
    asked = parser.parse_args(given)
    name = asked.estimator.removeprefix("estimator=")
    settings = {**estimator_of(name, name), **arguments(asked.arguments)}
    check_call("", {"samples": 5, **settings})
    target = settings.pop("_target_")
    import_tensorflow()
    from vi.testing import check_estimator

    report = check_estimator(find(target, target), **settings)
    Terminal(width=None if sys.stdout.isatty() else 120).print(report.table())
    return 0 if report.passed else 1
