"""The gradients of estimators as random vectors: their signal, noise, bias and cost."""

from vi.diagnostics.moments import Sums
from vi.diagnostics.noise import GradientNoise
from vi.diagnostics.slopes import fit_slopes
from vi.diagnostics.table import diagnose
from vi.diagnostics.watch import watch_gradients

__all__ = ["GradientNoise", "Sums", "diagnose", "fit_slopes", "watch_gradients"]
