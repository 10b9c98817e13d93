"""W4 with pythae: `VAE.get_nll`; the fastest of some chunks is taken."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import nn

CHUNKS = [250, 500, 1000, 2500, 5000]
"""The numbers of samples in a chunk, `batch_size` of `get_nll`, that are tried."""


def _linear(arrays: dict[str, np.ndarray], name: str) -> nn.Linear:
    kernel, bias = arrays[f"{name}_kernel"], arrays[f"{name}_bias"]
    layer = nn.Linear(*kernel.shape)
    layer.load_state_dict({"weight": torch.from_numpy(kernel.T.copy()), "bias": torch.from_numpy(bias)})
    return layer


def _hidden(arrays: dict[str, np.ndarray], part: str) -> list[nn.Module]:
    return [_linear(arrays, f"{part}0"), nn.Tanh(), _linear(arrays, f"{part}1"), nn.Tanh()]


class Encoder(BaseEncoder):
    """x `[N, 784]` → mean and log-variance."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        super().__init__()
        self.hidden = nn.Sequential(*_hidden(arrays, "encoder"))
        self.loc, self.log_variance = _linear(arrays, "heads0"), _linear(arrays, "heads1")

    def forward(self, x: torch.Tensor) -> ModelOutput:
        """The parameters of q(z|x)."""
        h = self.hidden(x)
        return ModelOutput(embedding=self.loc(h), log_covariance=self.log_variance(h))


class Decoder(BaseDecoder):
    """z `[N, 50]` → probabilities `[N, 784]`, as pythae's cross-entropy takes them."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        super().__init__()
        self.layers = nn.Sequential(*_hidden(arrays, "decoder"), _linear(arrays, "decoder2"), nn.Sigmoid())

    def forward(self, z: torch.Tensor) -> ModelOutput:
        """The means of p(x|z)."""
        return ModelOutput(reconstruction=self.layers(z))


class LogLikelihood:
    """Rounds of `get_nll` for the first test images."""

    def __init__(self, options: dict[str, Any]):
        self.file = Path(options["cache"]) / "trained" / "model.npz"
        self.data, self.samples, self.chunk = options["batch"], options["samples"], 0
        self.device = "cuda" if options["device"] == "gpu" else "cpu"
        torch.manual_seed(0)
        torch.set_num_threads(os.cpu_count() or 1)

    def facts(self) -> dict[str, Any]:
        """What this contestant computes; reads the weights, which vi has made by now."""
        arrays = dict(np.load(self.file))
        self.x = torch.from_numpy(arrays["x"][: self.data]).to(self.device)
        config = VAEConfig(input_dim=(784,), latent_dim=50, reconstruction_loss="bce")
        self.model = VAE(config, Encoder(arrays), Decoder(arrays)).to(self.device).eval()
        parameters = sum(weight.numel() for weight in self.model.parameters())
        versions = {"pythae": version("pythae"), "torch": torch.__version__}
        return {"parameters": parameters, "batch": len(self.x), "samples": self.samples, "versions": versions}

    def round(self) -> dict[str, float]:
        """The mean of log p(x), in nats per datum."""
        if not self.chunk:
            chunks = [chunk for chunk in CHUNKS if chunk <= self.samples] or [self.samples]
            self.chunk = min(chunks, key=self._seconds)
        return {"bound": self._mean(self.data, self.chunk), "chunk": self.chunk}

    def _seconds(self, chunk: int) -> float:
        """The time of a few data with a chunk."""
        start = time.perf_counter()
        self._mean(5, chunk)
        return time.perf_counter() - start

    def _mean(self, data: int, chunk: int) -> float:
        with torch.no_grad(), contextlib.redirect_stdout(sys.stderr):  # it prints its progress
            return float(self.model.get_nll(self.x[:data], n_samples=self.samples, batch_size=chunk))


def log_likelihood(options: dict[str, Any]) -> LogLikelihood:
    """The contestant."""
    return LogLikelihood(options)
