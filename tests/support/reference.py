"""Slow, obvious NumPy that the library's numbers must agree with. It shares no code with the library."""

import itertools

import numpy as np


def log_normal(x, mean, covariance):
    """log N(x; mean, covariance) of one vector."""
    difference = x - mean
    _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
    return -0.5 * (log_determinant + difference @ np.linalg.solve(covariance, difference))


def log_bernoulli(x, logits):
    """log of the product of Bernoulli probabilities, from the definition."""
    p = 1 / (1 + np.exp(-logits))
    return np.sum(x * np.log(p) + (1 - x) * np.log1p(-p))


def kl_gaussians(m, s, mean, covariance):
    """KL(N(m, s) ‖ N(mean, covariance))."""
    inverse = np.linalg.inv(covariance)
    difference = mean - m
    return 0.5 * (
        np.trace(inverse @ s)
        + difference @ inverse @ difference
        - len(m)
        + np.linalg.slogdet(covariance)[1]
        - np.linalg.slogdet(s)[1]
    )


class LinearGaussian:
    """p(z) = N(0, I), p(x|z) = N(W z + b, sd² I), whose marginal, posterior and ELBO have closed forms."""

    def __init__(self, w, b, sd):
        self.w, self.b, self.sd = w, b, sd
        self.dim, self.latent_dim = w.shape

    def log_marginal(self, x):
        """log p(x) of one datum."""
        return log_normal(x, self.b, self.w @ self.w.T + self.sd**2 * np.eye(self.dim))

    def posterior(self, x):
        """Mean and covariance of p(z|x)."""
        precision = np.eye(self.latent_dim) + self.w.T @ self.w / self.sd**2
        covariance = np.linalg.inv(precision)
        return covariance @ self.w.T @ (x - self.b) / self.sd**2, covariance

    def elbo(self, x, mean, covariance):
        """The ELBO of one datum for q = N(mean, covariance)."""
        residual = x - self.w @ mean - self.b
        square = residual @ residual + np.trace(self.w @ covariance @ self.w.T)
        log_likelihood = -0.5 * self.dim * np.log(2 * np.pi * self.sd**2) - square / (2 * self.sd**2)
        return log_likelihood - kl_gaussians(mean, covariance, np.zeros_like(mean), np.eye(len(mean)))

    def elbo_gradients(self, x, mean, variance):
        """The gradients of the ELBO of one datum with diagonal q by w, b, mean and log variance."""
        residual = (x - self.w @ mean - self.b) / self.sd**2
        by_w = np.outer(residual, mean) - self.w * variance / self.sd**2
        by_mean = self.w.T @ residual - mean
        by_log_variance = 0.5 * (1 - variance * (1 + np.sum(self.w**2, axis=0) / self.sd**2))
        return by_w, residual, by_mean, by_log_variance


def importance(log_weights):
    """The log of the mean of the weights of one datum, and their effective sample size, from the definitions."""
    weights = np.exp(np.asarray(log_weights, np.longdouble))
    return float(np.log(weights.mean())), float(weights.sum() ** 2 / np.sum(weights**2))


def expected_log_mean(log_weight, mean, sd, samples):
    """E log (1/S) Σ exp(log_weight(z_s)) for S independent z ~ N(mean, sd²), by quadrature in one dimension at a time.

    E log X = ∫ (exp(−t) − E exp(−tX)) / t dt for X > 0, and E exp(−t Σ w) = (E exp(−t w))^S, an integral over one z.
    """
    nodes, masses = np.polynomial.hermite_e.hermegauss(150)
    log_weights = log_weight(mean + sd * nodes)
    middle, step = log_weights @ masses / masses.sum(), 0.1
    t = np.exp(np.arange(-60, 60, step))
    transform = np.exp(-t[:, None] * np.exp(log_weights - middle)) @ (masses / masses.sum())
    return middle + np.sum(np.exp(-t) - transform**samples) * step - np.log(samples)


def expected_max(log_weight, mean, sd, samples):
    """E max log_weight(z_s) over S independent z ~ N(mean, sd²), by its distribution function on a fine grid."""
    z = np.linspace(-8, 8, 4001)
    values, masses = log_weight(mean + sd * z), np.exp(-0.5 * z**2)
    order = np.argsort(values)
    below = np.cumsum(masses[order]) / masses.sum()
    return values[order] @ np.diff(below**samples, prepend=0)


def expected(function, mean, sd):
    """E function(z) for z ~ N(mean, sd²), by quadrature."""
    nodes, masses = np.polynomial.hermite_e.hermegauss(150)
    return function(mean + sd * nodes) @ (masses / masses.sum())


def gradient(function, arrays, step=1e-5):
    """The gradient of a function of a list of arrays, by central differences, flat."""
    flat = []
    for array in arrays:
        for place in np.ndindex(array.shape):
            values = []
            for sign in (1, -1):
                moved = [a.copy() for a in arrays]
                moved[[a is array for a in arrays].index(True)][place] += sign * step
                values.append(function(moved))
            flat.append((values[0] - values[1]) / (2 * step))
    return np.array(flat)


def expected_importance_bound(log_q, log_joint, samples):
    """E log (1/S) Σ p(x, z_s) / q(z_s|x) of one datum, a sum over all S-tuples of its latents."""
    total = 0.0
    for each in itertools.product(range(len(log_q)), repeat=samples):
        probability = np.prod([np.exp(log_q[i]) for i in each])
        total += probability * np.log(np.mean([np.exp(log_joint[i] - log_q[i]) for i in each]))
    return total


def vimco_signals(log_weights):
    """The factors of ∇ log q(z_s|x) in VIMCO's gradient, one for each sample of a datum, from the definitions."""
    weights = np.exp(np.asarray(log_weights, np.longdouble))
    signals = []
    for s in range(len(weights)):
        others = np.delete(weights, s)
        replaced = np.append(others, np.prod(others) ** (np.longdouble(1) / len(others)))
        signals.append(np.log(weights.mean()) - np.log(replaced.mean()) - weights[s] / weights.sum())
    return np.array(signals, np.float64)


def mean_and_variance(values):
    """The mean of independent values, and the unbiased estimate of its variance."""
    return np.mean(values), np.sum((values - np.mean(values)) ** 2) / (len(values) - 1) / len(values)


def binary_vectors(length):
    """All vectors of 0 and 1, [2^length, length]."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=length)))


def one_hot_vectors(variables, categories):
    """All values of several one-hot variables side by side, [categories^variables, variables · categories]."""
    return np.array([np.concatenate(rows) for rows in itertools.product(np.eye(categories), repeat=variables)])


def log_categorical(z, logits):
    """log of the product of the probabilities of one-hot variables z [N·K] with logits [N, K], from the definition."""
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return np.sum(np.log(p[z.reshape(p.shape) == 1]))


def principal_component_log_likelihood(x, factors):
    """The mean log-likelihood of data [N, D] under probabilistic PCA at its maximum, by building this Gaussian."""
    mean = x.mean(axis=0)
    eigenvalues, vectors = np.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    noise = eigenvalues[:-factors].mean()
    covariance = noise * np.eye(x.shape[1])
    for value, vector in zip(eigenvalues[-factors:], vectors.T[-factors:], strict=True):
        covariance += (value - noise) * np.outer(vector, vector)
    return np.mean([log_normal(each, mean, covariance) for each in x])
