"""Models: each joins its parts to a joint density p(x, z) with an approximate posterior q(z|x)."""

from vi.models.base import Model
from vi.models.latent import LatentVariableModel

__all__ = ["LatentVariableModel", "Model"]
