"""Estimators of the ELBO: `base` is their contract, and every other module holds a family of them."""

from vi.estimators.base import Estimator
from vi.estimators.divergences import ChiUpperBound, FDivergence, Renyi
from vi.estimators.elbo import ELBO, AnalyticKL, MonteCarloKL, Reconstruction
from vi.estimators.importance import IWAE, MIWAE, PIWAE, DReG, StickingTheLanding

__all__ = [
    "ELBO",
    "IWAE",
    "MIWAE",
    "PIWAE",
    "AnalyticKL",
    "ChiUpperBound",
    "DReG",
    "Estimator",
    "FDivergence",
    "MonteCarloKL",
    "Reconstruction",
    "Renyi",
    "StickingTheLanding",
]
