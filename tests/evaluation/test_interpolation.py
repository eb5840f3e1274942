"""The interpolations against TensorFlow, Pillow and, on real films, published scores."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from xraysr.evaluation.evaluate import bicubic, lanczos

METHODS = {"bicubic": bicubic, "lanczos": lanczos}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def keys(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    """The cubic convolution kernel of Keys (1981)."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def keys_matrix(size_in: int, size_out: int) -> np.ndarray:
    centres = (np.arange(size_out) + 0.5) * size_in / size_out
    weights = keys(np.arange(size_in) + 0.5 - centres[:, None])
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("scale", range(2, 9))
def test_bicubic_is_that_of_keys(scale):
    image = np.round(noise(9, 14))
    size = (9 * scale, 14 * scale)
    expected = keys_matrix(9, size[0]) @ image @ keys_matrix(14, size[1]).T
    assert expected.max() > 1, "or clipping would go untested"
    np.testing.assert_allclose(bicubic(image, size), np.clip(expected, 0, 1), atol=3e-6)


@pytest.mark.parametrize("scale", [2, 3, 4, 7])
@pytest.mark.parametrize(("name", "method"), [("bicubic", "bicubic"), ("lanczos", "lanczos3")])
def test_both_equal_tensorflow(scale, name, method):
    image = noise(12, 17)
    size = (12 * scale, 17 * scale)
    expected = tf.image.resize(image[..., None], size, method=method, antialias=True)[..., 0]
    result = METHODS[name](image, size)
    assert result.shape == size
    np.testing.assert_allclose(result, np.clip(expected, 0, 1), atol=5e-6)


def test_lanczos_equals_pillow():
    image = noise(12, 17)
    expected = Image.fromarray(image).resize((51, 36), Image.Resampling.LANCZOS)
    np.testing.assert_allclose(lanczos(image, (36, 51)), np.clip(expected, 0, 1), atol=3e-6)


@pytest.mark.parametrize("name", METHODS)
def test_a_flat_image_stays_flat_and_float64_is_welcome(name):
    np.testing.assert_allclose(METHODS[name](np.full((5, 7), 0.3), (20, 28)), 0.3, atol=1e-6)
