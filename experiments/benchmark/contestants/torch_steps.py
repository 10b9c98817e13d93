"""Training steps in PyTorch: fused Adam, data on the device; eager, or the whole loss by `torch.compile`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn


def initialize(layers: Iterable[nn.Module]) -> None:
    """Gives layers the initial weights that Keras has."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


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
        networks: nn.Module,
        bound: Callable[[Any, torch.Tensor], torch.Tensor],
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
