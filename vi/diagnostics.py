"""The gradients of estimators as random vectors: their signal, their noise, their bias, and what they cost."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from vi import random
from vi.errors import ConfigError, RunError
from vi.estimators.base import Estimator
from vi.trainer import Trainer, take_gradients
from vi.types import Losses, Noise, Particles

log = logging.getLogger(__name__)
BLOCKS = 10
"""Repeats are added up in so many blocks, from which the errors follow."""
WATCHED = 50
"""Repeats during a training."""
OUT_OF_MEMORY = "out of memory; fewer data or samples need less."
ALIASES = ("Identity", "Reshape", "ExpandDims", "Squeeze", "StopGradient", "PreventGradient")
"""Operations whose result lies where their first input does."""
KEPT = ("Const", "Placeholder", "ReadVariableOp")
"""Operations whose results are there anyway."""


@dataclasses.dataclass(frozen=True)
class Sums:
    """Sums over the gradients g `[P]` of one parameter group, one for each noise, in K blocks, in double precision.

    They are of the deviations d = g − shift, so that a gradient without noise has none by rounding either.

    Attributes:
        counts: the gradients in each block, `[K]`.
        shift: one of the gradients, `[P]`.
        sums: Σ d of each block, `[K, P]`.
        squares: Σ ‖d‖² of each block, `[K]`.
    """

    counts: np.ndarray
    shift: np.ndarray
    sums: np.ndarray
    squares: np.ndarray

    @np.errstate(divide="ignore", invalid="ignore")
    def moments(self) -> dict[str, float]:
        """Signal and noise of R gradients g, with `_error`s, over all parameters of the group.

        - `variance`: tr Cov g, the sum over the parameters of the unbiased estimates of their variances.
        - `norm`: ‖E g‖, the root of the unbiased estimate ‖ḡ‖² − variance/R of its square; 0 if that is negative.
        - `snr`: norm/√variance. That of Rainforth et al. (2018, eq. 10) is |E g|/sd of one parameter; the square of
          this one is the mean of their squares, weighted by the variances. Infinite without noise. A ratio of
          unbiased estimates is not unbiased: its square has a bias of O(1/R).
        """

        def estimate(kept: np.ndarray) -> np.ndarray:
            count, total, squares = (part[kept].sum(axis=0) for part in (self.counts, self.sums, self.squares))
            variance = max(squares - total @ total / count, 0.0) / (count - 1)
            mean = self.shift + total / count
            square = mean @ mean - variance / count
            return np.array([square, variance, square / np.float64(variance)])

        (square, variance, ratio), errors = _jackknife(estimate, len(self.counts))
        found = {"norm": _root(square, errors[0]), "variance": (variance, errors[1]), "snr": _root(ratio, errors[2])}
        return {name: pair[0] for name, pair in found.items()} | {
            f"{name}_error": pair[1] for name, pair in found.items()
        }

    def squared_bias(self, reference: Sums) -> dict[str, float]:
        """‖E g − E g'‖² with its error, g' being gradients of the same noises whose sums are `reference`.

        Unbiased: the mean over all pairs of different blocks of the scalar product of their mean differences. It
        scatters around 0, to both sides, where there is no bias.
        """
        difference = self.sums - reference.sums + self.counts[:, None] * (self.shift - reference.shift)  # [K, P]
        products, counts = difference @ difference.T, np.outer(self.counts, self.counts)

        def estimate(kept: np.ndarray) -> np.ndarray:
            pairs = np.ix_(kept, kept)
            return np.array([_off_diagonal(products[pairs]) / _off_diagonal(counts[pairs])])

        value, error = _jackknife(estimate, len(self.counts))
        return {"bias_squared": float(value[0]), "bias_squared_error": float(error[0])}


class GradientNoise:
    """The gradients of an estimator's mean loss over one batch, for the weights that the model has when it is asked.

    Each is of fresh noise, by the parameters of each group at once. Estimators of the same S that take the same draws
    are given the same noises; those of different S are independent.

    Args:
        model: a `LatentVariableModel`.
        estimator: whose gradients, by θ and by φ.
        x: the batch, `[B, *event]`.
        seed: of the noise.
        jit: whether XLA compiles it.
        of: what is differentiated, `estimator.checked_losses` by default.
    """

    def __init__(
        self,
        model: Any,
        estimator: Estimator,
        x: tf.Tensor,
        seed: int = 0,
        jit: bool = True,
        of: Callable[[Particles, tf.Tensor], Losses] | None = None,
    ):
        self.model, self.estimator, self.x = model, estimator, x
        groups = {"generative": model.generative_variables, "inference": model.inference_variables}
        self.variables = {group: variables for group, variables in groups.items() if variables}
        self._of = of or estimator.checked_losses
        self._seed = random.fold(random.seed(seed, "diagnostics"), estimator.samples)
        self._gradients = tf.function(self.gradients)
        self._block = tf.function(self._add_up, jit_compile=jit)
        self._zeros: dict[str, list[tf.Tensor]] | None = None  # in the shapes of the gradients

    def noise(self, repeat: tf.Tensor) -> Noise:
        """The noise of one repeat."""
        return self.model.noise(self.estimator.draws, tf.range(self.x.shape[0]), self._seed, repeat)

    def gradients(self, repeat: tf.Tensor, step: tf.Tensor, kl_weight: tf.Tensor) -> dict[str, list[tf.Tensor]]:
        """The gradients of each group, a tensor for each variable, for the noise of one repeat."""
        with tf.GradientTape(persistent=True) as tape:
            losses = self._of(self.model.particles(self.x, self.noise(repeat), kl_weight, step), step)
            means = {"generative": tf.reduce_mean(losses.generative)}
            if losses.inference is not None:
                same = losses.generative is losses.inference
                means["inference"] = means["generative"] if same else tf.reduce_mean(losses.inference)
        taken = take_gradients(tape, {g: mean for g, mean in means.items() if g in self.variables}, self.variables)
        return {group: [tf.convert_to_tensor(g) for g in parts] for group, parts in taken.items()}

    def measure(
        self, repeats: int, step: int = 0, kl_weight: float = 1.0, check: Callable[[], None] = lambda: None
    ) -> tuple[dict[str, Sums], float]:
        """The sums of so many gradients by group, and the seconds of one.

        These are the median over the blocks, with its noise and its addition to the sums (an optimizer's step takes
        about as much), without compiling.

        Args:
            repeats: R, at least two for each block.
            step: for schedules of the estimator's.
            kl_weight: β.
            check: called between blocks; may raise to end it.

        Raises:
            ConfigError: the estimator does not fit the model.
            tf.errors.ResourceExhaustedError: out of memory.
        """
        now = _now(step, kl_weight)
        if self._zeros is None:  # not compiled, so that what is refused is said as it is
            first = self.gradients(tf.constant(0), *now)
            self._zeros = tf.nest.map_structure(lambda g: tf.zeros(g.shape, tf.float64), first)
        shift, _ = self._block(tf.constant(0), tf.constant(1), self._zeros, *now)  # compiles
        counts = np.array([len(block) for block in np.array_split(np.arange(repeats), BLOCKS)])
        blocks, seconds = [], []
        for count, end in zip(counts.tolist(), counts.cumsum().tolist(), strict=True):
            check()
            start = time.perf_counter()
            sums, squares = self._block(tf.constant(end - count), tf.constant(count), shift, *now)
            blocks.append({group: (_flat(sums[group]), squares[group].numpy()) for group in shift})
            seconds.append((time.perf_counter() - start) / count)
        found = {
            group: Sums(counts, _flat(g), *map(np.stack, zip(*(block[group] for block in blocks), strict=True)))
            for group, g in shift.items()
        }
        return found, float(np.median(seconds))

    def memory(self, step: int = 0, kl_weight: float = 1.0) -> float:
        """MB of the tensors that are alive at once at the peak of a gradient, beside the parameters.

        As its operations stand: what XLA fuses takes less. (What a process holds is no measure, since TensorFlow keeps
        what earlier estimators have needed.)
        """
        graph = self._gradients.get_concrete_function(tf.constant(0), *_now(step, kl_weight)).graph
        return _peak_bytes(graph) / 1e6

    def _add_up(self, start: tf.Tensor, count: tf.Tensor, shift: dict, step: tf.Tensor, kl_weight: tf.Tensor) -> tuple:
        """Σ d and Σ ‖d‖² of each group over the repeats from `start`, `count` of them."""

        def body(i, sums, squares):
            found = self._gradients(i, step, kl_weight)
            d = tf.nest.map_structure(lambda g, s: tf.cast(g, tf.float64) - s, found, shift)
            squares = {group: squares[group] + sum(tf.reduce_sum(part**2) for part in d[group]) for group in d}
            return i + 1, tf.nest.map_structure(tf.add, sums, d), squares

        zeros = tf.nest.map_structure(tf.zeros_like, shift)
        state = (start, zeros, {group: tf.zeros([], tf.float64) for group in shift})
        _, sums, squares = tf.while_loop(lambda i, *_: i < start + count, body, state, parallel_iterations=1)
        return sums, squares


def diagnose(
    model: Any,
    x: tf.Tensor,
    estimators: Mapping[str, Callable[[int], Estimator]],
    samples: Sequence[int] = (1, 5, 25, 100),
    repeats: int = 200,
    *,
    seed: int = 0,
    step: int = 0,
    kl_weight: float = 1.0,
    jit: bool = True,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[str, float], None] = lambda stage, done: None,
) -> pd.DataFrame:
    """What the gradients of estimators are worth and cost, on one model and one batch of data.

    They are gradients of the mean loss over the batch, over R repeats of fresh noise. Errors are by the jackknife over
    10 blocks of repeats, whose variance is in expectation never too small (Efron & Stein, 1981). Since estimators of
    one S that take the same draws get the same noises, they differ by less than their errors say; those of different S
    are independent.

    Args:
        model: a `LatentVariableModel`.
        x: the batch, `[B, *event]`.
        estimators: by name; each makes an estimator with S samples, as its class does. Networks of its own get their
            initial weights.
        samples: each S.
        repeats: R.
        seed: of the noise.
        step: for schedules of the estimators'.
        kl_weight: β.
        jit: whether XLA compiles them.
        check: called from time to time; may raise to end it.
        progress: told the stage and what fraction of it is done.

    Returns:
        A row for each estimator, S and parameter group: `norm`, `variance` and `snr` with their errors
        (`Sums.moments`); `bias_squared` with its error (`Sums.squared_bias`), where the reference is the gradient of
        `Estimator.objective` along the path of z, for the same noises; `seconds` (`GradientNoise.measure`) and `memory`
        in MB (`GradientNoise.memory`), which all groups share; and `repeats`. The bias is nan where nothing can be
        measured: the losses are inherited, and so the reference itself; the path of z is missing or biased, as of a
        posterior that is not reparameterized or straight-through (`ConditionalPosterior.exact_path`); or the group
        follows no objective. Where samples are relaxed, the objective is that of the relaxed model, itself biased
        for the discrete one.

    Raises:
        ConfigError: every estimator is refused. Where only some are, that is a warning.
        RunError: likewise, out of memory.
    """
    rows: list[dict[str, Any]] = []
    refused: ConfigError | RunError | None = None
    pairs = [(name, s) for name in estimators for s in samples]
    exact_path = model.encode(x, tf.constant(step, tf.int64)).exact_path
    for number, (name, s) in enumerate(pairs):
        progress(f"{name}, {s} sample{'s' if s > 1 else ''}", number / len(pairs))
        try:
            estimator = estimators[name](s)
            estimator.build(tuple(x.shape[1:]), model.prior.latent_dim)
            noise = GradientNoise(model, estimator, x, seed, jit)
            found, seconds = noise.measure(repeats, step, kl_weight, check)
            cost = {"seconds": seconds, "memory": noise.memory(step, kl_weight)}
            reference: dict[str, Sums] = {}
            if exact_path and type(estimator).losses is not Estimator.losses:
                path = GradientNoise(model, estimator, x, seed, jit, of=estimator.objective)
                reference, _ = path.measure(repeats, step, kl_weight, check)
        except (ConfigError, tf.errors.ResourceExhaustedError) as error:
            refused = error if isinstance(error, ConfigError) else RunError(OUT_OF_MEMORY)
            log.warning("%s with S=%d is left out: %s", name, s, refused)
            continue
        for group, sums in found.items():
            unknown = {"bias_squared": math.nan, "bias_squared_error": math.nan}
            bias = sums.squared_bias(reference[group]) if group in reference else unknown
            measured = sums.moments() | bias | cost
            rows.append({"estimator": name, "samples": s, "group": group, **measured, "repeats": repeats})
    if refused is not None and not rows:
        raise refused
    return pd.DataFrame(rows)


def watch_gradients(
    trainer: Trainer, x: tf.Tensor, seed: int, check: Callable[[], None] = lambda: None
) -> Callable[[bool], dict[str, float | None]]:
    """A function that measures the gradients which a training follows, as it stands, and changes nothing of it.

    Told whether it is due, it returns `gradient_mean_norm/<group>`, `gradient_variance/<group>` and
    `gradient_snr/<group>` (`Sums.moments`) for the trainer's own estimator, over 50 repeats of fresh noise on the batch
    x `[B, *event]`, of which the data's weights are left out; None where it is not due, or a number is not finite. Out
    of memory is a warning, and all are None from then on.
    """
    noise = GradientNoise(trainer.model, trainer.estimator, x, seed, trainer.jit)
    fits = True

    def measure(due: bool) -> dict[str, float | None]:
        nonlocal fits
        found: dict[str, float | None] = {}
        sums: dict[str, Sums] = {}
        if due and fits:
            step = int(trainer.step.numpy())
            try:
                sums, _ = noise.measure(WATCHED, step, float(trainer.beta(step)), check)
            except tf.errors.ResourceExhaustedError:
                fits = False
                log.warning("trainer.diagnose_every is given up: %s", OUT_OF_MEMORY)
        for group in noise.variables:
            moments = sums[group].moments() if sums else {}
            for name, moment in (("mean_norm", "norm"), ("variance", "variance"), ("snr", "snr")):
                value = moments.get(moment, math.nan)
                found[f"gradient_{name}/{group}"] = value if math.isfinite(value) else None
        return found

    return measure


def fit_slopes(gradients: pd.DataFrame) -> pd.DataFrame:
    """The exponents a of the power laws S^a of SNR and of variance, for each estimator and group of `diagnose`.

    By least squares of logarithms, weighted by their errors. Left out are numbers whose error exceeds a quarter of
    them, of which logarithms say nothing, and S = 1, where the laws of large S do not hold yet. The error is that of
    the weighted fit, multiplied by √(χ²/ν) where the points scatter by more than their errors. nan where fewer than two
    points are left.

    Returns:
        `estimator`, `group`, `quantity` ("snr" or "variance"), `slope`, `slope_error`.
    """
    rows = [
        {"estimator": estimator, "group": group, "quantity": quantity, "slope": slope, "slope_error": error}
        for (estimator, group), points in gradients.groupby(["estimator", "group"], sort=False)
        for quantity in ("snr", "variance")
        for slope, error in [_power_law(*points[["samples", quantity, f"{quantity}_error"]].to_numpy(float).T)]
    ]
    return pd.DataFrame(rows)


def _power_law(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """The exponent of y as a power of x, and its error."""
    usable = np.isfinite(y) & (error > 0) & (error < y / 4) & (x > 1)
    if len(set(x[usable])) < 2:
        return math.nan, math.nan
    x, y, weight = np.log(x[usable]), np.log(y[usable]), (y[usable] / error[usable]) ** 2
    x = x - weight @ x / weight.sum()
    spread = weight @ x**2
    slope = weight @ (x * y) / spread
    residual = y - weight @ y / weight.sum() - slope * x
    scatter = weight @ residual**2 / max(len(x) - 2, 1)
    return float(slope), float(math.sqrt(max(scatter, 1) / spread))


def _now(step: int, kl_weight: float) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(step, tf.int64), tf.constant(kl_weight, keras.config.floatx())


def _jackknife(estimate: Callable[[np.ndarray], np.ndarray], blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Estimates from the blocks with the given numbers, and their errors from leaving out one block at a time."""
    every = np.arange(blocks)
    without = np.stack([estimate(np.delete(every, block)) for block in every])
    return estimate(every), np.sqrt((blocks - 1) * without.var(axis=0))


