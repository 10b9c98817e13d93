"""Diagrams of a model's networks, drawn by Keras and Graphviz. Without Graphviz, model.txt describes the networks."""

from __future__ import annotations

import functools
import logging
import re
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from vi import random
from vi.models.latent import LatentVariableModel

log = logging.getLogger(__name__)
DPI = 100  # so that Keras's 14 points become 7 at the 200 dots per inch of the other pictures
LOOK = {  # replaces Keras's white on black
    '<table border="0" cellborder="1" bgcolor="black" cellpadding="10">': (
        '<table border="0" cellborder="0" cellspacing="1" bgcolor="black" cellpadding="7">'
    ),
    'bgcolor="black"><font point-size="16" color="white">': 'bgcolor="#D5E6F2"><font point-size="16">',
}


@functools.cache
def graphviz_is_installed() -> bool:
    """Whether Graphviz is installed. The first call in a process logs a message if it is not."""
    if shutil.which("dot"):
        return True
    log.info("No diagrams: Graphviz is not installed (model.txt describes the networks).")
    return False


def encoder_diagram(path: Path, model: LatentVariableModel) -> None:
    """Draws the encoder, layer by layer: x `[B, *event]` → features `[B, F]`."""
    _write(path, _functional(model.encoder, model.likelihood.event_shape, _shapes(model)["features"]), "B")


def decoder_diagram(path: Path, model: LatentVariableModel) -> None:
    """Draws the decoder, layer by layer: z `[B·S, L]` → the likelihood's outputs `[B·S, *outputs]`."""
    shapes = _shapes(model)
    _write(path, _functional(model.decoder, shapes["z"], shapes["output"]), "B·S")


def model_diagram(path: Path, model: LatentVariableModel) -> None:
    """Draws the whole model: x `[B, *event]`, features, z `[B, S, L]` from noise eps, p(x|z) `[B, S, *event]`."""
    shapes, event_shape = _shapes(model), model.likelihood.event_shape
    x = keras.Input(event_shape, name="x")
    inputs, given = [x], [_stage("encoder", model.encoder, shapes["features"])(x)]
    if 0 not in shapes["eps"]:
        inputs.append(keras.Input((None, *shapes["eps"]), name="eps"))
        given.append(inputs[-1])
    z = _stage("posterior", model.posterior, (None, *shapes["z"]))(given if len(given) > 1 else given[0])
    output = _stage("decoder", model.decoder, (None, *shapes["output"]))(z)
    likelihood = _stage("likelihood", model.likelihood, (None, *event_shape))(output)
    _write(path, keras.Model(inputs, likelihood), "B", show_layer_names=True)


class _Stage(keras.Layer):
    """Stands for a part of the model with output `shape` per datum. A subclass is named after the part's class."""

    def __init__(self, name: str, shape: tuple[int | None, ...]):
        super().__init__(name=name)
        self.shape = shape

    def compute_output_spec(self, *inputs: keras.KerasTensor) -> keras.KerasTensor:
        """The shape of the part's output for a batch."""
        return keras.KerasTensor((None, *self.shape), dtype=self.compute_dtype)


def _stage(name: str, part: object, shape: tuple[int | None, ...]) -> _Stage:
    return type(type(part).__name__, (_Stage,), {})(name, shape)


def _functional(network: keras.Model, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> keras.Model:
    """The network itself if Keras knows its layers, else a network of one stage."""
    if hasattr(network, "inputs"):  # a Sequential or functional model
        return network
    x = keras.Input(input_shape)
    return keras.Model(x, _stage(network.name, network, output_shape)(x))


def _shapes(model: LatentVariableModel) -> dict[str, tuple[int, ...]]:
    """The shapes of features, noise, z and the decoder's output for one datum and one sample."""
    x = tf.zeros([1, *model.likelihood.event_shape], model.posterior.compute_dtype)
    features = model.encoder(x)
    eps = model.posterior.noise([1, 1], random.seed(0, "people"))
    z, _ = model.posterior(features).sample(eps)
    return {
        "features": tuple(features.shape[1:]),
        "eps": tuple(eps.shape[2:]),
        "z": tuple(z.shape[2:]),
        "output": tuple(model.decoder(tf.reshape(z, [1, *z.shape[2:]])).shape[1:]),
    }


def _write(path: Path, network: keras.Model, batch: str, show_layer_names: bool = False) -> None:
    """Writes the diagram of `keras.utils.plot_model`, with letters for the axes of unknown size."""
    graph = keras.utils.model_to_dot(
        network, show_shapes=True, show_layer_activations=True, show_layer_names=show_layer_names, dpi=DPI
    )
    for node in graph.get_nodes():
        label = node.get_label() or ""
        for theirs, ours in LOOK.items():
            label = label.replace(theirs, ours)
        node.set_label(re.sub(r"\bNone\b", batch, label.replace("None, None", f"{batch}, S")))
    graph.write(str(path), format="png")
