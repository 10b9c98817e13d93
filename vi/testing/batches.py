"""Checks that bound and losses belong to their own datum, and treat samples and β as promised."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from vi.testing.bench import ROUNDING, Bench, difference, given
from vi.testing.report import Check, within


def by_itself(name: str, bench: Bench) -> Check:
    """The bound of a datum does not depend on other data, and losses are not averaged over the batch."""
    trial = bench.trial()
    alone = [trial.rows([i]).bound()[0] for i in range(bench.size)]
    twice = trial.rows(np.tile(np.arange(bench.size), 2))
    pairs = zip(given(twice.losses())[:2], given(trial.losses())[:2], strict=True)  # for θ and φ
    for both, once in pairs:
        if np.any(once) and (np.ptp(once) == 0 or difference(both[: bench.size], once / 2) <= ROUNDING):
            meaning = (
                "Losses are divided by B, averaged over the batch, or normalized over axis=0, but each datum has its "
                "own loss. The train step takes the mean over the batch."
            )
            return Check(name, False, meaning)
    return within(
        name,
        difference(trial.bound(), alone),
        ROUNDING,
        "The bound of a datum is the same in a batch of one datum.",
        "The bound of a datum depends on the others of its batch: something is reduced or normalized over axis=0. A "
        "layer or a baseline whose statistics run over the batch, such as batch normalization in training mode, does "
        "this too; its bound is not a bound of the datum's log p(x).",
    )


def order_of_data(name: str, bench: Bench) -> Check:
    """If the data are permuted, bound and losses are permuted in the same way."""
    trial, order = bench.trial(), np.roll(np.arange(bench.size), 1)
    moved = trial.rows(order)
    pairs = [(moved.bound(), trial.bound())]
    for beta in (
        tf.ones(bench.size, tf.float64),
        tf.range(bench.size, dtype=tf.float64),
    ):  # one β for all data, or a different β for each
        of_moved = moved.losses(kl_weight=tf.gather(beta, order))
        pairs += zip(given(of_moved), given(trial.losses(kl_weight=beta)), strict=True)
    return within(
        name,
        max(difference(found, tf.gather(expected, order)) for found, expected in pairs),
        ROUNDING,
        "If the data and their β are permuted, bound and losses are permuted in the same way.",
        "Bounds or losses change with the order of the data: is a tensor reshaped across the axes, or the β of one "
        "datum taken for all?",
    )


def order_of_samples(name: str, bench: Bench) -> Check:
    """The bound is the same for every order of the samples."""
    if not bench.example.exchangeable:
        return Check(name, None, "Not promised: the samples are declared not exchangeable.")
    trial = bench.trial()
    assert trial.noise.posterior is not None
    order = np.roll(np.arange(trial.noise.posterior.shape[1]), 1)
    noise = trial.noise._replace(posterior=tf.gather(trial.noise.posterior, order, axis=1))
    moved = dataclasses.replace(trial, noise=noise)
    return within(
        name,
        difference(moved.bound(), trial.bound()),
        ROUNDING,
        "The bound is the same for every order of the samples.",
        "The bound changes with the order of the samples: declare exchangeable = False, or treat all samples alike.",
    )


def unweighted(name: str, bench: Bench) -> Check:
    """β does not change the bound, and losses take a β for each datum."""
    trial = bench.trial()
    weights = (0.5, tf.range(bench.size, dtype=tf.float64))
    values = [difference(trial.bound(kl_weight=weight), trial.bound()) for weight in weights]
    for weight in weights:
        if any(loss.shape != (bench.size,) for loss in given(trial.losses(kl_weight=weight))):
            return Check(name, False, f"With β = {weight} the losses are not [B].")
    return within(
        name,
        max(values),
        ROUNDING,
        "β weighs the losses but not the bound, and each datum may have its own β.",
        "The bound changes with β: it must not use particles.kl_weight, which is for `objective` and `losses`.",
    )