def _root(square: float, error: float) -> tuple[float, float]:
    """The root of a number that may be negative by chance, and its error: that of one error more of the number."""
    positive = max(square, 0.0)
    return math.sqrt(positive), math.sqrt(positive + error) - math.sqrt(positive)


def _flat(parts: Sequence[tf.Tensor]) -> np.ndarray:
    return np.concatenate([part.numpy().ravel() for part in parts])


def _off_diagonal(matrix: np.ndarray) -> float:
    return float(matrix.sum() - np.trace(matrix))


def _peak_bytes(graph: tf.Graph) -> int:
    """The most bytes of tensors that are alive at once when the operations of a graph run in their order."""
    owner: dict[Any, Any] = {}  # of the memory that a tensor lies in
    last_use: dict[Any, int] = {}
    operations = graph.get_operations()
    for time_, operation in enumerate(operations):
        for tensor in operation.outputs:
            shared = operation.type in ALIASES and len(operation.inputs) > 0
            owner[tensor.ref()] = owner[operation.inputs[0].ref()] if shared else tensor.ref()
        for tensor in (*operation.inputs, *operation.outputs):
            last_use[owner[tensor.ref()]] = time_
    freed: dict[int, int] = {}
    live = peak = 0
    for time_, operation in enumerate(operations):
        for tensor in operation.outputs:
            if owner[tensor.ref()] != tensor.ref() or operation.type in KEPT:
                continue
            size = (tensor.shape.num_elements() or 0) * tensor.dtype.size
            live += size
            freed[last_use[tensor.ref()]] = freed.get(last_use[tensor.ref()], 0) + size
        peak = max(peak, live)
        live -= freed.pop(time_, 0)
    return peak
