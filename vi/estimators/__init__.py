"""Estimators of the ELBO: `base` is their contract, and every other module holds a family of them."""

from vi.estimators.base import Estimator
from vi.estimators.elbo import ELBO, AnalyticKL, MonteCarloKL, Reconstruction

__all__ = ["ELBO", "AnalyticKL", "Estimator", "MonteCarloKL", "Reconstruction"]
