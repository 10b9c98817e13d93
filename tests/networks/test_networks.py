import keras
import numpy as np
import pytest
import tensorflow as tf

from vi import networks
from vi.errors import ConfigError
from vi.likelihoods import Bernoulli, Gaussian
from vi.networks.conv import NarrowConv2D


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


@pytest.mark.parametrize("shape", [(28, 28, 1), (7, 9, 3), (8, 8, 2), (13, 11, 1)])
@pytest.mark.parametrize(
    ("kernel_size", "strides", "padding"),
    [
        (3, 2, "valid"),
        (2, 3, "valid"),
        (4, 1, "same"),
        ([3, 2], [2, 1], ["valid", "same"]),
        ([3, 2], [3, 2], ["same", "valid"]),
    ],
)
def test_a_mirrored_decoder_passes_through_the_sizes_of_its_encoder(shape, kernel_size, strides, padding):
    settings = {"kernel_size": kernel_size, "strides": strides, "padding": padding}
    backwards = {name: value[::-1] if isinstance(value, list) else value for name, value in settings.items()}
    encoder = networks.conv_encoder(shape, [4, 5], hidden=[], **backwards)
    decoder = networks.conv_decoder(2, shape, [5, 4], **settings)
    forward = [layer.output.shape[1:3] for layer in encoder.layers if isinstance(layer, keras.layers.Conv2D)]
    images = [layer.output.shape[1:3] for layer in decoder.layers if len(layer.output.shape) == 4]
    assert {*forward, shape[:2]} <= set(images)
    assert decoder(np.ones((3, 2))).shape == (3, *shape)


def test_the_published_convolutions():
    """The TensorFlow Probability team's (2019), and the course notes' with 128 = 4·4·8 units before them."""
    encoder = networks.conv_encoder(
        (28, 28, 1), [32, 32, 64, 64, 64], [5, 5, 5, 5, 7], [1, 2, 1, 2, 1], ["same"] * 4 + ["valid"], []
    )
    decoder = networks.conv_decoder(
        16,
        (28, 28, 1),
        [64, 64, 64, 32, 32, 32],
        [7, 5, 5, 5, 5, 5],
        [1, 1, 2, 1, 2, 1],
        ["valid"] + ["same"] * 5,
        output_kernel_size=5,
        hidden=[],
        projection=False,
    )
    assert encoder.output_shape == (None, 64)
    assert [layer.output.shape[1:] for layer in decoder.layers] == [
        *[(1, 1, 16), (7, 7, 64), (7, 7, 64), (14, 14, 64), (14, 14, 32), (28, 28, 32), (28, 28, 32), (28, 28, 1)]
    ]
    small = networks.conv_decoder(2, (28, 28, 1), [8, 8], 5, 2, "valid", hidden=[64])
    assert [layer.output.shape[1:] for layer in small.layers] == [
        *[(64,), (128,), (4, 4, 8), (12, 12, 8), (28, 28, 8), (28, 28, 1)]
    ]


@pytest.mark.parametrize(("kernel_size", "filters"), [(5, 1), (4, 2), (3, 5), (7, 3)])
def test_few_filters_have_the_values_and_gradients_of_a_convolution(kernel_size, filters):
    x = keras.random.normal((3, 6, 7, 2), seed=0)
    narrow = NarrowConv2D(filters, kernel_size, padding="same", bias_initializer="normal")
    plain = keras.layers.Conv2D(filters, kernel_size, padding="same")
    plain(x), narrow(x)
    plain.set_weights(narrow.get_weights())
    found, expected = [], []
    for layer, results in ((narrow, found), (plain, expected)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(tf.sin(y))
        results += [y, *tape.gradient(loss, [x, *(v.value for v in layer.variables)])]
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-4)


def test_an_offset_is_taken_off_the_data():
    x = np.random.default_rng(0).random((5, 4, 4, 1), np.float32)
    for make in (
        lambda **o: networks.mlp_encoder((4, 4, 1), [], **o),
        lambda **o: networks.conv_encoder((4, 4, 1), **o),
    ):
        keras.utils.set_random_seed(0)
        plain = make()
        keras.utils.set_random_seed(0)
        np.testing.assert_allclose(make(offset=0.5)(x), plain(x - 0.5), rtol=1e-5, atol=1e-6)


def test_convolutions_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"^strides=\[1, 2, 3\]: must be one value, or one for each of the 2"):
        networks.conv_encoder((28, 28, 1), [4, 4], strides=[1, 2, 3])
    with pytest.raises(ConfigError, match=r"^kernel_size=9: exceeds the 8×8 pixels"):
        networks.conv_encoder((8, 8, 1), [4], 9, padding="valid")
    with pytest.raises(ConfigError, match=r"^projection=False: 5 numbers do not fill an image of 2×2"):
        networks.conv_decoder(5, (8, 8, 1), [4, 4], hidden=[], projection=False)


