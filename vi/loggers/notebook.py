"""One line of a notebook that shows the progress of a run."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from vi.loggers.base import Logger, Standing
from vi.text import plain


class NotebookLogger(Logger):
    """A line below the cell, which each call replaces."""

    def __init__(self) -> None:
        from IPython.display import display

        self.validation = ""
        self.line = display({"text/plain": "compiling"}, raw=True, display_id=True)

    def progress(self, progress: Standing) -> None:
        """Shows how far the training is, its bound and the last validation."""
        if progress.step == 0:
            return  # the first step is being compiled
        self._show(
            f"epoch {progress.epoch:.0f} of {progress.epoch * progress.total / progress.step:.0f}",
            f"train/bound {progress.bound:.2f}",
            self.validation,
        )

    def log(self, row: Mapping[str, float | None]) -> None:
        """Keeps the validation for the line."""
        names = ("validation/elbo", "validation/iw_bound")
        self.validation = "  ".join(f"{name} {row[name]:.2f}" for name in names if row[name] is not None)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Shows how the training has ended."""
        if "epoch" in summary:
            ending = f"{summary['status']} at epoch {summary['epoch']:.0f} after {summary['seconds']:.0f} s"
            self._show(ending, self.validation)

    def stop(self) -> None:
        """Does nothing: the line stays."""

    def _show(self, *parts: str) -> None:
        self.line.update({"text/plain": plain("  ".join(part for part in parts if part))}, raw=True)


@contextlib.contextmanager
def without_displays() -> Iterator[None]:
    """Discards what a block displays in a notebook, such as the empty text that Keras displays for each summary."""
    if "IPython" not in sys.modules or sys.modules["IPython"].get_ipython() is None:
        yield
        return
    from IPython.utils.capture import capture_output

    with capture_output():
        yield
