"""The time until the first step of a run."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable

from vi.loggers.base import Logger, Standing

log = logging.getLogger(__name__)

PARTS = ("imports", "building", "compiling")


class Startup(Logger):
    """Measures the time until the first step: seconds of imports, of building, and of compiling.

    Building ends when the training begins. Compiling ends with the first compiled call, which takes the first step.

    Args:
        began: the time at which the process or the job began, by `time.perf_counter`.
        imported: the time at which building began.
        report: called after the first step with the seconds of each part, and of all as `first_step`.
    """

    def __init__(self, began: float, imported: float, report: Callable[[dict[str, float]], None]):
        self._times, self._report = [began, imported], report

    def progress(self, progress: Standing) -> None:
        """Logs and reports the times after the first step."""
        if len(self._times) > len(PARTS):
            return
        self._times.append(time.perf_counter())
        if len(self._times) > len(PARTS):
            seconds = [later - earlier for earlier, later in itertools.pairwise(self._times)]
            said = ", ".join(f"{part} {each:.1f} s" for part, each in zip(PARTS, seconds, strict=True))
            log.info("The first step took %.1f s: %s.", sum(seconds), said)
            self._report({**dict(zip(PARTS, seconds, strict=True)), "first_step": sum(seconds)})
