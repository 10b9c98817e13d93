"""Latents that carry information on the data, and latents that have collapsed to the prior."""

from __future__ import annotations

import numpy as np

from vi.data.dataset import Split
from vi.evaluation.evaluator import Evaluator

ACTIVE = 0.01
"""A latent is active if the variance of its posterior mean over the data exceeds this (Burda et al., 2015, sec. 5)."""
COLLAPSED = 0.01
"""A latent has collapsed if its mean KL over the data is smaller than this, in nats."""
COLLAPSE_DATA = 100
"""The number of data, from the first on, that show whether latents have collapsed."""


def active_units(means: np.ndarray) -> int:
    """The number of active latents, from posterior means `[N, L]`."""
    return int((means.var(axis=0, dtype=np.float64) > ACTIVE).sum())


def collapse_sentence(evaluator: Evaluator, split: Split) -> str | None:
    """What to say if more than half of the latents have collapsed, on the first data of a split; else None.

    If the KL of each latent has no closed form, the latents that are not active count.
    """
    divergence = evaluator.kl_per_dimension(split, COLLAPSE_DATA)
    if divergence is None:
        means = evaluator.means(split, COLLAPSE_DATA)
        latents = means.shape[1]
        collapsed, why = latents - active_units(means), f"The variance of their means is below {ACTIVE}"
    else:
        latents = divergence.shape[1]
        small = divergence.mean(axis=0, dtype=np.float64) < COLLAPSED
        collapsed, why = int(small.sum()), f"Their KL is below {COLLAPSED} nats"
    if 2 * collapsed <= latents:
        return None
    return f"Collapsed latents: {collapsed} of {latents}. {why}, so they carry almost nothing of the data."
