"""The numbers of an untrained model that come from its training data."""

from __future__ import annotations

import keras
import numpy as np

from vi.data.dataset import Dataset
from vi.errors import ConfigError
from vi.likelihoods import Gaussian, Likelihood, Standardization
from vi.models.latent import LatentVariableModel
from vi.networks import set_output_bias


def adapt(model: LatentVariableModel, data: Dataset, output_bias: bool) -> None:
    """Sets the standardization, the output bias if `output_bias`, and the learned scales of the likelihood.

    Raises:
        ConfigError: the decoder has no output bias that can be set.
    """
    scale: np.ndarray | float = 1.0
    if model.standardization is not None:
        model.standardization.adapt(data.mean, data.sd)
        scale = model.standardization.scale.numpy()
    if output_bias:
        mean = data.mean if model.standardization is None else model.standardization(data.mean).numpy()
        set_output_bias(model.decoder, model.likelihood.initial_output, mean)
    if model.likelihood.adapts:
        z = np.zeros([1, model.latent_dim], keras.config.floatx())
        mean = model.decode(z).mean()[0]
        model.likelihood.adapt(np.sqrt(data.sd**2 + (data.mean - mean) ** 2) / scale)


def standardization(likelihood: Likelihood) -> Standardization:
    """The standardization of data whose likelihood is given, with shift 0 and scale 1.

    Raises:
        ConfigError: the likelihood cannot describe standardized data.
    """
    if likelihood.support != "real":
        name = type(likelihood).__name__
        raise ConfigError(f"data.standardize=true: needs a likelihood of real data, such as gaussian, not {name}.")
    if isinstance(likelihood, Gaussian) and likelihood.mean == "sigmoid":
        raise ConfigError(
            "data.standardize=true: standardized data lie outside [0, 1], which likelihood.mean=sigmoid cannot reach; "
            "use likelihood.mean=linear."
        )
    return Standardization(likelihood.event_shape)
