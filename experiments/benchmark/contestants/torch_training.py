"""W1 and W2 in PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from experiments.benchmark.contestants.torch_steps import Training, initialize


def dense(widths: list[int], activation: type[nn.Module]) -> list[nn.Module]:
    """Dense layers with the initial weights that Keras has, and activations between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    initialize(layers)
    return layers[:-1]


class Networks(nn.Module):
    """An encoder to mean and log-variance, and a decoder to logits."""

    def __init__(self, latents: int, hidden: list[int], activation: type[nn.Module]):
        super().__init__()
        self.encoder = nn.Sequential(*dense([784, *hidden, 2 * latents], activation))
        self.decoder = nn.Sequential(*dense([latents, *hidden, 784], activation))


def log_bernoulli(x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The log density of the pixels."""
    return -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)


def analytic_kl(options: dict[str, Any]) -> Training:
    """W1."""

    def bound(networks: Networks, x: torch.Tensor) -> torch.Tensor:
        mean, log_variance = networks.encoder(x).chunk(2, -1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        kl = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(-1)
        return (log_bernoulli(x, networks.decoder(z)) - kl).mean()

    return Training(options, Networks(2, [256], nn.ReLU), bound, binarize=False)


def iwae(options: dict[str, Any]) -> Training:
    """W2: 50 samples."""

    def bound(networks: Networks, x: torch.Tensor) -> torch.Tensor:
        mean, log_variance = networks.encoder(x)[:, None].chunk(2, -1)
        eps = torch.randn(x.shape[0], 50, 50, device=x.device)
        z = mean + torch.exp(0.5 * log_variance) * eps
        log_ratio = 0.5 * (eps**2 + log_variance - z**2).sum(-1)
        log_weights = log_bernoulli(x[:, None], networks.decoder(z)) + log_ratio
        return (torch.logsumexp(log_weights, 1) - np.log(50.0)).mean()

    return Training(options, Networks(50, [200, 200], nn.Tanh), bound, binarize=True)
