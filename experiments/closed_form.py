"""Compares runs with the closed form of their model, and writes the numbers into their `closed_form.json`.

    python experiments/closed_form.py RUN_DIR ...

- Linear factor analysis (tiao2017_linear_fa): the exact mean log p(x) of training and of test data under the model, and
  the maximum likelihood of probabilistic PCA (Tipping & Bishop, 1999, eqs. 7 and 8), in nats.
- A linear decoder that also gives the scale (zhu_tabular_linear): the relative error of the covariance of x.
- A Gaussian target (zhu_target_density): KL(q ‖ p) before and after training, its minimum (Bishop, 2006, eq. 10.12).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

import vi
from vi.data.synthetic import linear_gaussian_parameters
from vi.errors import ConfigError
from vi.files import write
from vi.likelihoods import Likelihood
from vi.models import LatentVariableModel
from vi.runs import build
from vi.runs.directory import read_summary
from vi.settings import saved


def principal_component_optimum(x: np.ndarray, factors: int) -> float:
    """The maximum mean log-likelihood of data `[N, D]` under probabilistic PCA."""
    size = x.shape[1]
    eigenvalues = np.linalg.eigvalsh(np.cov(x, rowvar=False, bias=True))[::-1]
    noise = eigenvalues[factors:].mean()
    log_determinant = np.log(eigenvalues[:factors]).sum() + (size - factors) * np.log(noise)
    return float(-0.5 * (size * np.log(2 * np.pi) + log_determinant + size))


def affine(network: keras.Layer, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The matrix `[D, size]` and the offset `[D]` of an affine network."""
    z = np.concatenate([np.zeros([1, size]), np.eye(size), np.random.default_rng(0).standard_normal([10, size])])
    images = network(z.astype(network.compute_dtype)).numpy().astype(np.float64)
    matrix, offset = (images[1 : size + 1] - images[0]).T, images[0]
    if not np.allclose(images, z @ matrix.T + offset, rtol=1e-3, atol=1e-4):
        raise ConfigError("the decoder is not affine, so the model has no closed form.")
    return matrix, offset


def mean_square_scale(likelihood: Likelihood, loc: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """E σ² for raw scales of the decoder that are N(loc, sd²), `[D]`, by Gauss–Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    raw = loc + np.outer(nodes, sd)
    scale = likelihood(tf.constant(np.hstack([raw, raw]), likelihood.compute_dtype)).distribution.stddev()
    return np.asarray(scale, np.float64).T ** 2 @ weights / weights.sum()


def covariance(model: LatentVariableModel) -> tuple[np.ndarray, np.ndarray]:
    """The mean `[D]` and covariance `[D, D]` of x under a model with an affine decoder and a Gaussian likelihood."""
    matrix, offset = affine(model.decoder, model.prior.latent_dim)
    if model.likelihood.scale == "output":
        (matrix, raw), (offset, raw_offset) = np.split(matrix, 2), np.split(offset, 2)
        noise = mean_square_scale(model.likelihood, raw_offset, np.linalg.norm(raw, axis=1))
    else:
        p = model.likelihood(tf.constant(offset[None, None], model.likelihood.compute_dtype)).distribution
        noise = np.asarray(p.stddev(), np.float64)[0, 0] ** 2
    return offset, matrix @ matrix.T + np.diag(noise)


def factor_analysis(model: LatentVariableModel, settings: dict[str, Any]) -> dict[str, float]:
    """The numbers of a trained linear model against the model that made the data."""
    data = build.instantiate("data", settings["data"], object)
    loc, cov = covariance(model)
    weights, _ = linear_gaussian_parameters(*(settings["data"][key] for key in ("features", "factors", "seed")))
    true = weights @ weights.T + settings["data"]["sd"] ** 2 * np.eye(len(weights))
    found = {"covariance_error": float(np.linalg.norm(cov - true) / np.linalg.norm(true))}
    if model.likelihood.scale == "shared":
        gaussian = tfd.MultivariateNormalTriL(loc, np.linalg.cholesky(cov))
        found["log_likelihood"] = float(tf.reduce_mean(gaussian.log_prob(data.train.x.astype(np.float64))))
        found["optimum"] = principal_component_optimum(data.train.x.astype(np.float64), model.prior.latent_dim)
        found["test_log_likelihood"] = float(tf.reduce_mean(gaussian.log_prob(data.test.x.astype(np.float64))))
    return found


def target_density(model: LatentVariableModel, settings: dict[str, Any]) -> dict[str, float]:
    """The KL of a trained diagonal Gaussian against the smallest KL that one can have."""
    if (density := settings["prior"]["log_density"])["_target_"] != "vi.distributions.densities.gaussian":
        raise ConfigError(f"prior.log_density._target_={density['_target_']}: only a Gaussian has a closed form.")
    target = tfd.MultivariateNormalTriL(scale_tril=(scale_tril := np.array(density["scale_tril"])))
    q = model.encode(tf.zeros([1, 1])).distribution
    loc, sd = (np.asarray(value, np.float64)[0, 0] for value in (q.mean(), q.stddev()))
    best = np.diag(np.linalg.inv(scale_tril @ scale_tril.T)) ** -0.5

    def kl(loc: np.ndarray, sd: np.ndarray) -> float:
        return float(tfd.kl_divergence(tfd.MultivariateNormalDiag(loc, sd), target))

    found = {"kl_before": kl(0 * loc, np.ones_like(sd)), "kl": kl(loc, sd), "kl_optimum": kl(0 * loc, best)}
    return found | {"largest_relative_error_of_sd": float(np.abs(sd / best - 1).max())}


def main() -> None:
    """Compares the runs that the command line names."""
    for directory in map(Path, sys.argv[1:]):
        settings = saved.read(directory)
        functions = {"vi.data.nothing": target_density, "vi.data.linear_gaussian": factor_analysis}
        if (data := settings["data"]["_target_"]) not in functions:
            raise ConfigError(f"{directory}: has data {data}, for which there is no closed form.")
        found = functions[data](vi.load(directory), settings) | {"step": read_summary(directory)["best"]["step"]}
        write(directory / "closed_form.json", json.dumps(found, indent=2) + "\n")
        print(directory, json.dumps(found))


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"closed_form.py: {error}")
