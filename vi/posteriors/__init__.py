"""Approximate posteriors q(z|x): each turns encoder features into a distribution, the pushforward of a base noise."""

from vi.posteriors.base import ConditionalPosterior, Posterior
from vi.posteriors.continuous import Deterministic, DiagonalGaussian, FullCovarianceGaussian, LocationScale, MeanField
from vi.posteriors.discrete import Bernoulli, Categorical
from vi.posteriors.relaxations import BinaryConcrete, GumbelSoftmax, Relaxation

__all__ = [
    "Bernoulli",
    "BinaryConcrete",
    "Categorical",
    "ConditionalPosterior",
    "Deterministic",
    "DiagonalGaussian",
    "FullCovarianceGaussian",
    "GumbelSoftmax",
    "LocationScale",
    "MeanField",
    "Posterior",
    "Relaxation",
]
