"""W1 and W2 in PyTorch: modules, fused Adam, data on the device; eager, or the whole loss by `torch.compile`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Networks(nn.Module):
    """An encoder to mean and log-variance, and a decoder to logits, with the initial weights that Keras has."""

    def __init__(self, latents: int, hidden: list[int], activation: type[nn.Module]):
        super().__init__()
        self.encoder = self._dense([784, *hidden, 2 * latents], activation)
        self.decoder = self._dense([latents, *hidden, 784], activation)

    @staticmethod
    def _dense(widths: list[int], activation: type[nn.Module]) -> nn.Sequential:
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            linear = nn.Linear(inputs, outputs)
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
            layers += [linear, activation()]
        return nn.Sequential(*layers[:-1])


def log_bernoulli(x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The log density of the pixels."""
    return -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)


class Training:
    """`updates` training steps on MNIST a round.

    Args:
        options: the worker's options; `compiled` is whether torch.compile is used.
        networks: the model.
        bound: networks and a batch → the mean bound.
        binarize: whether the images are binarized afresh at each step.
    """

    def __init__(
        self,
        options: dict[str, Any],
        networks: Networks,
        bound: Callable[[Networks, torch.Tensor], torch.Tensor],
        binarize: bool,
    ):
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self.device = "cuda" if options["device"] == "gpu" else "cpu"
        self.batch, self.updates = options["batch"], options["updates"]
        data = torch.from_numpy(np.load(f"{options['arrays']}/x_train.npy")).to(self.device)
        self.size = len(data)
        self.networks = networks.to(self.device)
        self.optimizer = torch.optim.Adam(self.networks.parameters(), lr=1e-3, eps=1e-7, fused=True)
        self.order, self.position = torch.zeros(0, dtype=torch.int64), 0

        def loss(index: torch.Tensor) -> torch.Tensor:
            x = data[index].float() / 255
            return -bound(self.networks, torch.bernoulli(x) if binarize else x)

        self.loss = torch.compile(loss) if options["compiled"] else loss

    def facts(self) -> dict[str, Any]:
        """What this contestant does."""
        parameters = sum(parameter.numel() for parameter in self.networks.parameters())
        versions = {"torch": torch.__version__}
        return {"parameters": parameters, "batch": self.batch, "updates": self.updates, "versions": versions}

    def round(self) -> dict[str, float]:
        """The steps; gives the mean bound over them."""
        size = self.batch * self.updates
        if self.position + size > len(self.order):
            self.order, self.position = torch.randperm(self.size, device=self.device), 0
        index = self.order[self.position : self.position + size].reshape(self.updates, self.batch)
        self.position += size
        total = torch.zeros((), device=self.device)
        for rows in index:
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(rows)
            loss.backward()
            self.optimizer.step()
            total -= loss.detach()
        return {"bound": total.item() / self.updates}


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
