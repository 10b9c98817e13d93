"""The gradients of estimators as random vectors: their signal, noise, bias and cost. The time of a train step."""

from vi.diagnostics.moments import Sums
from vi.diagnostics.noise import GradientNoise
from vi.diagnostics.profile import profile_step, trace
from vi.diagnostics.slopes import fit_slopes
from vi.diagnostics.table import diagnose
from vi.diagnostics.watch import watch_gradients

__all__ = ["GradientNoise", "Sums", "diagnose", "fit_slopes", "profile_step", "trace", "watch_gradients"]
