"""A thread with a queue between the training and Weights & Biases, so that the training never waits."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

log = logging.getLogger(__name__)
Item = TypeVar("Item")

QUEUE_SIZE = 10_000
"""The largest number of waiting items. Further items are dropped."""
LOST = "missing rows are in metrics.csv."


class Feeder(Generic[Item]):
    """Hands items to Weights & Biases in a thread. The first failure is a warning; later ones are not reported.

    Args:
        take: called in the thread with this feeder and an iterator over the items. The iterator ends when the feeder is
            closed.
    """

    def __init__(self, take: Callable[[Feeder[Item], Iterator[Item]], None]):
        self.abandoned = False
        self._take = take
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._warnings = threading.Semaphore(1)
        self._thread = threading.Thread(target=self._feed, name="wandb", daemon=True)

    def start(self) -> None:
        """Starts the thread, unless it has started."""
        if self._thread.ident is None:
            self._thread.start()

    def put(self, item: Item) -> None:
        """Queues an item, unless too many items are waiting."""
        self.start()
        if self._items.qsize() < QUEUE_SIZE:
            self._items.put(item)
        else:
            self.warn(f"Weights & Biases lags {QUEUE_SIZE:,} rows behind; {LOST}")

    def close(self, last: Item, seconds: float, kill: Callable[[], None]) -> None:
        """Queues the last item and waits at most `seconds` for the end of the thread.

        After that time `kill` ends the W&B process, on which the thread waits. Neither the thread nor the exit hangs
        then.
        """
        self.start()
        self._items.put(last)
        self._items.put(None)
        try:
            self._thread.join(seconds)
        finally:
            if self._thread.is_alive():
                self.abandoned = True
                self.warn(f"Weights & Biases has not finished after {seconds} s and is given up; {LOST}")
                kill()
                self._thread.join(1)

    def warn(self, sentence: str) -> None:
        """Logs a warning, but only the first one."""
        if self._warnings.acquire(blocking=False):
            log.warning("%s", sentence)

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Turns an exception into a warning."""
        try:
            yield
        except Exception as error:
            self.warn(f"Weights & Biases failed ({in_sentence(error)}); {LOST}")

    def _feed(self) -> None:
        with self.guard():
            self._take(self, iter(self._items.get, None))


def in_sentence(error: Exception) -> str:
    """The message of an error, as a part of a sentence."""
    text = " ".join(str(error).split()).rstrip(".").replace(". ", "; ")
    return text or type(error).__name__
