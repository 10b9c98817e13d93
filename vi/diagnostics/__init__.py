"""The gradients of estimators as random vectors: their signal, their noise, their bias, and what they cost."""

from vi.diagnostics.moments import Sums
from vi.diagnostics.noise import GradientNoise
from vi.diagnostics.report import diagnose, watch_gradients
from vi.diagnostics.slopes import fit_slopes

__all__ = ["GradientNoise", "Sums", "diagnose", "fit_slopes", "watch_gradients"]
