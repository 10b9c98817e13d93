"""Ctrl-C, SIGTERM and SIGHUP as a question that is asked between compiled calls."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from vi.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While it is entered, the first Ctrl-C, SIGTERM or SIGHUP is kept for `check`; a second one interrupts at once.

    Entered within another one, it takes over what that has heard. A signal that nobody has asked for when it is left
    is handed on. Only the main thread hears signals, and a signal that the process ignores is left ignored.
    """

    def __init__(self) -> None:
        self.heard: int | None = None
        self._handlers: dict[int, Any] = {}

    def check(self) -> None:
        """Raises Interrupted if a signal has come."""
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
        """The one that this one was entered within."""
        owner = getattr(self._handlers.get(signal.SIGTERM), "__self__", None)
        return owner if isinstance(owner, Interruption) else None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.heard is not None:
            raise KeyboardInterrupt(number)
        self.heard = number
