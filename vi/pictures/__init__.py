"""Pictures as PNG files, as wide as a paper's column or page, drawn from NumPy arrays and pandas frames.

They use Matplotlib's objects, not pyplot, so they need no display and may be drawn in a thread.
"""

from vi.pictures.curves import comparison, curves, focus, rate_distortion
from vi.pictures.gradients import power_laws
from vi.pictures.latent import MANIFOLD_SIZE, density, latent_space, latent_space_and_manifold, manifold, manifold_grid
from vi.pictures.observed import modes, prior_samples, reconstructions, samples
from vi.pictures.style import CLASSES, LOOKS

__all__ = [
    "CLASSES",
    "LOOKS",
    "MANIFOLD_SIZE",
    "comparison",
    "curves",
    "density",
    "focus",
    "latent_space",
    "latent_space_and_manifold",
    "manifold",
    "manifold_grid",
    "modes",
    "power_laws",
    "prior_samples",
    "rate_distortion",
    "reconstructions",
    "samples",
]
