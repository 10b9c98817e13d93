"""The report on an estimator: a check for each promise, with a number and a meaning."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable

import rich.box
import rich.console
import rich.markup
import rich.table


@dataclasses.dataclass(frozen=True)
class Check:
    """The check of one promise of an estimator.

    Attributes:
        name: the name of the promise.
        passed: whether the promise is kept; None if it was not checked.
        meaning: a sentence: the promise, the probable mistake, or why the promise was not checked.
        value: the number that is compared with the limit; None if there is no number.
        limit: the largest allowed value.
    """

    name: str
    passed: bool | None
    meaning: str
    value: float | None = None
    limit: float | None = None


def within(name: str, value: float, limit: float, promise: str, otherwise: str | Callable[[], str]) -> Check:
    """A check that passes if value ≤ limit; nan fails. Its meaning is the promise if it passes, else `otherwise`."""
    passed = bool(value <= limit)
    meaning = promise if passed else otherwise if isinstance(otherwise, str) else otherwise()
    return Check(name, passed, meaning, float(value), float(limit))


@dataclasses.dataclass(frozen=True)
class Report:
    """All checks of one estimator. A report is true if no check failed, and prints as a table.

    Attributes:
        estimator: the class and its arguments.
        kind: the declared kind of the bound.
        checks: in the order of their execution.
        seconds: the time that all checks took.
    """

    estimator: str
    kind: str
    checks: tuple[Check, ...]
    seconds: float

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.passed is False)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    def __bool__(self) -> bool:
        return self.passed

    def __getitem__(self, name: str) -> Check:
        return {check.name: check for check in self.checks}[name]

    def raise_if_failed(self) -> None:
        """Raises AssertionError with the table if a check failed; a test of an estimator in one line."""
        if self.failures:
            raise AssertionError(f"\n{self}")

    def table(self) -> rich.table.Table:
        """A table with a row for each check."""
        passed = sum(check.passed is True for check in self.checks)
        table = rich.table.Table(
            title=f"{self.estimator}, kind {self.kind}",
            caption=f"{passed} passed, {len(self.failures)} failed, "
            f"{len(self.checks) - passed - len(self.failures)} not checked, in {self.seconds:.0f} s. The seeds are "
            "fixed. With random seeds, a correct estimator would fail about once in a thousand runs.",
            box=rich.box.SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
        )
        table.add_column("check", no_wrap=True)
        table.add_column("number", justify="right", no_wrap=True)
        table.add_column("limit", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        table.add_column("meaning")
        for check in self.checks:
            result = {True: "[green]passed", False: "[bold red]failed", None: "[dim]–"}[check.passed]
            numbers = ["" if number is None else f"{number:.2g}" for number in (check.value, check.limit)]
            table.add_row(check.name, *numbers, result, rich.markup.escape(check.meaning))
        return table

    def __str__(self) -> str:
        console = rich.console.Console(file=io.StringIO(), width=120)
        console.print(self.table())
        return console.file.getvalue()  # type: ignore[attr-defined]
