"""The errors that are written for people: one sentence each, shown without a traceback."""


class ConfigError(Exception):
    """The command, a config value or a file is wrong, and nothing has been trained: exit code 2.

    The sentence names the key, the value and what is allowed.
    """


class RunError(Exception):
    """A run that had begun could not go on: exit code 1. The sentence says where and what to do."""


class Interrupted(KeyboardInterrupt):
    """A run was asked to stop, by Ctrl-C or SIGTERM, and has been saved: exit code 130 or 143.

    Args:
        signal: the number of the signal.
    """

    def __init__(self, signal: int):
        super().__init__(signal)
