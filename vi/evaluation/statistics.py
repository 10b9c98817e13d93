"""Monte Carlo statistics of many samples, accumulated from chunks of a few samples each."""

from __future__ import annotations

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Estimates:
    """Monte Carlo estimates from S samples for each of N data, `[N]` each, in nats. None if q is implicit.

    A variance is the Monte Carlo variance of an estimate, given its datum. It does not include the variation over data.
    It is nan for S = 1.

    Attributes:
        log_likelihood: E log p(x|z), the mean over samples.
        log_likelihood_variance: the Monte Carlo variance of log_likelihood.
        kl: KL(q(z|x) ‖ p(z)), the mean of log q(z|x) − log p(z).
        kl_variance: the Monte Carlo variance of kl.
        elbo_variance: the Monte Carlo variance of log_likelihood − kl, which is the mean log weight.
        iw_bound: log of the mean of S importance weights w (Burda et al., 2015, eq. 8).
        effective_sample_size: (Σw)²/Σw², between 1 and S (Kong, 1992).
        exact_kl: KL(q(z|x) ‖ p(z)) in closed form; None if it has no closed form.
    """

    log_likelihood: np.ndarray
    log_likelihood_variance: np.ndarray
    kl: np.ndarray | None = None
    kl_variance: np.ndarray | None = None
    elbo_variance: np.ndarray | None = None
    iw_bound: np.ndarray | None = None
    effective_sample_size: np.ndarray | None = None
    exact_kl: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics of a set of samples for B data, in double precision. Two of them merge into statistics of the union.

    There are K values: log p(x|z), and, unless q is implicit, log q(z|x) − log p(z) and the log weight log w.

    Attributes:
        count: the number of samples.
        mean: the mean of each value over the samples, `[K, B]`.
        square: the sum of squared deviations from this mean, `[K, B]`.
        top: the largest log w, `[B]`; zeros if q is implicit.
        weights: Σ w and Σ w², where each w is divided by the largest, `[2, B]`; zeros if q is implicit.
        exact_kl: KL(q(z|x) ‖ p(z)) in closed form, `[B]`, the same for all samples; empty if it has no closed form.
    """

    count: int
    mean: np.ndarray
    square: np.ndarray
    top: np.ndarray
    weights: np.ndarray
    exact_kl: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

    @np.errstate(all="ignore")
    def merge(self, other: Statistics) -> Statistics:
        """The statistics of the union of both sets (Chan, Golub & LeVeque, 1983, eq. 2.1)."""
        count, difference = self.count + other.count, other.mean - self.mean
        top, power = np.maximum(self.top, other.top), np.array([[1], [2]])
        return Statistics(
            count,
            self.mean + difference * other.count / count,
            self.square + other.square + difference**2 * self.count * other.count / count,
            top,
            sum(each.weights * np.exp(power * (each.top - top)) for each in (self, other)),
            self.exact_kl,
        )

    @np.errstate(all="ignore")
    def estimates(self) -> tuple[np.ndarray, ...]:
        """The fields of `Estimates` in their order, `[B]` each; without those at the end that cannot be computed."""
        variance = self.square / self.count / np.float64(self.count - 1)
        if len(self.mean) == 1:
            return self.mean[0], variance[0]
        total, squares = self.weights
        iw_bound = self.top + np.log(total) - math.log(self.count)
        found = (self.mean[0], variance[0], self.mean[1], variance[1], variance[2], iw_bound, total**2 / squares)
        return (*found, self.exact_kl) if self.exact_kl.size else found
