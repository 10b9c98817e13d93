"""The diagrams: what their boxes say, of any network, and that they are drawn where Graphviz is."""

import re

import keras
import pydot
import pytest
from matplotlib.image import imread

from tests.support.pictures import parts_to_draw, target_to_draw
from vi import networks
from vi.models import LatentVariableModel
from vi.pictures import diagrams
from vi.posteriors import Deterministic

needs_graphviz = pytest.mark.skipif(not diagrams.graphviz_is_installed(), reason="Graphviz (dot) is not installed")


class Custom(keras.Model):
    """A network of which Keras does not know the layers."""

    def __init__(self, inside):
        super().__init__(name="custom")
        self.inside = inside

    def call(self, x):
        return self.inside(x)


@pytest.fixture
def boxes(monkeypatch):
    """The text of the boxes of what is drawn, sorted; nothing is drawn."""

    def read(diagram, model):
        graphs = []
        monkeypatch.setattr(pydot.Dot, "write", lambda self, *a, **k: graphs.append(self))
        diagram("unused.png", model)
        labels = [node.get_label() for node in graphs[0].get_nodes() if node.get_label()]
        return sorted(" ".join(re.sub(r"<[^<>]*>", " ", label[1:-1]).split()) for label in labels)

    return read


def with_networks(model, encoder, decoder):
    return LatentVariableModel(encoder, model.posterior, decoder, model.likelihood, model.prior)


def test_the_layers_of_encoder_and_decoder(boxes):
    model = parts_to_draw((6, 6, 1), 2).model
    assert boxes(diagrams.encoder_diagram, model) == [
        "Dense Activation: relu Input shape: (B, 36) Output shape: (B, 8)",
        "Flatten Input shape: (B, 6, 6, 1) Output shape: (B, 36)",
    ]
    assert boxes(diagrams.decoder_diagram, model) == [
        "Dense Activation: linear Input shape: (B·S, 8) Output shape: (B·S, 36)",
        "Dense Activation: relu Input shape: (B·S, 2) Output shape: (B·S, 8)",
        "Reshape Input shape: (B·S, 36) Output shape: (B·S, 6, 6, 1)",
    ]


def test_the_whole_from_data_and_noise_to_the_likelihood(boxes):
    assert boxes(diagrams.model_diagram, parts_to_draw((6, 6, 1), 2).model) == [
        "decoder (Sequential) Input shape: (B, S, 2) Output shape: (B, S, 6, 6, 1)",
        "encoder (Sequential) Input shape: (B, 6, 6, 1) Output shape: (B, 8)",
        "eps (InputLayer) Output shape: (B, S, 2)",
        "likelihood (Bernoulli) Input shape: (B, S, 6, 6, 1) Output shape: (B, S, 6, 6, 1)",
        "posterior (DiagonalGaussian) Input shape: [(B, 8), (B, S, 2)] Output shape: (B, S, 2)",
        "x (InputLayer) Output shape: (B, 6, 6, 1)",
    ]


def test_no_noise_no_box_for_it(boxes):
    whole = boxes(diagrams.model_diagram, parts_to_draw((4,), 2, posterior=Deterministic).model)
    assert "posterior (Deterministic) Input shape: (B, 8) Output shape: (B, S, 2)" in whole
    assert not any(box.startswith("eps") for box in whole)


def test_a_target_density_without_data(boxes):
    whole = boxes(diagrams.model_diagram, target_to_draw(2).model)
    assert "likelihood (NoLikelihood) Input shape: (B, S, 1) Output shape: (B, S, 1)" in whole


def test_networks_that_keras_cannot_look_into_are_one_box(boxes):
    model = parts_to_draw((4,), 2).model
    encoder, decoder = Custom(model.encoder), Custom(model.decoder)
    model = with_networks(model, encoder, decoder)
    assert "Custom Input shape: (B, 4) Output shape: (B, 8)" in boxes(diagrams.encoder_diagram, model)
    assert "Custom Input shape: (B·S, 2) Output shape: (B·S, 4)" in boxes(diagrams.decoder_diagram, model)
    assert any(box.startswith("encoder (Custom)") for box in boxes(diagrams.model_diagram, model))


def test_an_identity_without_weights(boxes):
    model = parts_to_draw((2,), 2).model
    model = with_networks(model, model.encoder, keras.layers.Identity())
    assert "Identity Input shape: (B·S, 2) Output shape: (B·S, 2)" in boxes(diagrams.decoder_diagram, model)


@needs_graphviz
def test_diagrams_are_legible_and_small(tmp_path):
    model = parts_to_draw((28, 28, 1), 2).model
    convolutional = networks.conv_encoder((28, 28, 1), hidden=[8]), networks.conv_decoder(2, (28, 28, 1))
    model = with_networks(model, *convolutional)
    for diagram in (diagrams.encoder_diagram, diagrams.decoder_diagram, diagrams.model_diagram):
        path = tmp_path / "diagram.png"
        diagram(path, model)
        assert 400 < imread(path).shape[1] < 1400  # a page's width at 200 dots per inch
        assert path.stat().st_size < 100_000
