"""What a work and a contestant are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One way to do a work.

    Attributes:
        name: as the table shows it.
        peer: whose environment it runs in; "vi" is the interpreter that runs the benchmark.
        module: of `contestants/`.
        function: of the module; it takes the options and returns an object with `facts()` and `round()`.
        options: beside the options of the work.
        most: the largest number of its timed rounds, if a round takes a minute.
    """

    name: str
    peer: str
    module: str
    function: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    most: int | None = None


@dataclasses.dataclass(frozen=True)
class Work:
    """What all its contestants do in a round.

    Attributes:
        key: W1 ….
        title: what is done.
        unit: of the times that the table shows.
        per: the number of these units in a round.
        contestants: the first one is vi, which the ratios refer to.
        options: for every contestant; `batch` and `updates` a round.
        parameters: the number of weights that each contestant must have; None if there are none to count.
        tolerance: the largest difference of a final bound from vi's, in nats per datum; None if there is no bound.
        operations: the useful floating-point operations of a round; None if no ceiling applies.
        warmup: rounds that are not timed; the first one compiles.
    """

    key: str
    title: str
    unit: str
    per: float
    contestants: tuple[Contestant, ...]
    options: Mapping[str, Any]
    parameters: int | None = None
    tolerance: float | None = None
    operations: float | None = None
    warmup: int = 2

    @property
    def file(self) -> str:
        """The key without spaces and commas."""
        return self.key.replace(", ", "-").replace(" ", "")
