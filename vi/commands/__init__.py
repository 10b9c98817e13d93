"""The console commands."""

import time

BEGAN = time.perf_counter()
"""The time at which the command began."""
