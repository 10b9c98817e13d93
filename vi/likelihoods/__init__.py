"""Likelihoods p(x|z): each turns the decoder's linear output into a distribution of the data."""

from vi.likelihoods.base import ConditionalLikelihood, Likelihood
from vi.likelihoods.bernoulli import Bernoulli
from vi.likelihoods.gaussian import Gaussian
from vi.likelihoods.none import NoLikelihood
from vi.likelihoods.standardization import Standardization

__all__ = ["Bernoulli", "ConditionalLikelihood", "Gaussian", "Likelihood", "NoLikelihood", "Standardization"]
