"""One contestant in a process of its own: reads a command a line, answers a line of JSON.

    PYTHON -m experiments.benchmark.worker MODULE FUNCTION OPTIONS

Commands: `facts`, `round` (with its seconds) and `end` (with the peak memory of the process). The process runs in the
environment of the peer, so it imports nothing but the contestant's module.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time


def main() -> None:
    """Answers until `end`, or until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes to the log
    module, function, options = sys.argv[1:]
    contestant = getattr(importlib.import_module(f"experiments.benchmark.contestants.{module}"), function)(
        json.loads(options)
    )
    for line in sys.stdin:
        command = line.strip()
        answer: dict = {}
        if command == "facts":
            answer = contestant.facts()
        elif command == "round":
            start = time.perf_counter()
            answer = contestant.round()
            answer = {"seconds": time.perf_counter() - start, **answer}
        elif command == "end":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            answer = {"peak_memory": peak * (1 if sys.platform == "darwin" else 1024)}
        answers.write(json.dumps(answer) + "\n")
        if command == "end":
            return


if __name__ == "__main__":
    main()
