"""The layers against TensorFlow, NumPy twins and what they promise at the start."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from xraysr.lanczos import lanczos_matrix
from xraysr.models.layers import (
    ICNR,
    LanczosUpsample,
    ResidualBlock,
    SpectralConv2D,
    SubpixelUpsample,
    int8_lanczos,
    polyphase_lanczos,
)

SCALES = range(2, 9)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def depth_to_space(image: np.ndarray, factor: int) -> np.ndarray:
    """NumPy twin, (n, h, w, factor ** 2 * c) to (n, factor h, factor w, c)."""
    n, h, w, c = image.shape
    image = image.reshape(n, h, w, factor, factor, c // factor**2)
    return image.transpose(0, 1, 3, 2, 4, 5).reshape(n, h * factor, w * factor, -1)


def blocks(image: np.ndarray, factor: int) -> np.ndarray:
    """(n, h, w, c) as (n, h / factor, w / factor, factor ** 2, c)."""
    n, h, w, c = image.shape
    image = image.reshape(n, h // factor, factor, w // factor, factor, c).swapaxes(2, 3)
    return image.reshape(n, h // factor, w // factor, factor**2, c)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(16, 16), (13, 7), (2, 5), (1, 1)])
def test_lanczos_equals_tensorflow_up_to_the_borders(scale, size):
    image = noise(2, *size, 1)
    large = tuple(side * scale for side in size)
    expected = tf.image.resize(image, large, method="lanczos3", antialias=True)
    np.testing.assert_allclose(LanczosUpsample(scale)(image), expected, atol=3e-6)


@pytest.mark.parametrize("scale", [3, 4])
def test_lanczos_in_a_graph_of_unknown_sizes(scale):
    layer = LanczosUpsample(scale)
    signature = [tf.TensorSpec((None, None, None, 1), tf.float32)]
    graph = tf.function(layer.__call__, input_signature=signature)
    for size in ((8, 8), (5, 11)):
        image = noise(1, *size, 1)
        np.testing.assert_allclose(graph(image), layer(image), atol=1e-6)
    assert graph.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("scale", range(2, 9))
def test_int8_changes_nothing_of_a_phase_of_its_weights(scale):
    kernel = int8_lanczos(scale).reshape(49, scale**2).astype(np.float64)
    step = np.abs(kernel).max(axis=0) / 127  # as TFLite quantises, one step for each phase
    quantised = np.round(kernel / step) * step
    np.testing.assert_allclose(quantised, kernel, atol=1e-7)
    np.testing.assert_allclose(kernel.sum(axis=0), 1, atol=1e-6)
    exact = polyphase_lanczos(scale).reshape(49, scale**2)
    assert np.abs(kernel - exact).max() < 0.005
    step = np.abs(exact).max(axis=0) / 127
    assert np.abs((np.round(exact / step) * step).sum(axis=0) - 1).max() > 0.002  # why


@pytest.mark.parametrize("scale", SCALES)
def test_polyphase_kernel_holds_the_rows_of_the_matrix(scale):
    kernel = polyphase_lanczos(scale).reshape(7, 7, scale, scale)
    taps = kernel / kernel.sum(axis=(0, 1))
    # In the middle of a long signal, phase p of LR pixel 8 sees the pixels 5 to 11.
    rows = lanczos_matrix(17, 17 * scale)[8 * scale : 9 * scale, 5:12]
    np.testing.assert_allclose(taps, np.einsum("pi,qj->ijpq", rows, rows), atol=4e-7)


def test_lanczos_has_no_weights_and_says_its_shape():
    layer = LanczosUpsample(3)
    assert layer(noise(2, 5, 6, 1)).shape == layer.compute_output_shape((2, 5, 6, 1))
    assert layer.weights == []
    assert layer.compute_output_shape((None, None, 6, 1)) == (None, None, 18, 1)


@pytest.mark.parametrize("factor", [2, 3, 5, 7])
@pytest.mark.parametrize("filters", [3, 8])
def test_icnr_starts_with_equal_blocks(factor, filters):
    layer = SubpixelUpsample(filters, factor)
    after = np.asarray(layer(noise(1, 6, 5, 3)))
    # Before its ReLU, which would hide half of the differences.
    image = layer.convolution(noise(1, 6, 5, 3))
    spread = np.ptp(blocks(depth_to_space(np.asarray(image), factor), factor), axis=3)
    assert spread.max() < 1e-6
    assert np.ptp(blocks(after, factor), axis=3).max() < 1e-6
    assert after.max() > 0.01, "the layer must not be dead"


def test_he_normal_would_start_with_a_checkerboard():
    layer = SubpixelUpsample(4, 2)
    layer.convolution.kernel_initializer = keras.initializers.HeNormal(seed=0)
    assert np.ptp(blocks(np.asarray(layer(noise(1, 6, 5, 3))), 2), axis=3).max() > 0.05


def test_icnr_channels_differ_and_have_the_spread_of_he():
    kernel = np.asarray(ICNR(2)((3, 3, 32, 4 * 16)))
    assert kernel.shape == (3, 3, 32, 64)
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 32)), rtol=0.1)
    assert np.ptp(kernel[..., :16], axis=-1).min() > 0


def test_icnr_refuses_filters_that_make_no_blocks():
    with pytest.raises(ValueError, match=r"multiple of 9 filters. Received: shape=\(3, 3, 8, 16\)"):
        ICNR(3)((3, 3, 8, 16))


@pytest.mark.parametrize("factor", [2, 3])
def test_subpixel_upsampling_equals_its_numpy_twin(factor, perturb):
    layer = SubpixelUpsample(4, factor)
    image = noise(2, 5, 7, 3)
    layer(image)
    perturb(layer, scale=0.5)
    convolved = np.asarray(tf.nn.conv2d(image, layer.convolution.kernel, 1, "SAME"))
    expected = depth_to_space(convolved + np.asarray(layer.convolution.bias), factor)
    result = layer(image)
    np.testing.assert_allclose(result, np.maximum(expected, 0), atol=1e-5)
    assert result.shape == layer.compute_output_shape(image.shape)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_residual_block_starts_as_the_identity(batch_norm, training):
    image = noise(2, 6, 7, 16)
    block = ResidualBlock(16, batch_norm)
    np.testing.assert_array_equal(block(image, training=training), image)
    assert np.asarray(block.convolutions[0].kernel).std() > 0.05, "or nothing would ever train"


def test_a_residual_block_equals_its_twin(perturb):
    image = noise(1, 6, 7, 8) - 0.5
    block = ResidualBlock(8)
    block(image)
    perturb(block, scale=0.3)
    first, first_bias, second, second_bias = (np.asarray(weight) for weight in block.weights)
    inner = np.maximum(tf.nn.conv2d(image, first, 1, "SAME") + first_bias, 0)
    expected = image + tf.nn.conv2d(inner, second, 1, "SAME") + second_bias
    np.testing.assert_allclose(block(image), expected, atol=1e-5)


def test_batch_norm_of_a_residual_block_normalises_in_training_only(perturb):
    block = ResidualBlock(8, batch_norm=True)
    image = noise(4, 6, 7, 8)
    block(image)
    perturb(block, scale=0.3)
    before = [np.asarray(norm.moving_mean) for norm in block.norms]
    inference = np.asarray(block(image, training=False))
    np.testing.assert_array_equal(before, [np.asarray(n.moving_mean) for n in block.norms])
    training = np.asarray(block(image, training=True))
    assert np.abs(training - inference).max() > 0.05
    assert not np.allclose(before, [np.asarray(n.moving_mean) for n in block.norms])
    # Normalised over batch and pixels, what is added has the mean and spread of the last norm.
    added = (training - image).reshape(-1, 8)
    np.testing.assert_allclose(added.mean(axis=0), block.norms[1].beta, atol=1e-3)
    np.testing.assert_allclose(added.std(axis=0), np.abs(block.norms[1].gamma), atol=0.05)


@pytest.mark.parametrize(
    "layer",
    [
        LanczosUpsample(3, name="skip"),
        ResidualBlock(16, batch_norm=True),
        SubpixelUpsample(4, 3),
    ],
)
def test_config_makes_the_same_layer(layer):
    config = layer.get_config()
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(twin) is type(layer)
    assert twin.get_config() == config


def test_config_makes_the_same_initializer():
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(ICNR(3)))
    assert isinstance(twin, ICNR) and twin.factor == 3


@pytest.fixture
def spectral():
    """A spectrally normalised convolution of 3 to 6 channels and an input for it."""
    keras.utils.set_random_seed(0)
    layer = SpectralConv2D(6, 3, padding="same")
    layer.build((None, 8, 8, 3))
    layer.bias.assign(np.arange(6.0))
    return layer, np.random.default_rng(0).random((2, 8, 8, 3)).astype(np.float32)


def test_spectral_convolution_divides_by_the_largest_singular_value(spectral):
    layer, x = spectral
    for _ in range(50):
        layer(x, training=True)
    kernel = layer.kernel.numpy()
    largest = np.linalg.svd(kernel.reshape(-1, 6), compute_uv=False)[0]
    expected = keras.ops.conv(x, kernel / largest, padding="same") + layer.bias.numpy()
    np.testing.assert_allclose(layer(x), expected, atol=1e-4)


def test_spectral_convolution_changes_its_estimate_in_training_and_nothing_else(spectral):
    layer, x = spectral
    before = {v.name: v.numpy() for v in layer.variables}
    layer(x)
    for variable in layer.variables:
        np.testing.assert_array_equal(variable.numpy(), before[variable.name])
    layer(x, training=True)
    changed = [v.name for v in layer.variables if not np.array_equal(v, before[v.name])]
    assert changed == ["direction"]
    assert [v.name for v in layer.non_trainable_variables] == ["direction"]


def test_spectral_convolution_keeps_its_kernel_and_estimate_in_float32_under_bfloat16():
    keras.utils.set_random_seed(0)
    layer = SpectralConv2D(6, 3, dtype="mixed_bfloat16")
    out = layer(np.ones((1, 8, 8, 3), np.float32), training=True)
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
    estimate = layer.direction.numpy()
    assert estimate.dtype == np.float32
    assert np.sum(estimate.astype(np.float64) ** 2) == pytest.approx(1.0, abs=1e-6)


def test_spectral_convolution_comes_back_from_its_config(spectral):
    layer, x = spectral
    again = SpectralConv2D.from_config(layer.get_config())
    again.build((None, 8, 8, 3))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))
