"""Runs side by side: `vi-compare DIR` as a command, `compare(directories)` as a library.

It reads what runs have left, and nothing else: neither TensorFlow nor a model is needed.
"""

from vi.compare.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
