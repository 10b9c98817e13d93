"""What the library defines."""

import inspect
import re


def concrete(base):
    """The concrete subclasses of `base` that the library defines."""
    classes = [base]
    for each in classes:
        classes += each.__subclasses__()
    return {c for c in classes if not inspect.isabstract(c) and re.match(r"vi\.(?!testing)", c.__module__)}
