"""W3 with PyTorch: eager in both memory formats, and compiled."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

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
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):  # as Keras has them
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

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


class Steps:
    """Rounds of train steps. The images stay on the device; each pass has a new order."""

    def __init__(self, options: dict[str, Any], memory_format: torch.memory_format, compiled: bool):
        torch.manual_seed(0)
        torch.set_num_threads(os.cpu_count() or 1)
        self.device = "cuda" if options["device"] == "gpu" else "cpu"
        self.format, self.step = memory_format, 0
        self.batch, self.updates = options["batch"], options["updates"]
        x = np.load(Path(options["arrays"]) / "x_train.npy").reshape(-1, 1, 28, 28)
        self.x = torch.from_numpy(x).to(self.device)
        self.model = VAE().to(self.device, memory_format=memory_format)
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3, fused=True)
        self.bound = torch.compile(self._bound) if compiled else self._bound

    def _bound(self, grey: torch.Tensor) -> torch.Tensor:
        x = torch.bernoulli(grey.float() / 255).contiguous(memory_format=self.format)
        return self.model(x).mean()

    def facts(self) -> dict[str, Any]:
        """What this contestant computes."""
        parameters = sum(math.prod(weight.shape) for weight in self.model.parameters())
        return {
            "parameters": parameters,
            "batch": self.batch,
            "updates": self.updates,
            "versions": {"torch": torch.__version__},
        }

    def round(self) -> dict[str, float]:
        """The mean bound of the round's steps, in nats per datum."""
        bounds = []
        for _ in range(self.updates):
            position = self.step % (len(self.x) // self.batch)
            if position == 0:
                self.order = torch.randperm(len(self.x), device=self.device)
            bound = self.bound(self.x[self.order[position * self.batch : (position + 1) * self.batch]])
            self.optimizer.zero_grad(set_to_none=True)
            (-bound).backward()
            self.optimizer.step()
            bounds.append(bound.detach())
            self.step += 1
        return {"bound": torch.stack(bounds).mean().item()}


def contiguous(options: dict[str, Any]) -> Steps:
    """Eager, channels first."""
    return Steps(options, torch.contiguous_format, compiled=False)


def channels_last(options: dict[str, Any]) -> Steps:
    """Eager, channels last."""
    return Steps(options, torch.channels_last, compiled=False)


def compiled(options: dict[str, Any]) -> Steps:
    """By `torch.compile`, channels last."""
    return Steps(options, torch.channels_last, compiled=True)
