"""Models and data to draw as pictures and diagrams."""

from types import SimpleNamespace

import numpy as np

from vi import networks
from vi.data import Dataset
from vi.likelihoods import Bernoulli, NoLikelihood
from vi.models import LatentVariableModel
from vi.posteriors import DiagonalGaussian
from vi.priors import Density, StandardNormal


def banana(latents):
    """A prior with the shape of a banana: its density is known up to a constant, and it cannot be sampled."""
    return Density(latents, lambda z: -(z[..., 0] ** 2) / 8 - 2 * (z[..., 1] - z[..., 0] ** 2 / 3) ** 2)


def parts_to_draw(event, latents, likelihood=Bernoulli, posterior=DiagonalGaussian, prior=StandardNormal, size=120):
    """Data of two labels and an untrained model of them."""
    rng = np.random.default_rng(0)
    x = rng.random((size, *event)).round().astype("float32")
    data = Dataset({"x_train": x, "y_train": np.arange(size) % 2}, "test data", validation=0.25)
    model = LatentVariableModel(
        networks.mlp_encoder(event, hidden=[8]),
        posterior(latents),
        networks.mlp_decoder(latents, event, hidden=[8]),
        likelihood(event),
        prior(latents),
    )
    return SimpleNamespace(model=model, data=data)


def target_to_draw(latents):
    """A density as the prior, no likelihood, and no data."""
    parts = parts_to_draw((1,), latents, NoLikelihood, prior=banana)
    parts.data = Dataset({"x_train": np.zeros((8, 1), "float32")}, "no data", validation=0.5)
    return parts
