"""W3 with PyTorch: eager in both memory formats, and compiled."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from experiments.benchmark.contestants.torch_steps import Training, initialize

LATENTS = 16
ROWS, COLUMNS = torch.tril_indices(LATENTS, LATENTS)


class VAE(nn.Module):
    """The convolutional VAE; `forward` gives the bound of each datum."""

    def __init__(self) -> None:
        super().__init__()
        slope = 0.2
        down = [(1, 32, 5, 1, 2), (32, 32, 5, 2, 2), (32, 64, 5, 1, 2), (64, 64, 5, 2, 2), (64, 64, 7, 1, 0)]
        up = [
            *((LATENTS, 64, 7, 1, 0, 0), (64, 64, 5, 1, 2, 0), (64, 64, 5, 2, 2, 1)),
            *((64, 32, 5, 1, 2, 0), (32, 32, 5, 2, 2, 1), (32, 32, 5, 1, 2, 0)),
        ]
        encoder = [layer for each in down for layer in (nn.Conv2d(*each), nn.LeakyReLU(slope))]
        self.encoder = nn.Sequential(*encoder, nn.Flatten(), nn.Linear(64, LATENTS + len(ROWS)))
        decoder = [layer for each in up for layer in (nn.ConvTranspose2d(*each), nn.LeakyReLU(slope))]
        self.decoder = nn.Sequential(*decoder, nn.Conv2d(32, 1, 5, 1, 2))
        initialize(self.modules())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x|z) + log p(z) − log q(z|x) for one z of each x `[B, 1, 28, 28]`, `[B]`."""
        parameters = self.encoder(x - 0.5)
        loc, entries = parameters[:, :LATENTS], parameters[:, LATENTS:]
        factor = entries.new_zeros(len(x), LATENTS, LATENTS)
        factor[:, ROWS, COLUMNS] = entries
        diagonal = F.softplus(factor.diagonal(dim1=1, dim2=2)) + 1e-5
        factor = factor.tril(-1) + torch.diag_embed(diagonal)
        eps = torch.randn_like(loc)
        z = loc + torch.bmm(factor, eps[:, :, None])[:, :, 0]
        log_ratio = 0.5 * (eps**2 - z**2).sum(1) + diagonal.log().sum(1)
        logits = self.decoder(z[:, :, None, None])
        cross_entropy = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        return log_ratio - cross_entropy.flatten(1).sum(1)


def steps(options: dict[str, Any]) -> Training:
    """W3; the options are `memory_format` and `compiled`."""
    memory_format = getattr(torch, options["memory_format"])

    def bound(model: VAE, x: torch.Tensor) -> torch.Tensor:
        return model(x.reshape(-1, 1, 28, 28).contiguous(memory_format=memory_format)).mean()

    return Training(options, VAE().to(memory_format=memory_format), bound, binarize=True)
