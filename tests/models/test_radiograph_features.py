"""The radiograph features against NumPy, and the shipped weights against damage."""

from __future__ import annotations

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from numpy.lib.stride_tricks import sliding_window_view

from xraysr.errors import UserError
from xraysr.models import SRResNet
from xraysr.models.radiograph_features import (
    SHIPPED,
    RadiographFeatures,
    card_of,
    map_difference,
    save_features,
    unit_channels,
)
from xraysr.models.weights import save_weights, weights_sha256

MAX_BYTES = 2_000_000


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((*shape, 1), dtype=np.float32)


@pytest.fixture(scope="module")
def shipped() -> RadiographFeatures:
    return RadiographFeatures.shipped()


@pytest.fixture
def copy(tmp_path):
    """The shipped weights and their card, where they can be spoilt."""
    for path in (SHIPPED, card_of(SHIPPED)):
        shutil.copy(path, tmp_path)
    return tmp_path / SHIPPED.name


def twin(image: np.ndarray, weights: list[np.ndarray]) -> list[np.ndarray]:
    """The maps of one image (height, width, 1), by the definition, in float64."""
    x = (image.astype(np.float64) - 0.5) * 4
    maps = []
    for index in range(len(weights) // 2):
        if index and index % 2 == 0:
            x = 0.25 * (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2])
        windows = sliding_window_view(np.pad(x, ((1, 1), (1, 1), (0, 0))), (3, 3), axis=(0, 1))
        x = np.einsum("hwcij,ijco->hwo", windows, weights[2 * index]) + weights[2 * index + 1]
        x = np.maximum(x, 0)
        if index % 2:
            maps.append(x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-3))
    return maps


def test_the_maps_equal_their_definition(shipped):
    batch = images(2, 16, 24)
    found = shipped(batch)
    assert [each.shape for each in found] == [
        (2, 16, 24, 16),
        (2, 8, 12, 32),
        (2, 4, 6, 64),
        (2, 2, 3, 128),
    ]
    for which in range(2):
        expected = twin(batch[which], shipped.get_weights())
        for one, other in zip(found, expected, strict=True):
            assert np.std(other) > 0.1
            np.testing.assert_allclose(one[which], other, atol=2e-4)


def test_odd_sizes_and_the_smallest(shipped):
    assert [each.shape[1:3] for each in shipped(images(1, 17, 40))] == [
        (17, 40),
        (8, 20),
        (4, 10),
        (2, 5),
    ]
    assert shipped(images(1, 8, 8))[-1].shape == (1, 1, 1, 128)


def test_every_depth_tells_smooth_from_noisy(shipped):
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32)[:, None], (1, 64, 64, 1))
    noisy = ramp + 0.05 * np.random.default_rng(0).standard_normal(ramp.shape)
    for smooth, rough in zip(shipped(ramp), shipped(noisy.astype(np.float32)), strict=True):
        assert np.mean((np.array(smooth) - np.array(rough)) ** 2) > 0.1


