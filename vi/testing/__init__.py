"""Checks of an estimator: `check_estimator(MyEstimator)` holds a class to everything that it promises.

They run the estimator on a linear-Gaussian model, whose log p(x) and true posterior are known, with q at the true
posterior, near it and off it. The command `vi-check my_module.MyEstimator` does the same.
"""

from vi.testing.checks import check_estimator
from vi.testing.report import Check, Report

__all__ = ["Check", "Report", "check_estimator"]
