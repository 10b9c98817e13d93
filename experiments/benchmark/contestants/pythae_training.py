"""W1 and W2 in pythae: its models with other networks, and passes of its trainer over the images of a round."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import IWAE, VAE, BaseAE, IWAEConfig, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn

from experiments.benchmark.contestants.torch_training import dense

BOUND_DATA = 1000
"""The bound of an IWAE is taken from this number of images."""


class Encoder(BaseEncoder):
    """Mean and log-variance."""

    def __init__(self, latents: int, hidden: list[int], activation: type[nn.Module]):
        super().__init__()
        self.layers = nn.Sequential(*dense([784, *hidden, 2 * latents], activation))

    def forward(self, x: torch.Tensor) -> ModelOutput:
        """The outputs that pythae expects."""
        mean, log_variance = self.layers(x).chunk(2, -1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):
    """Probabilities, which pythae's cross-entropy wants."""

    def __init__(self, latents: int, hidden: list[int], activation: type[nn.Module]):
        super().__init__()
        self.layers = nn.Sequential(*dense([latents, *hidden, 784], activation), nn.Sigmoid())

    def forward(self, z: torch.Tensor) -> ModelOutput:
        """The output that pythae expects."""
        return ModelOutput(reconstruction=self.layers(z))


class BinarizedIWAE(IWAE):
    """pythae's IWAE on images that are binarized afresh."""

    def forward(self, inputs: Any, **kwargs: Any) -> ModelOutput:
        """As in pythae."""
        return super().forward({**inputs, "data": torch.bernoulli(inputs["data"])}, **kwargs)


class Training:
    """A pass of pythae's trainer over as many images as a round has. Each round takes the next ones."""

    def __init__(self, options: dict[str, Any], model: BaseAE, samples: int):
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self.batch, self.updates, self.samples = options["batch"], options["updates"], samples
        self.x = torch.from_numpy(np.load(f"{options['arrays']}/x_train.npy")).float() / 255
        self.model, self.start = model, 0
        self.data = BaseDataset(self.x[: self.batch * self.updates], torch.zeros(self.batch * self.updates))
        config = BaseTrainerConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=self.batch,
            learning_rate=1e-3,
            optimizer_params={"eps": 1e-7, "fused": True},
            no_cuda=options["device"] == "cpu",
        )
        self.trainer = BaseTrainer(model, self.data, training_config=config)
        self.trainer.prepare_training()

    def facts(self) -> dict[str, Any]:
        """What this contestant does."""
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        versions = {"pythae": "0.1.2", "torch": torch.__version__}
        return {"parameters": parameters, "batch": self.batch, "updates": self.updates, "versions": versions}

    def round(self) -> dict[str, float]:
        """A pass; gives the mean bound. IWAE's loss has the gradient of the bound only, so the bound is taken after."""
        size = self.batch * self.updates
        self.start = 0 if self.start + size > len(self.x) else self.start
        self.data.data = self.x[self.start : self.start + size]
        self.start += size
        begun = time.perf_counter()
        loss = self.trainer.train_step(1)
        seconds = time.perf_counter() - begun
        if self.samples == 1:
            return {"seconds": seconds, "bound": -loss}
        with torch.no_grad():  # get_nll gives the log-likelihood
            x = torch.bernoulli(self.data.data[:BOUND_DATA]).to(self.trainer.device)
            return {"seconds": seconds, "bound": float(self.model.get_nll(x, self.samples, self.samples))}


def analytic_kl(options: dict[str, Any]) -> Training:
    """W1."""
    networks = (2, [256], nn.ReLU)
    config = VAEConfig(input_dim=(784,), latent_dim=2, reconstruction_loss="bce")
    return Training(options, VAE(config, Encoder(*networks), Decoder(*networks)), 1)


def iwae(options: dict[str, Any]) -> Training:
    """W2: 50 samples."""
    networks = (50, [200, 200], nn.Tanh)
    config = IWAEConfig(input_dim=(784,), latent_dim=50, reconstruction_loss="bce", number_samples=50)
    return Training(options, BinarizedIWAE(config, Encoder(*networks), Decoder(*networks)), 50)
