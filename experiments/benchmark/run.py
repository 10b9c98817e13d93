"""Times vi and its peers on the same works, in turn in one run, and writes the table, its numbers and its picture.

    python -m experiments.benchmark.run [ONLY=W1[,W2]] [--device cpu|gpu] [--rounds 7]

On a GPU only JAX, PyTorch and vi take part. Each has the running interpreter if that has its package.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys

from experiments.benchmark import environments, report, works
from experiments.benchmark.rounds import Outcome, differences, run_rounds
from experiments.benchmark.work import Work
from experiments.benchmark.workers import Worker, WorkerError

ON_GPU = {"vi", "jax", "torch"}


def main() -> None:
    """Runs the works; ends with a sentence for each contestant that failed or has not done the same work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="?", default="ONLY=", help="ONLY=W1,W2: these works alone")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    try:
        chosen = choose(arguments.only.removeprefix("ONLY="), arguments.device)
    except ValueError as error:
        sys.exit(str(error))
    wrong = []
    for work in chosen:
        try:
            contestants, ceilings = run(work, arguments.device, arguments.rounds)
        except WorkerError as error:
            wrong.append(str(error))
            continue
        entry = report.entry(work, contestants, ceilings)
        report.keep(work.key, entry, arguments.device)
        print(report.table(work.key, entry), flush=True)
        wrong += differences(work, contestants)
    if wrong:
        sys.exit("\n".join(wrong))


def choose(only: str, device: str) -> list[Work]:
    """The works that are asked for, with the contestants of the device.

    Args:
        only: keys between commas, W2 for both batch sizes; empty for all.
        device: "cpu" or "gpu".

    Raises:
        ValueError: there is no such work.
    """
    known = {work.key.split(",")[0] for work in works.WORKS}
    keys = {key for key in only.split(",") if key}
    if not keys <= known:
        raise ValueError(f"ONLY={only}: must name some of {', '.join(sorted(known))}.")
    chosen = [work for work in works.WORKS if not keys or work.key.split(",")[0] in keys]
    if device == "cpu":
        return chosen
    found = [(work, tuple(c for c in work.contestants if c.peer in ON_GPU)) for work in chosen]
    return [dataclasses.replace(work, contestants=contestants) for work, contestants in found]


def run(work: Work, device: str, rounds: int) -> tuple[list[Outcome], list[Outcome]]:
    """The outcomes of a work and of its ceilings."""
    cache = environments.cache()
    options = {**work.options, "device": device, "cache": str(cache), "arrays": str(environments.arrays())}
    entrants = [*work.contestants, *(works.CEILINGS if work.operations else ())]
    pythons = [environments.python_of(contestant.peer, running=device == "gpu") for contestant in entrants]
    workers: list[Worker] = []
    try:
        for number, (contestant, python) in enumerate(zip(entrants, pythons, strict=True)):
            workers.append(Worker(contestant, python, options, cache / "logs" / f"{work.file}-{number}.log"))
        outcomes = run_rounds(work, workers, rounds)
    finally:
        for worker in workers:
            worker.stop()
    return outcomes[: len(work.contestants)], outcomes[len(work.contestants) :]


if __name__ == "__main__":
    main()
