"""Random numbers are a function of seed, stream and step, the same with and without XLA."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tests.support.models import assert_mean
from vi import random


def draw_bernoulli(seed):
    return random.bernoulli(tf.fill([5, 3], 0.3), seed, "float32")


def draw_uniform(seed):
    return random.uniform([7, 3], seed, "float64")


def draw_seed(seed):
    return random.fold(random.fold(seed, "posterior"), 12)


@pytest.mark.parametrize("draw", [draw_bernoulli, draw_uniform, draw_seed])
def test_numbers_are_the_same_under_xla(draw):
    seed = random.seed(3, "train")
    np.testing.assert_array_equal(draw(seed), tf.function(draw, jit_compile=True)(seed))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers_are_the_same_under_xla_to_the_precision_of_the_quantile(dtype):
    def draw(seed):
        return random.normal([1000, 3], seed, dtype)

    seed = random.seed(3, "train")
    tolerance = {"float32": 2e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(tf.function(draw, jit_compile=True)(seed), draw(seed), rtol=tolerance)


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize(("dtype", "half"), [("float32", 2**23), ("float64", 2**52)])
def test_normal_quantiles_are_exact_and_finite_to_the_last_integer(dtype, half, jit):
    rng = np.random.default_rng(0)
    ends = [-half, -half + 1, -1, 0, half - 2, half - 1]
    integers = np.concatenate([ends, rng.integers(-half, half, 100_000)])
    word = "int32" if dtype == "float32" else "int64"

    @tf.function(jit_compile=jit)
    def quantile(integers):
        return random.normal_quantile(integers, dtype)

    z = quantile(tf.constant(integers, word)).numpy()
    below = (np.where(integers < 0, integers, -1 - integers) + 0.5) / (2 * half) + 0.5  # exact in the lower tail
    expected = np.where(integers < 0, 1, -1) * scipy.stats.norm.ppf(below)
    np.testing.assert_allclose(z, expected, rtol=1e-5 if dtype == "float32" else 1e-10)
    np.testing.assert_array_equal(quantile(tf.constant(-1 - integers, word)), -z)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_and_uniform_numbers_have_their_distributions(dtype):
    seed = random.seed(1, "train")
    normal, uniform = (
        random.normal([300_000], seed, dtype).numpy(),
        random.uniform([300_000], seed, dtype).numpy(),
    )
    assert scipy.stats.kstest(normal, "norm").pvalue > 1e-3
    assert scipy.stats.kstest(uniform, "uniform").pvalue > 1e-3
    tail = np.array([3.0, 4.0])
    count = (np.abs(normal)[:, None] > tail).sum(axis=0)
    low, high = scipy.stats.binom.interval(0.999, len(normal), 2 * scipy.stats.norm.sf(tail))
    assert np.all((low <= count) & (count <= high))
    assert normal.dtype == uniform.dtype == dtype
    assert uniform.min() > 0
    assert uniform.max() < 1


def test_seeds_streams_and_steps_are_independent():
    seeds = [random.seed(n, s) for n in (0, 1) for s in random.STREAMS]
    seeds += [random.fold(seeds[0], step) for step in range(100)]
    seeds += [random.fold(seeds[0], name) for name in random.STREAMS]
    draws = np.stack([random.normal([1000], seed, "float64") for seed in seeds])
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    pairs = len(draws) * (len(draws) - 1) / 2
    assert np.abs(correlation).max() < np.sqrt(2 * np.log(pairs)) / np.sqrt(1000) * 1.5


def test_a_permutation_holds_every_number_once():
    order = random.permutation(1000, random.seed(0, "permutation"))
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert (order != random.permutation(1000, random.seed(1, "permutation"))).mean() > 0.9


def test_a_permutation_sorts_random_integers_stably():
    seed = random.seed(3, "permutation")
    integers = tf.random.stateless_uniform([200_000], seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")
    assert len(np.unique(integers)) < len(integers)  # so stability matters
    np.testing.assert_array_equal(random.permutation(200_000, seed), np.argsort(integers, kind="stable"))


def test_permutations_are_those_of_the_parts_of_a_stream():
    seed = random.seed(3, "permutation")
    expected = [random.permutation(50, random.fold(seed, part)) for part in (7, 8, 9)]
    np.testing.assert_array_equal(random.permutations(50, seed, 7, 3), expected)


def test_binarization_is_exact_at_0_and_1_and_unbiased_between():
    grey = np.array([0.0, 1 / 255, 0.3, 128 / 255, 254 / 255, 1.0], np.float32)
    probability = tf.constant(np.tile(grey, [100_001, 1]))  # an odd number of elements, too
    draws = random.bernoulli(probability, random.seed(0, "binarization"), "float64").numpy()
    assert set(np.unique(draws)) == {0.0, 1.0}
    assert draws[:, 0].max() == 0
    assert draws[:, -1].min() == 1
    assert_mean(draws[:, 1:-1] - grey[1:-1], np.zeros(4))


def test_both_halves_of_the_random_words_are_used():
    draws = random.bernoulli(tf.fill([2, 5000], 0.5), random.seed(0, "binarization"), "float64").numpy()
    assert abs(np.corrcoef(draws)[0, 1]) < 4 / np.sqrt(5000)


def test_streams_keep_their_numbers_and_names_are_no_counters():
    """The numbers of a run of today are those of a run of then."""
    names = "split binarization permutation train validation people posterior divergence prior dream_prior"
    assert list(random.STREAMS.items())[:10] == [(name, number) for number, name in enumerate(names.split())]
    seed = random.seed(3, "train")
    assert seed.numpy().tolist() == [3, 3]
    steps = {tuple(random.fold(seed, step).numpy()) for step in range(len(random.STREAMS))}
    assert not steps & {tuple(random.fold(seed, name).numpy()) for name in random.STREAMS}
