"""The edge generator: Lanczos at the start, local, small, and of int8 operations only."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from xraysr.evaluation.evaluate import lanczos
from xraysr.models import EdgeGenerator

SCALES = range(2, 9)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize("scale", SCALES)
def test_untrained_it_is_lanczos_of_the_image_continued_past_its_border(scale):
    generator = EdgeGenerator.for_pair(f"8:{8 * scale}", depth=1, width=8)
    image = noise(2, 9, 14, 1)
    continued = np.pad(image[..., 0], ((0, 0), (9, 9), (9, 9)), mode="edge")
    whole = np.stack([lanczos(each, (27 * scale, 32 * scale)) for each in continued])
    inner = slice(9 * scale, -9 * scale)
    sr = np.asarray(generator(image))[..., 0]
    # Its weights are those nearest to Lanczos that int8 holds: a grey level on white noise.
    assert np.sqrt(np.mean((sr - whole[:, inner, inner]) ** 2)) < 0.006


def test_one_pixel_is_enough():
    generator = EdgeGenerator.for_pair("8:32", depth=1, width=8)
    np.testing.assert_allclose(
        generator(np.full((1, 1, 1, 1), 0.3, "float32")), np.full((1, 4, 4, 1), 0.3), rtol=1e-5
    )


def test_it_is_clipped_in_use_and_not_in_training(perturb):
    generator = perturb(EdgeGenerator.for_pair("8:32", depth=1, width=8), scale=0.3)
    image = noise(1, 8, 8, 1)
    used, trained = np.asarray(generator(image)), np.asarray(generator(image, training=True))
    assert trained.min() < -0.1 or trained.max() > 1.1
    np.testing.assert_array_equal(used, np.clip(trained, 0, 1))


def test_no_pixel_beyond_the_radius_matters_and_one_on_it_does(perturb):
    generator = perturb(EdgeGenerator.for_pair("8:24", depth=2, width=16), scale=0.2)
    radius = generator.receptive_radius
    assert radius == 4
    middle, side = radius + 3, 2 * radius + 7
    image = noise(1, side, side, 1)
    changed = image.copy()
    changed[0, middle, middle, 0] = 1 - changed[0, middle, middle, 0]
    pair = (np.asarray(generator(each, training=True)) for each in (image, changed))
    difference = np.abs(np.subtract(*pair))[0, ..., 0]
    blocks = difference.reshape(side, 3, side, 3).max(axis=(1, 3)) > 0
    reach = np.abs(np.argwhere(blocks) - middle).max(axis=1)
    assert reach.max() == radius


def test_a_preset_has_at_most_60_thousand_parameters():
    def convolution(inputs: int, outputs: int) -> int:
        return 9 * inputs * outputs + outputs

    for scale in SCALES:
        generator = EdgeGenerator.for_pair(f"8:{8 * scale}", depth=3)
        expected = convolution(1, 32) + 3 * convolution(32, 32) + convolution(32, scale**2)
        assert generator.count_params() == expected
        if scale <= 4:
            assert EdgeGenerator.for_pair(f"8:{8 * scale}").count_params() <= 60_000


def test_it_is_made_of_nothing_that_int8_lacks(perturb):
    generator = perturb(EdgeGenerator.for_pair("8:32", depth=1, width=8), scale=0.1)
    graph = tf.function(generator.call).get_concrete_function(
        tf.TensorSpec((1, None, None, 1), tf.float32)
    )
    kinds = {operation.type for operation in graph.graph.get_operations()}
    assert "Conv2D" in kinds
    assert "DepthToSpace" in kinds
    assert not kinds & {"RealDiv", "Div", "Exp", "Sigmoid", "Tanh", "Rsqrt", "OnesLike"}


def test_config_makes_the_same_architecture(perturb):
    generator = perturb(EdgeGenerator.for_pair("8:40", depth=2, width=16))
    twin = EdgeGenerator.from_config(generator.get_config())
    twin.build((None, None, None, 1))
    twin.set_weights(generator.get_weights())
    assert (twin.scale, twin.depth, twin.width) == (5, 2, 16)
    image = noise(1, 6, 6, 1)
    np.testing.assert_array_equal(twin(image), generator(image))


def test_a_bad_argument_names_the_class():
    with pytest.raises(ValueError, match="EdgeGenerator needs an integer scale.*scale=9"):
        EdgeGenerator(9)
    with pytest.raises(ValueError, match="EdgeGenerator needs depth >= 1.*width=4"):
        EdgeGenerator(4, width=4)
