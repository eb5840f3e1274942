"""The generator: Lanczos at the start, local, of any size, and clipped only when it is used."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from xraysr.errors import UserError
from xraysr.evaluation.evaluate import lanczos
from xraysr.lanczos import resize
from xraysr.models import SRResNet
from xraysr.pair import Pair, prime_factors

SCALES = range(2, 9)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def small(scale: int = 4, **arguments) -> SRResNet:
    generator = SRResNet(scale, **{"depth": 1, "width": 8, **arguments})
    generator.build((None, None, None, 1))
    return generator


@pytest.mark.parametrize("scale", SCALES)
def test_untrained_it_is_lanczos(scale):
    image = np.round(noise(2, 9, 14, 1))  # Black and white, so that Lanczos overshoots.
    size = (9 * scale, 14 * scale)
    generator = small(scale)
    expected = [lanczos(each[..., 0], size) for each in image]
    np.testing.assert_allclose(generator(image)[..., 0], expected, atol=3e-6)
    raw = resize(image[..., 0], size)
    assert raw.max() > 1.05
    np.testing.assert_allclose(generator(image, training=True)[..., 0], raw, atol=3e-6)


def test_it_is_clipped_in_use_and_not_in_training(perturb):
    generator = perturb(small(), scale=0.3)
    image = noise(1, 8, 8, 1)
    used, trained = np.asarray(generator(image)), np.asarray(generator(image, training=True))
    assert trained.min() < -0.1 or trained.max() > 1.1
    np.testing.assert_array_equal(used, np.clip(trained, 0, 1))


def test_clipping_stops_no_gradient_in_training():
    generator = small()
    image = np.round(noise(1, 8, 8, 1))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(generator(image, training=True) - 3.0))
    assert float(tf.norm(tape.gradient(loss, generator.tail.kernel))) > 0


@pytest.mark.parametrize("scale", SCALES)
def test_stages_are_the_prime_factors(scale):
    generator = SRResNet(scale, width=32)
    assert [stage.factor for stage in generator.upsampling] == prime_factors(scale)
    widths = [stage.filters for stage in generator.upsampling]
    assert widths == [16, 8, 8][: len(widths)]


def test_for_pair_is_built_and_ready():
    generator = SRResNet.for_pair("48x64:144x192", depth=2, width=16)
    assert generator.built and generator.scale == 3 and generator.depth == 2
    assert generator(noise(1, 48, 64, 1)).shape == (1, 144, 192, 1)
    assert SRResNet.for_pair(Pair.parse("32:128")).scale == 4


def test_one_graph_for_all_sizes(perturb):
    generator = perturb(small(6))
    signature = [tf.TensorSpec((None, None, None, 1), tf.float32)]
    graph = tf.function(generator.call, input_signature=signature)
    for shape in ((1, 8, 8, 1), (3, 5, 11, 1)):
        image = noise(*shape)
        result = graph(image)
        assert result.shape == generator.compute_output_shape(shape)
        np.testing.assert_allclose(result, generator(image), atol=1e-5)
    assert graph.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("depth", [1, 3])
def test_receptive_radius_is_exact(scale, depth):
    """An impulse on black, through positive weights and no biases, lights all that it reaches."""
    generator = small(scale, depth=depth)
    rng = np.random.default_rng(0)
    for weight in generator.weights:
        filled = 0.1 * rng.random(weight.shape) if len(weight.shape) > 1 else 0.0
        weight.assign(np.broadcast_to(filled, weight.shape))
    radius = generator.receptive_radius
    side = 2 * radius + 5
    image = np.zeros((1, side, side, 1), np.float32)
    assert not np.asarray(generator(image, training=True)).any()
    middle = side // 2
    image[0, middle, middle, 0] = 1
    lit = np.asarray(generator(image, training=True))[0, ..., 0] != 0
    blocks = lit.reshape(side, scale, side, scale).any(axis=(1, 3))
    distance = np.abs(np.argwhere(blocks) - middle).max(axis=1)
    assert distance.max() == radius


def test_no_pixel_beyond_the_radius_matters(perturb):
    generator = perturb(small(4, depth=2), scale=0.2)
    radius = generator.receptive_radius
    side = 2 * radius + 7
    middle = side // 2
    image = noise(1, side, side, 1)
    changed = image.copy()
    changed[0, middle, middle, 0] = 1 - changed[0, middle, middle, 0]
    pair = (np.asarray(generator(each, training=True)) for each in (image, changed))
    difference = np.abs(np.subtract(*pair))[0, ..., 0]
    near = slice(4 * (middle - radius), 4 * (middle + radius + 1))
    assert difference[near, near].max() > 0.01
    difference[near, near] = 0
    assert difference.max() < 1e-6  # some processors convolve by transforms of whole tiles


def test_parameters_follow_from_depth_and_width():
    scale, depth, width = 4, 3, 16

    def convolution(inputs: int, outputs: int) -> int:
        return 9 * inputs * outputs + outputs

    expected = (
        convolution(1, width)
        + (2 * depth + 1) * convolution(width, width)
        + convolution(width, 4 * 8)
        + convolution(8, 4 * 8)
        + convolution(8, 1)
    )
    assert small(scale, depth=depth, width=width).count_params() == expected
    normed = small(scale, depth=depth, width=width, batch_norm=True)
    # Four for each channel of a normalisation, which takes the place of a convolution's bias.
    assert normed.count_params() == expected + 2 * depth * (4 - 1) * width


@pytest.mark.parametrize("batch_norm", [False, True])
def test_batch_norm_is_an_option(batch_norm, perturb):
    generator = perturb(small(2, batch_norm=batch_norm), scale=0.2)
    moving = [weight for weight in generator.weights if "moving" in weight.path]
    assert len(moving) == (4 if batch_norm else 0)
    before = [np.asarray(weight) for weight in moving]
    image = noise(4, 8, 8, 1)
    generator(image)
    assert all(map(np.array_equal, before, moving)), "use must not change a model"
    generator(image, training=True)
    assert not batch_norm or not any(map(np.array_equal, before, moving))
    single, batch = generator(image[:1]), generator(image)
    np.testing.assert_allclose(single, batch[:1], atol=1e-5)


def test_the_skip_stays_exact_under_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        generator = small(4)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert generator.head.compute_dtype == "bfloat16"
    image = noise(1, 8, 8, 1)
    result = np.asarray(generator(image))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[0, ..., 0], lanczos(image[0, ..., 0], (32, 32)), atol=3e-6)


def test_config_makes_the_same_architecture(perturb):
    generator = perturb(small(6, depth=2, width=16, batch_norm=True))
    twin = SRResNet.from_config(generator.get_config())
    twin.build((None, None, None, 1))
    twin.set_weights(generator.get_weights())
    assert (twin.scale, twin.depth, twin.width, twin.batch_norm) == (6, 2, 16, True)
    image = noise(1, 6, 6, 1)
    np.testing.assert_array_equal(twin(image), generator(image))


@pytest.mark.parametrize("scale", [1, 9, 2.5, 4.0, "4"])
def test_a_scale_out_of_range(scale):
    with pytest.raises(ValueError, match=f"scale from 2 to 8. Received: scale={scale}"):
        SRResNet(scale)


@pytest.mark.parametrize("arguments", [{"depth": 0}, {"width": 7}])
def test_a_network_too_small(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"width >= 8. Received: .*{name}={value}"):
        SRResNet(4, **arguments)


def test_a_pair_out_of_range():
    with pytest.raises(UserError, match="x9"):
        SRResNet.for_pair("64:576")


def test_radius_of_the_default_in_closed_form():
    # 1 for the head, 2 for each block, 1 for the body and 1 for each finer stage, rounded up.
    assert SRResNet(4).receptive_radius == math.ceil(1 + 2 * 8 + 1 + 1 + 1 / 2 + 1 / 4)
