"""The worker processes in which joblib runs the jobs of a multirun: their signals and their threads."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from types import FrameType

from omegaconf import DictConfig

from vi.errors import Interrupted
from vi.runs.interruption import SIGNALS, Interruption

JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"

interruption = Interruption()
"""In a worker: holds the signal received since the first job. After a signal the worker begins no further job."""


class Supervisor:
    """Passes Ctrl-C, SIGTERM and SIGHUP on to the workers. The workers save their jobs and end.

    A second signal, or a signal without workers, raises Interrupted at once.
    """

    def __enter__(self) -> Supervisor:
        self._received: int | None = None
        heard = [n for n in SIGNALS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]  # nohup ignores it
        self._handlers = {number: signal.signal(number, self._receive) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._received is not None:
            raise Interrupted(self._received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        workers = _workers()
        if self._received is not None or not workers:
            raise Interrupted(number)
        self._received = number
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGTERM)


def _workers() -> list[int]:
    """The ids of joblib's worker processes."""
    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor = getattr(loky, "_executor", None)
    return list(getattr(executor, "_processes", None) or [])


def in_worker() -> bool:
    """Whether this process is a worker."""
    return multiprocessing.parent_process() is not None


def listen() -> None:
    """Makes this worker pass SIGTERM to `interruption` until the worker ends, even while it is idle.

    If an idle worker died of SIGTERM, the other workers would wait for its jobs. The supervisor passes every signal on
    as SIGTERM, so the worker ignores SIGINT and SIGHUP.
    """
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        interruption.__enter__()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def threads(launcher: DictConfig) -> int:
    """The threads of a job: joblib's jobs share the cores. 0 leaves the number to TensorFlow."""
    if launcher._target_ != JOBLIB:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = launcher.n_jobs
    return max(1, cores // (jobs if jobs > 0 else max(1, cores + 1 + jobs)))
