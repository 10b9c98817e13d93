"""Latents that carry information on the data, and latents that have collapsed to the prior."""

from __future__ import annotations

import functools

import numpy as np

from vi.data.dataset import Split
from vi.evaluation.evaluator import Evaluator

ACTIVE = 0.01
"""A latent is active if the variance of its posterior mean over the data exceeds this (Burda et al., 2015, sec. 5)."""
COLLAPSED = 0.01
"""A latent has collapsed if its mean KL over the data is smaller than this, in nats."""
LOOKED_AT = 100
"""The number of data that show whether latents have collapsed, spread over the split."""


def active_units(means: np.ndarray) -> int:
    """The number of active latents, from posterior means `[N, L]`."""
    return int((means.var(axis=0, dtype=np.float64) > ACTIVE).sum())


class Collapse:
    """Whether most latents of a model in training have collapsed, on some data of a split.

    Args:
        evaluator: the evaluator of the model.
        split: the data.
    """

    def __init__(self, evaluator: Evaluator, split: Split):
        self.evaluator, self.split = evaluator, split

    def sentence(self) -> str | None:
        """What to say if more than half of the latents have collapsed; else None.

        If the KL of each latent has no closed form, the latents that are not active count.
        """
        divergence = self.evaluator.kl_per_dimension(self._some)
        if divergence is None:
            means = self.evaluator.means(self._some)
            collapsed, why = means.shape[1] - active_units(means), f"The variance of their means is below {ACTIVE}"
        else:
            means = divergence.mean(axis=0, dtype=np.float64)
            collapsed, why = int((means < COLLAPSED).sum()), f"Their KL is below {COLLAPSED} nats"
        latents = means.shape[-1]
        if 2 * collapsed <= latents:
            return None
        return f"Collapsed latents: {collapsed} of {latents}. {why}, so they carry almost nothing of the data."

    @functools.cached_property
    def _some(self) -> Split:
        index = np.linspace(0, len(self.split) - 1, min(LOOKED_AT, len(self.split)))
        return self.split.take(index.round().astype(int))
