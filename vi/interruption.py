"""Ctrl-C and SIGTERM as a question that is asked between compiled calls."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from vi.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """While it is entered, the first Ctrl-C or SIGTERM is kept for `check`; a second one interrupts at once.

    Entered within another one, it takes over what that has heard. Only the main thread hears signals; entered in
    another thread, it changes nothing.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._handlers: dict[int, object] = {}

    def check(self) -> None:
        """Raises Interrupted if a signal has come."""
        if self._received is not None:
            raise Interrupted(self._received)

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._receive) for number in SIGNALS}
            outer = getattr(self._handlers[signal.SIGTERM], "__self__", None)
            if isinstance(outer, Interruption):
                self._received = outer._received
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise KeyboardInterrupt
        self._received = number
