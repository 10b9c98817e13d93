"""The beginning and the end of every console command: options, error messages, and exit code."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from vi.errors import ConfigError, RunError
from vi.loggers.terminal import discard_output
from vi.settings.sentences import first_line, sentence
from vi.text import plain


class SeveralErrors(RunError):
    """Several jobs have failed.

    Args:
        sentences: a sentence for each job.
    """

    def __init__(self, sentences: list[str]):
        super().__init__("\n".join(sentences))
        self.sentences = sentences


class Parser(argparse.ArgumentParser):
    """The options of a command. A mistake raises ConfigError."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse; by default argparse would print the usage and exit."""
        raise unknown(self.prog, message)


def unknown(program: str, message: str) -> ConfigError:
    """The error for wrong options on a command line."""
    return ConfigError(f"{message}; see {program} --help.")


def run_command(name: str, work: Callable[[list[str]], int | None]) -> NoReturn:
    """Does the work of the command `vi-NAME` with the arguments of the command line, and exits.

    Every error is one sentence on standard error. HYDRA_FULL_ERROR=1 shows the traceback instead.

    Exit codes: 0, or the value of `work`: done; 1: the work failed; 2: the command, a value or a file was wrong; 129,
    130 and 143: interrupted by SIGHUP, Ctrl-C and SIGTERM.
    """
    logging.basicConfig(format="%(message)s")
    show_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") != "0"
    try:
        sentences, code = [], work(sys.argv[1:]) or 0
    except KeyboardInterrupt as interrupt:
        sentences, code = [_interrupted(interrupt)], 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)
    except BrokenPipeError:
        sentences, code = [], 0
    except Exception as error:
        if show_traceback:
            raise
        sentences, code = _answer(error)
    finally:  # also after the help of argparse, which exits
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            discard_output()
    for each in sentences:
        print(f"vi-{name}: {plain(each)}", file=sys.stderr)
    sys.exit(code)


def _interrupted(interrupt: KeyboardInterrupt) -> str:
    """The sentence for an interruption, with its notes on how to resume."""
    return "; ".join(["interrupted", *getattr(interrupt, "__notes__", ())]) + "."


def _answer(error: Exception) -> tuple[list[str], int]:
    """The sentences for an error, and the exit code."""
    if isinstance(error, SeveralErrors):
        return error.sentences, 1
    if isinstance(error, ConfigError):
        return [sentence(error)], 2
    if isinstance(error, RunError | OSError):
        return [sentence(error)], 1
    return [f"{type(error).__name__}: {first_line(error)} (HYDRA_FULL_ERROR=1 shows where)."], 1
