import keras
import numpy as np
import pytest

from vi import networks
from vi.errors import ConfigError


@pytest.mark.parametrize("hidden", [[], [8], [8, 6, 4]])
def test_mlps_of_any_depth(hidden):
    encoder = networks.mlp_encoder((3, 4), hidden, "tanh")
    decoder = networks.mlp_decoder(2, (3, 4), hidden, "swish")
    assert encoder(np.ones((5, 3, 4))).shape == (5, hidden[-1] if hidden else 12)
    assert decoder(np.ones((5, 2))).shape == (5, 3, 4)
    dense = [layer for layer in encoder.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == hidden


@pytest.mark.parametrize("shape", [(28, 28, 1), (7, 9, 3), (8, 8, 2), (5, 5, 1)])
@pytest.mark.parametrize("filters", [[4], [4, 6], [4, 6, 8]])
def test_convolutions_mirror_any_image_size(shape, filters):
    encoder = networks.conv_encoder(shape, filters, hidden=[10])
    decoder = networks.conv_decoder(2, shape, filters[::-1], hidden=[10])
    assert encoder(np.ones((5, *shape))).shape == (5, 10)
    assert decoder(np.ones((5, 2))).shape == (5, *shape)


def test_convolutions_of_anything_but_images_are_refused():
    with pytest.raises(ConfigError, match=r"encoder=conv: needs data of shape .* these are of shape \(12,\)"):
        networks.conv_encoder((12,))
    with pytest.raises(ConfigError, match="decoder=conv"):
        networks.conv_decoder(2, (12,))


def test_the_output_bias_is_the_output_at_zero_weights():
    bias = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(np.float32)
    decoder = networks.mlp_decoder(2, (3, 4, 2), [5])
    networks.set_output_bias(decoder, bias)
    np.testing.assert_allclose(decoder(np.zeros((1, 2)))[0], bias, rtol=1e-6)
    decoder = networks.conv_decoder(2, (3, 4, 2), [5])
    networks.set_output_bias(decoder, bias)
    np.testing.assert_allclose(decoder.get_layer("output").bias, bias.mean((0, 1)), rtol=1e-5)
    with pytest.raises(ConfigError, match="output_bias"):
        networks.set_output_bias(keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]), bias)
