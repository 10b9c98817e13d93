"""Checks of an estimator's state: the changes by `update`, and the auxiliary variables."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vi.estimators import Estimator
from vi.graphs import Graph
from vi.testing.bench import Bench, psi
from vi.testing.report import Check, within


def _plain(value: object) -> object:
    """A value that can be compared later: plain data as a copy, any other object as its identity."""
    if isinstance(value, dict):
        return [(key, _plain(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, set):
        return frozenset(value)
    return value if isinstance(value, bool | int | float | str | None) else id(value)


def update(name: str, bench: Bench) -> Check:
    """All state that `update` changes is in auxiliary_variables, which checkpoints save."""
    if type(bench.example).update is Estimator.update:
        return Check(name, None, "Nothing to check: `update` is inherited, and does nothing.")
    trial = bench.trial()
    estimator = trial.estimator
    held = dict(vars(estimator))  # keeps the objects alive, so that no new object gets the identity of an old one
    before = {key: _plain(value) for key, value in held.items()}
    step = Graph(lambda: estimator.update(trial.particles())).trace()
    values = [variable.numpy() for variable in step.graph.variables]
    step()
    after = {key: _plain(value) for key, value in vars(estimator).items()}
    saved = {id(variable.value) for variable in estimator.auxiliary_variables}
    hidden = [
        f"the variable {variable.name.removesuffix(':0')}"
        for variable, value in zip(step.graph.variables, values, strict=True)
        if id(variable) not in saved and not np.array_equal(variable.numpy(), value)
    ]
    hidden += [f"the attribute {key}" for key in {**before, **after} if before.get(key) != after.get(key)]
    return within(
        name,
        len(hidden),
        0,
        "What `update` changes is saved: it is in auxiliary_variables.",
        f"`update` changes {' and '.join(hidden)}, which no checkpoint holds: keep it in a keras.Variable that "
        "auxiliary_variables names.",
    )


def auxiliary(name: str, bench: Bench) -> Check:
    """The auxiliary loss trains ψ, and only ψ."""
    trial = bench.trial()
    own = psi(trial.estimator)
    if not own:
        return Check(name, None, "Nothing to check: the estimator has no trainable variables.")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(trial.weights)
        loss = trial.losses().auxiliary
    if loss is None:
        return Check(name, False, "It has trainable variables, but losses give no auxiliary loss to train them.")
    zero = tf.UnconnectedGradients.ZERO
    others = tf.linalg.global_norm(
        tape.gradient(loss, [w for each in trial.weights.values() for w in each], unconnected_gradients=zero)
    )
    of_psi = tf.linalg.global_norm(tape.gradient(loss, [v.value for v in own], unconnected_gradients=zero))
    if not of_psi > 0:
        return Check(name, False, "The auxiliary loss has no gradient for ψ, the estimator's own trainable variables.")
    return within(
        name,
        float(others),
        0,
        "The auxiliary loss trains only ψ: it has no gradient for θ and φ.",
        "The auxiliary loss has a gradient for θ or φ: apply tf.stop_gradient to tensors of the particles.",
    )
