"""Bounds from divergences other than KL(q ‖ p): Rényi's, the χ upper bound, and Csiszár's f-divergences."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal

import tensorflow as tf
import tensorflow_probability as tfp

from vi.errors import SettingError
from vi.estimators.base import Estimator
from vi.kinds import Positive, Range, Text
from vi.particles import Losses, Particles


class Renyi(Estimator):
    """The variational Rényi bound (Li & Turner, 2016): 1/(1 − α) log (1/S) Σ w^(1 − α).

    The exact bound falls in α: α = 0 is `IWAE`, α → 1 the ELBO, and "max" is the limit α → −∞, the largest log weight.
    With S samples the estimate is biased towards the ELBO. For α ≥ 0 its expectation is below log p(x). For α < 0 and
    "max" the exact bound is above log p(x), and its estimate lies on either side. φ still ascends it, as in the paper.
    For S > 1 + 1/|α| the true posterior is then a local minimum of the estimate, not a maximum: near it the
    estimate varies by ((1 − α)(1 − 1/S) − 1) Var(log w) / 2 to second order.

    Args:
        alpha: α, a number at least 0.001 away from 1, or max.
        samples: S, the samples of the posterior for each datum.

    Raises:
        ConfigError: α is within 0.001 of 1, where float32 loses the power.
    """

    def __init__(self, alpha: float | Literal["max"] = 0.5, samples: Annotated[int, Positive] = 5):
        super().__init__(samples)
        if alpha != "max" and abs(alpha - 1) < 1e-3 * (1 - 1e-9):
            allowed = "must be max, or a number at least 0.001 away from 1"
            raise SettingError("alpha", alpha, f"{allowed}; at 1 the bound is the ELBO, as MonteCarloKL gives it.")
        self.alpha = alpha
        self.kind = "estimate" if alpha == "max" or alpha < 0 else "lower"

    def bound(self, particles: Particles) -> tf.Tensor:
        """The Rényi bound for each datum, `[B]`, in nats."""
        if self.alpha == "max":
            return tf.reduce_max(particles.log_weight, axis=1)
        return particles.log_mean_exp((1 - self.alpha) * particles.log_weight) / (1 - self.alpha)


class ChiUpperBound(Estimator):
    """The χ upper bound CUBO_n = 1/n log E_q w^n (Dieng et al., 2017), which φ descends.

    As S → ∞ it is above log p(x). With S samples its log is biased downwards and bounds nothing; only exp(n · CUBO_n)
    is unbiased. φ must not descend the bound of S samples along the path of z. If log w varies by more than a few nats,
    this bound is about the largest log w, which falls as q moves away from the posterior. In log form φ therefore
    follows the gradient of CUBO_n itself, −(n − 1)/n E w^n ∇ log q / E w^n, with both expectations from the S samples.
    This is a score with a bias of order 1/S, for any posterior with a density. An upper bound is no objective for θ, so
    θ ascends the importance-weighted bound of the same samples. β weighs log p(z) − log q(z|x) in w. Where β is below
    1/n, such as at the start of a warm-up, the tempered bound falls as q moves away from the posterior.

    Args:
        order: n, above 1.
        samples: S, the samples of the posterior for each datum; at least 2 for the log form, since with one sample the
            score has mean zero.
        form: the gradient of φ. log is the gradient above; exponential is the gradient of exp(n (CUBO_n − c)) / n along
            the path of z, without bias, but with a large variance unless q is near the posterior.
        offset: c, in nats, a constant of the run for the exponential form. It must be near the log weights, since
            float32 holds exp(n (log w − c)) only for |log w − c| < 87 / n.

    Raises:
        ConfigError: an offset or one sample for the log form, or no offset for the exponential form.
    """

    kind = "estimate"

    def __init__(
        self,
        order: Annotated[float, Range(above=1)] = 2.0,
        samples: Annotated[int, Positive] = 5,
        form: Literal["log", "exponential"] = "log",
        offset: float | None = None,
    ):
        super().__init__(samples)
        if form == "log" and offset is not None:
            raise SettingError("offset", offset, "must be left out for form=log, which needs no offset.")
        if form == "exponential" and offset is None:
            raise SettingError("offset", None, f"must be set for form=exponential, {_OFFSET}")
        if form == "log" and samples < 2:
            allowed = "must be at least 2 for form=log; the weight of one sample is 1, which teaches φ nothing."
            raise SettingError("samples", samples, allowed)
        self.order, self.form, self.offset = order, form, offset
        self.pathwise = form == "exponential"

    def bound(self, particles: Particles) -> tf.Tensor:
        """1/n log (1/S) Σ w^n for each datum, `[B]`, in nats."""
        return particles.log_mean_exp(self.order * particles.log_weight) / self.order

    def objective(self, particles: Particles, step: tf.Tensor) -> Losses:
        """For θ the negative importance-weighted bound; for φ exp(n (CUBO_n − c)) / n, or None in log form; `[B]`."""
        tempered, inference = particles.tempered(), None
        if self.form == "exponential":
            inference = tf.exp(self.order * (self.bound(tempered) - self.offset)) / self.order
        return Losses(generative=-tempered.iw_bound(), inference=inference)

    def losses(self, particles: Particles, step: tf.Tensor) -> Losses:
        """The objective; in log form φ has a surrogate for the score above, with the factor −(β − 1/n), `[B]`."""
        if self.form == "exponential":
            return super().losses(particles, step)
        weight = tf.stop_gradient(tf.nn.softmax(self.order * particles.tempered().log_weight, axis=1))
        score = tf.reduce_sum(weight * particles.pathless_log_posterior(), axis=1)
        return self.objective(particles, step)._replace(inference=-(particles.kl_weight - 1 / self.order) * score)


class FDivergence(Estimator):
    """The f-divergence of p(x, z) from q(z|x), E_q f(w), with the functions of Csiszár in `tfp.vi` (Amari, 1985).

    φ descends the mean of f over S samples, along the path of z. kl_reverse gives the negative ELBO, kl_forward the
    inclusive KL, up to constants and the unknown factor p(x) in w. An f-divergence is in general no objective for θ, so
    θ ascends the importance-weighted bound of the same samples.

    Args:
        function: the name of a function f of log u in `tfp.vi`, such as squared_hellinger or amari_alpha.
        samples: S, the samples of the posterior for each datum.
        offset: c, in nats, a constant of the run. f is evaluated at w e^(−c), which float32 holds only if c is near the
            log weights. Only kl_reverse needs no offset.
        parameters: further arguments of the function, such as `alpha` of amari_alpha or `t` of t_power.

    Raises:
        ConfigError: there is no such function, it takes other parameters, or it needs an offset.
    """

    kind = "estimate"

    def __init__(
        self,
        function: Text = "squared_hellinger",
        samples: Annotated[int, Positive] = 5,
        offset: float | None = None,
        **parameters: Any,
    ):
        super().__init__(samples)
        if function not in csiszar_functions():
            raise SettingError("function", function, f"must be one of {', '.join(csiszar_functions())}.")
        self.function, self.offset, self.parameters = getattr(tfp.vi, function), offset or 0.0, parameters
        try:
            inspect.signature(self.function).bind(0.0, **parameters)
        except TypeError as error:
            raise SettingError("function", function, f"{error}; see tfp.vi for its parameters.") from None
        if offset is None and function != "kl_reverse":
            raise SettingError("offset", None, f"must be set for function={function}, {_OFFSET}")

    def bound(self, particles: Particles) -> tf.Tensor:
        """−(1/S) Σ f(w e^(−c)) for each datum, `[B]`."""
        return -particles.mean(self.function(particles.log_weight - self.offset, **self.parameters))

    def objective(self, particles: Particles, step: tf.Tensor) -> Losses:
        """For θ the negative importance-weighted bound, for φ the divergence, `[B]`, both weighted by β."""
        tempered = particles.tempered()
        return Losses(generative=-tempered.iw_bound(), inference=-self.bound(tempered))


def csiszar_functions() -> list[str]:
    """The names of the functions of log u in `tfp.vi`."""
    functions = inspect.getmembers(tfp.vi, inspect.isfunction)
    return [
        name for name, f in functions if list(inspect.signature(f).parameters)[:1] == ["logu"] and name not in _OF_F
    ]


_OFFSET = (
    "to about the log weights in nats, such as the validation/iw_bound of another run; far from them float32 holds no "
    "gradient."
)
_OF_F = ("dual_csiszar_function", "symmetrized_csiszar_function")  # these take another function