def test_map_difference_is_lpips_with_equal_weights():
    rng = np.random.default_rng(0)
    raw = [[rng.normal(size=(3, 8 // d, 8 // d, 4 * d)) for d in (1, 2)] for _ in range(2)]
    ours = map_difference(*[[unit_channels(x) for x in maps] for maps in raw])

    # Zhang et al., equation 1 with w = 1: unit length over channels, squared, summed over them.
    theirs = np.zeros(3)
    for one, other in zip(*raw, strict=True):
        unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (one, other)]
        theirs += np.mean(np.sum((unit[0] - unit[1]) ** 2, axis=-1), axis=(1, 2)) / 2
    np.testing.assert_allclose(ours, theirs, rtol=2e-2)
    assert ours.shape == (3,)


def test_silence_has_no_direction():
    assert np.max(np.abs(unit_channels(np.full((1, 2, 2, 8), 1e-6)))) < 1e-4


def test_following_the_gradient_sharpens(shipped):
    """The distance is smooth enough to be a loss: a few steps from blurred go towards sharp."""
    sharp = images(1, 32, 32)
    blurred = 0.5 * sharp + 0.5 * np.roll(sharp, 1, axis=2)
    image = keras.Variable(blurred)
    optimizer = keras.optimizers.Adam(3e-3)
    before = float(map_difference(shipped(image.value), shipped(sharp))[0])
    for _ in range(20):
        with tf.GradientTape() as tape:
            loss = ops.mean(map_difference(shipped(image.value), shipped(sharp)))
        optimizer.apply([tape.gradient(loss, image.value)], [image])
    after = float(map_difference(shipped(image.value), shipped(sharp))[0])
    assert after < 0.7 * before
    assert np.mean((ops.convert_to_numpy(image) - sharp) ** 2) < np.mean((blurred - sharp) ** 2)


def test_mixed_precision_changes_little_and_returns_float32(shipped):
    batch = images(1, 32, 32)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = RadiographFeatures.shipped()
    finally:
        keras.config.set_dtype_policy("float32")
    assert mixed.convolutions[0].compute_dtype == "float32"
    assert mixed.convolutions[1].compute_dtype == "bfloat16"
    for one, other in zip(mixed(batch), shipped(batch), strict=True):
        assert one.dtype == "float32"
        assert 0 < np.mean((np.array(one) - np.array(other)) ** 2) < 1e-3


def test_a_saved_model_keeps_its_features(shipped, tmp_path):
    shipped.save(tmp_path / "features.keras")
    loaded = keras.saving.load_model(tmp_path / "features.keras")
    batch = images(1, 16, 16)
    for one, other in zip(loaded(batch), shipped(batch), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_shipped_file_is_small_and_known(shipped):
    assert SHIPPED.stat().st_size < MAX_BYTES
    card = json.loads(card_of(SHIPPED).read_text("utf-8"))
    assert card["weights_sha256"] == weights_sha256(shipped)
    assert card["parameters"] == sum(weight.size for weight in shipped.get_weights())
    assert card["test_films_read"] == 0
    assert {each["licence"] for each in card["data"]} == {"no restriction on use", "CC BY 4.0"}
    assert shipped.trainable_weights == []


def test_saved_weights_load_bit_equal_and_the_file_is_deterministic(tmp_path, perturb):
    extractor = RadiographFeatures()
    extractor.build((None, None, None, 1))
    perturb(extractor)
    for name in ("a", "b"):
        save_features(extractor, tmp_path / f"{name}.safetensors", {"name": name})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = RadiographFeatures.shipped(tmp_path / "a.safetensors").get_weights()
    for one, other in zip(loaded, extractor.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other.astype(np.float16).astype(np.float32))


def test_one_flipped_bit(copy):
    content = bytearray(copy.read_bytes())
    content[-1000] ^= 1
    copy.write_bytes(content)
    with pytest.raises(UserError, match="does not hold the weights its card names"):
        RadiographFeatures.shipped(copy)


@pytest.mark.parametrize("lost", ["safetensors", "json"])
def test_a_missing_file(copy, lost):
    copy.with_suffix(f".{lost}").unlink()
    with pytest.raises(UserError, match=rf"radiograph_features\.{lost}.*Reinstall xraysr"):
        RadiographFeatures.shipped(copy)


def test_a_card_that_is_none(copy):
    card_of(copy).write_text("{}")
    with pytest.raises(UserError, match=r"its card radiograph_features.json"):
        RadiographFeatures.shipped(copy)


@pytest.mark.parametrize("content", ["other", "text"])
def test_weights_of_another_version(copy, content):
    if content == "other":
        other = SRResNet.for_pair("8:16", depth=1, width=8)
        save_weights(other, copy)
    else:
        copy.write_text("not weights")
    with pytest.raises(UserError, match=r"(another network|are damaged).*Reinstall xraysr"):
        RadiographFeatures.shipped(copy)
