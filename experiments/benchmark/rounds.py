"""The rounds of a work: all contestants in turn, and what the times say."""

from __future__ import annotations

import dataclasses
import statistics
import time
from typing import Any

from experiments.benchmark.work import Work
from experiments.benchmark.workers import Worker, WorkerError

PAUSE = 0.3
"""Seconds between two contestants, in which the threads of the one that has worked fall asleep."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a contestant has done.

    Attributes:
        name: the contestant's.
        peer: the contestant's.
        facts: parameters, batch, updates and versions.
        seconds: of each timed round.
        last: all that the last round has said.
        bounds: of each timed round, where there is a bound.
        peak_memory: of the process, in bytes.
    """

    name: str
    peer: str
    facts: dict[str, Any]
    seconds: list[float]
    last: dict[str, Any]
    bounds: list[float]
    peak_memory: float

    @property
    def median(self) -> float:
        """The median of the seconds of a round."""
        return statistics.median(self.seconds)


def run_rounds(work: Work, workers: list[Worker], rounds: int) -> list[Outcome]:
    """Asks all contestants in turn, A B C A B C …; the warm-up rounds of the work are not counted.

    Raises:
        WorkerError: a contestant has failed.
    """
    facts = [worker.ask("facts") for worker in workers]
    answers: list[list[dict[str, Any]]] = [[] for _ in workers]
    for number in range(work.warmup + rounds):
        for worker, given in zip(workers, answers, strict=True):
            if len(given) == worker.contestant.most:
                continue
            answer = worker.ask("round")
            if number >= work.warmup:
                given.append(answer)
            time.sleep(PAUSE)
    memory = [worker.ask("end").get("peak_memory", 0.0) for worker in workers]
    return [
        Outcome(
            *(w.contestant.name, w.contestant.peer, f, [a["seconds"] for a in given], given[-1]),
            [a["bound"] for a in given if "bound" in a],
            given[-1].get("peak_memory", peak),  # a round may be a process
        )
        for w, f, given, peak in zip(workers, facts, answers, memory, strict=True)
    ]


def ratio(outcome: Outcome, reference: Outcome) -> tuple[float, float, float]:
    """How many times as long as the reference: the median over the rounds, the least and the greatest ratio.

    With n rounds the range holds the true median ratio with probability 1 − 2^(1−n), whatever the distribution.
    """
    ratios = [own / other for own, other in zip(outcome.seconds, reference.seconds, strict=False)]
    return statistics.median(ratios), min(ratios), max(ratios)


def differences(work: Work, outcomes: list[Outcome]) -> list[str]:
    """What shows that the contestants have not done the same work, a sentence each.

    Bounds are compared after the same number of rounds, since early in a training they rise quickly.
    """
    found, reference = [], outcomes[0]
    for outcome in outcomes:
        for key, expected in {"parameters": work.parameters, **work.options}.items():
            value = outcome.facts.get(key, expected)
            if expected is not None and value != expected:
                found.append(f"{work.key}: {outcome.name} has {key} {value}, but the work has {expected}.")
        if work.tolerance is not None and outcome.bounds and len(outcome.bounds) == len(reference.bounds):
            bound, other = outcome.bounds[-1], reference.bounds[-1]
            if not abs(bound - other) <= work.tolerance:
                found.append(
                    f"{work.key}: the bound of {outcome.name} is {bound:.2f} nats per datum after its last round, and "
                    f"{other:.2f} of {reference.name}; they may differ by {work.tolerance}."
                )
    return found


__all__ = ["Outcome", "WorkerError", "differences", "ratio", "run_rounds"]
