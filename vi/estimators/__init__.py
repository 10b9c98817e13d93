"""Estimators of the ELBO: `base` holds their contract, every other module a family of them."""

from vi.estimators.base import Estimator
from vi.estimators.divergences import ChiUpperBound, FDivergence, Renyi
from vi.estimators.elbo import ELBO, AnalyticKL, MonteCarloKL, Reconstruction
from vi.estimators.importance import IWAE, MIWAE, PIWAE, DReG, StickingTheLanding
from vi.estimators.score import VIMCO, ScoreFunction
from vi.estimators.wake_sleep import ReweightedWakeSleep, WakeSleep

__all__ = [
    "ELBO",
    "IWAE",
    "MIWAE",
    "PIWAE",
    "VIMCO",
    "AnalyticKL",
    "ChiUpperBound",
    "DReG",
    "Estimator",
    "FDivergence",
    "MonteCarloKL",
    "Reconstruction",
    "Renyi",
    "ReweightedWakeSleep",
    "ScoreFunction",
    "StickingTheLanding",
    "WakeSleep",
]
