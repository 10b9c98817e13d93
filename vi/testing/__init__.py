"""Checks of an estimator: `check_estimator(MyEstimator)` tests all promises of a class.

They run the estimator on a linear-Gaussian model. Its log p(x) and true posterior are known. q is at the true
posterior, near it or off it. The command `vi-check my_module.MyEstimator` does the same.
"""

from vi.testing.checks import check_estimator
from vi.testing.report import Check, Report

__all__ = ["Check", "Report", "check_estimator"]
