"""The errors that a user sees: one sentence each, shown without a traceback."""

import re

from vi.text import plain


class ConfigError(Exception):
    """The command, a config value or a file is wrong, and nothing has been trained: exit code 2.

    The sentence names the key, the value and the allowed values.
    """


class SettingError(ConfigError):
    """An argument of a class or function is not allowed: `SettingError("alpha", 1, "must not be 1.")`.

    The sentence names the argument: "alpha=1: must not be 1." The commands add the component: "estimator.alpha=1: must
    not be 1."

    Args:
        setting: the name of the argument.
        value: the value of the argument.
        allowed: the rest of the sentence, which states the allowed values.
    """

    def __init__(self, setting: str, value: object, allowed: str):
        super().__init__(f"{setting}={value}: {allowed}")
        self.setting, self.value, self.allowed = setting, value, allowed


class RunError(Exception):
    """A run that has begun cannot continue: exit code 1. The sentence says where it stopped and what to do."""


class Interrupted(KeyboardInterrupt):
    """A run was asked to stop, by Ctrl-C or SIGTERM, and has been saved: exit code 130 or 143.

    Args:
        signal: the number of the signal.
    """

    def __init__(self, signal: int):
        super().__init__(signal)


def reason(error: BaseException) -> str:
    """The message of an error of the operating system or of TensorFlow, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = (str(getattr(error, "message", error)).splitlines() or [type(error).__name__])[0]
    operation = re.search(r"(?:.*; )?(.*) \[Op:\w+\]", text)
    return plain(operation[1] if operation else text).rstrip(".")
