"""Times vi and its peers on the same works, in turn in one run.

python -m experiments.benchmark.run [ONLY=W1[,W2]] [--device cpu|gpu] [--rounds 7]
"""

from __future__ import annotations

import argparse
import sys

from experiments.benchmark import environments, works
from experiments.benchmark.rounds import Outcome, differences, ratio, run_rounds
from experiments.benchmark.workers import Worker


def main() -> None:
    """Runs the works and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="?", default="ONLY=", help="ONLY=W1,W2: these works alone")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    keys = [key for key in arguments.only.removeprefix("ONLY=").split(",") if key]
    wrong = []
    for work in works.WORKS:
        if not keys or work.key.split(",")[0] in keys or work.key in keys:
            outcomes = run(work, arguments.device, arguments.rounds)
            wrong += differences(work, outcomes)
            show(work, outcomes)
    if wrong:
        sys.exit("\n".join(wrong))


def run(work: works.Work, device: str, rounds: int) -> list[Outcome]:
    """The outcomes of a work."""
    cache = environments.cache()
    options = {**work.options, "device": device, "cache": str(cache), "arrays": str(environments.arrays())}
    workers: list[Worker] = []
    try:
        for n, contestant in enumerate(work.contestants):
            python = environments.python_of(contestant.peer, running=device == "gpu")
            log = cache / "logs" / f"{work.key.replace(', ', '-').replace(' ', '')}-{n}.log"
            workers.append(Worker(contestant, python, options, log))
        return run_rounds(work, workers, rounds)
    finally:
        for worker in workers:
            worker.stop()


def show(work: works.Work, outcomes: list[Outcome]) -> None:
    """Prints a table."""
    print(f"\n{work.key}: {work.title} ({work.unit})")
    for outcome in outcomes:
        middle, low, high = ratio(outcome, outcomes[0])
        least, most = min(outcome.seconds) / work.per, max(outcome.seconds) / work.per
        print(
            f"{outcome.name:24s} {outcome.median / work.per:8.3f} ({least:.3f}–{most:.3f})  × {middle:.2f} "
            f"({low:.2f}–{high:.2f})  bound {outcome.last.get('bound', float('nan')):.2f}  "
            f"{outcome.peak_memory / 2**20:.0f} MiB  {outcome.facts['parameters']}"
        )


if __name__ == "__main__":
    main()
