"""Priors p(z). The variables of a prior belong to θ."""

from vi.priors.base import Prior, PriorDensity
from vi.priors.density import Density
from vi.priors.discrete import Bernoulli, Categorical
from vi.priors.gaussian import StandardNormal

__all__ = ["Bernoulli", "Categorical", "Density", "Prior", "PriorDensity", "StandardNormal"]