def test_convolutions_of_anything_but_images_are_refused():
    with pytest.raises(ConfigError, match=r"conv_encoder needs data of shape .* these are of shape \(12,\)"):
        networks.conv_encoder((12,))
    with pytest.raises(ConfigError, match="conv_decoder needs data"):
        networks.conv_decoder(2, (12,))


@pytest.mark.parametrize("make", [Bernoulli, Gaussian, lambda event: Gaussian(event, scale="output")])
def test_at_zero_weights_the_mean_is_the_mean_of_the_data_or_of_each_channel(make):
    event = (3, 4, 2)
    mean, likelihood = np.random.default_rng(0).random(event), make(event)
    by_channel = np.broadcast_to(mean.mean(axis=(0, 1)), event)
    for decoder, expected in (
        (networks.mlp_decoder(2, likelihood.outputs(event), [5]), mean),
        (networks.conv_decoder(2, likelihood.outputs(event), [5]), by_channel),
    ):
        networks.set_output_bias(decoder, likelihood.initial_output, mean)
        output = decoder(np.zeros((1, 2)))[:, None]
        np.testing.assert_allclose(likelihood(output).mean()[0, 0], expected, rtol=1e-4)
    nameless = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    with pytest.raises(ConfigError, match="output_bias"):
        networks.set_output_bias(nameless, likelihood.initial_output, mean)


def test_images_without_a_channel_get_one_inside_the_convolutions():
    encoder, decoder = networks.conv_encoder((8, 6)), networks.conv_decoder(2, (8, 6))
    assert encoder(np.zeros((3, 8, 6), "float32")).shape == (3, 128)
    assert decoder(np.zeros((3, 2), "float32")).shape == (3, 8, 6)
    networks.set_output_bias(decoder, lambda mean: mean, np.full((8, 6), 0.25))
    assert decoder.get_layer("output").bias.numpy() == 0.25


LAYERS = keras.layers
OTHER_DECODERS = {
    "a sequence": (
        (6, 2),
        [LAYERS.Dense(18), LAYERS.Reshape((6, 3)), LAYERS.Conv1D(2, 3, padding="same", name="output")],
    ),
    "a volume": (
        (2, 4, 2, 3),
        [LAYERS.Dense(4), LAYERS.Reshape((1, 2, 1, 2)), LAYERS.Conv3DTranspose(3, 2, 2, name="output")],
    ),
    "an image": (
        (4, 6, 3),
        [LAYERS.Dense(12), LAYERS.Reshape((2, 3, 2)), LAYERS.Conv2DTranspose(3, 2, 2, name="output")],
    ),
}


@pytest.mark.parametrize("which", OTHER_DECODERS)
def test_convolutions_of_any_rank_start_at_the_mean_of_each_channel(which):
    event, layers = OTHER_DECODERS[which]
    mean = np.random.default_rng(0).random(event)
    decoder = keras.Sequential([keras.Input((2,)), *layers])
    networks.set_output_bias(decoder, Bernoulli(event).initial_output, mean)
    found = Bernoulli(event)(decoder(np.zeros((1, 2)))[:, None]).mean()[0, 0]
    by_channel = mean.mean(axis=tuple(range(len(event) - 1)))
    np.testing.assert_allclose(found, np.broadcast_to(by_channel, event), rtol=1e-4)


def test_biases_that_are_no_channels_of_the_outputs_are_refused():
    body = [keras.Input((2,)), LAYERS.Dense(12), LAYERS.Reshape((2, 2, 3))]
    two = keras.Sequential([*body, LAYERS.Conv2D(6, 1, name="output"), LAYERS.Reshape((2, 3, 4))])
    mean = np.random.default_rng(0).random((2, 3, 4))
    with pytest.raises(ConfigError, match="has 6 biases, which are neither"):
        networks.set_output_bias(two, lambda mean: mean, mean)
    assert not two.get_layer("output").bias.numpy().any()
    one = keras.Sequential([*body, LAYERS.Conv2D(1, 1, name="output"), LAYERS.Reshape((2, 2))])
    with pytest.raises(ConfigError, match="has 1 biases"):  # one bias for means and for scales
        networks.set_output_bias(one, lambda mean: np.concatenate([mean, 0 * mean], -1), np.full((2, 1), 0.5))
    none = keras.Sequential([*body, LAYERS.Conv2D(3, 1, use_bias=False, name="output")])
    with pytest.raises(ConfigError, match="needs a decoder whose last layer"):
        networks.set_output_bias(none, lambda mean: mean, np.full((2, 2, 3), 0.5))
