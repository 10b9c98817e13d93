"""Closes a run that fails or is interrupted: its summary, and an error that says how far the run has come."""

from __future__ import annotations

import logging
from pathlib import Path

from vi.errors import RunError, reason
from vi.runs.directory import Summary, write_summary
from vi.runs.summary import standing
from vi.training.fit import NotFinite, Progress, last_good
from vi.training.nonfinite import examine, keep
from vi.training.trainer import Trainer

log = logging.getLogger(__name__)


def close(
    error: BaseException, summary: Summary, trainer: Trainer, progress: Progress, directory: Path
) -> BaseException:
    """Records in summary.json that the run was interrupted or has failed; returns the error to raise."""
    summary |= standing(progress)
    if isinstance(error, KeyboardInterrupt):
        summary["status"] = "interrupted"
    else:
        error = _explain(error, trainer, progress, directory)
        summary |= {"status": "failed", "error": " ".join(str(error).split())}
    try:
        write_summary(summary, directory)
    except OSError as full:
        log.warning("%s could not be written (%s).", directory / "summary.json", reason(full))
    return error


def _explain(error: BaseException, trainer: Trainer, progress: Progress, directory: Path) -> BaseException:
    """The error as a sentence that says how far the run has come. A step that is not finite is saved in `nonfinite`."""
    if isinstance(error, NotFinite):
        what = _examined(error.what, trainer, directory / "nonfinite", last_good(error.saved))
        return RunError(f"{what} {error.advice}")
    if isinstance(error, OSError):
        return RunError(
            f"{error.filename or directory}: could not be written ({reason(error)}); the run stands at step "
            f"{progress.step}, and {last_good(progress.evaluated or None)}."
        )
    return error


def _examined(what: str, trainer: Trainer, folder: Path, good: str) -> str:
    """The sentences on a step that is not finite: its terms and data, the last good checkpoint, the folder."""
    text, kept = what, ""
    try:
        if (examination := examine(trainer)).causes:
            text = str(examination) if what.startswith("step ") else f"{what}: {examination}"
            keep(examination, trainer, folder)
            kept = f" {folder} keeps the step, and vi.replay('{folder}') computes it again."
    except Exception as unable:  # of any kind: it must not hide the first error
        kept = f" The step could not be kept ({type(unable).__name__}: {reason(unable)})."
    return f"{text}; {good}.{kept}"
