"""Ctrl-C, SIGTERM and SIGHUP, held until a run polls for them between compiled calls."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from vi.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """A context that holds the first Ctrl-C, SIGTERM or SIGHUP until `poll`. A second signal raises KeyboardInterrupt.

    An inner interruption takes over a signal that the outer one has received, and passes its signal to the outer one on
    exit. The outermost one sends its signal again on exit, unless KeyboardInterrupt leaves the block. Only the main
    thread receives signals. A signal that the process ignores stays ignored.
    """

    def __init__(self) -> None:
        self.heard: int | None = None
        self._handlers: dict[int, Any] = {}

    def poll(self) -> None:
        """Raises Interrupted if a signal has been received."""
        if self.heard is not None:
            raise Interrupted(self.heard)

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._receive)
            self.heard = self.heard or getattr(self._outer, "heard", None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self.heard is not None:
            if self._outer is not None:
                self._outer.heard = self.heard
            elif not isinstance(error, KeyboardInterrupt):
                os.kill(os.getpid(), self.heard)

    @property
    def _outer(self) -> Interruption | None:
        """The interruption around this one, if there is one."""
        owner = getattr(self._handlers.get(signal.SIGTERM), "__self__", None)
        return owner if isinstance(owner, Interruption) else None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.heard is not None:
            raise KeyboardInterrupt(number)
        self.heard = number
