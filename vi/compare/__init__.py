"""Runs side by side: `vi-compare DIR` as a command, `compare(directories)` as a library.

Reads only the files of runs, so it needs neither TensorFlow nor a model.
"""

from vi.compare.averages import compare
from vi.compare.comparison import Comparison
from vi.compare.output import write_comparison

__all__ = ["Comparison", "compare", "write_comparison"]
