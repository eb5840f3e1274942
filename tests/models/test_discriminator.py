"""The discriminators: SRGAN's own table, and a patch that sees just what it says."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from xraysr.models import Discriminator, PatchDiscriminator


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def halvings(model) -> int:
    return sum(layer.strides == 2 for layer in model.stages)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((16, 16), 1),
        ((64, 64), 3),
        ((96, 96), 4),  # as published
        ((128, 128), 4),
        ((256, 256), 5),
        ((512, 512), 6),
        ((48, 96), 3),
        ((192, 144), 5),
    ],
)
def test_halvings_follow_from_the_hr_size(size, expected):
    model = Discriminator(size, filters=2, dense_units=2)
    assert halvings(model) == expected
    shape = (None, *size, 1)
    for stage in model.stages:
        shape = stage.compute_output_shape(shape)
    assert 4 <= min(shape[1:3]) <= 8
    assert model(noise(2, *size, 1)).shape == (2, 1)


def test_parameters_equal_the_published_table():
    """k3n64s1 without normalisation, then k3n64s2 to k3n512s2 with it; 1024 and 1 units."""
    widths = np.array([64, 64, 128, 128, 256, 256, 512, 512])
    inputs = np.array([1, *widths[:-1]])
    convolutions = (9 * inputs * widths).sum()
    normalisations = (4 * widths[1:]).sum()  # scale, offset, mean and variance
    side = 96 // 2**4
    dense = (side**2 * 512 + 1) * 1024 + (1024 + 1)
    model = Discriminator((96, 96))
    model.build()
    assert model.count_params() == convolutions + widths[0] + normalisations + dense
    assert [stage.filters for stage in model.stages] == widths.tolist()
    assert [stage.strides for stage in model.stages] == [1, 2] * 4


def test_channels_stop_growing_at_eight_times_the_first():
    widths = [stage.filters for stage in Discriminator((512, 512), filters=2).stages]
    assert widths == [2, 2, 4, 4, 8, 8, 16, 16, 16, 16, 16, 16]


def test_verdicts_are_unbounded_logits_of_their_own_image(perturb):
    model = Discriminator((32, 48), filters=8, dense_units=16)
    model.build()
    perturb(model, scale=0.3)
    images = noise(3, 32, 48, 1)
    logits = np.asarray(model(images))
    assert logits.dtype == np.float32
    assert logits.min() < 0 or logits.max() > 1
    assert len(np.unique(logits)) == 3
    np.testing.assert_allclose(model(images[1:2]), logits[1:2], rtol=1e-4)


@pytest.mark.parametrize("make", [lambda: Discriminator((32, 32), 8, 16), PatchDiscriminator])
def test_moving_statistics_change_in_training_only(make):
    model = make()
    model.build((None, 32, 32, 1))
    moving = [weight for weight in model.weights if "moving" in weight.path]
    before = [np.asarray(weight) for weight in moving]
    assert moving
    images = noise(4, 32, 32, 1)
    model(images)
    assert all(map(np.array_equal, before, moving))
    model(images, training=True)
    assert not any(map(np.array_equal, before, moving))


def test_every_weight_of_both_is_trained():
    for model in (Discriminator((32, 32), 4, 8), PatchDiscriminator(2, 4)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(noise(2, 32, 32, 1), training=True) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        assert all(gradient is not None for gradient in gradients)


@pytest.mark.parametrize("size", [(15, 64), (64, 8)])
def test_an_image_too_small_to_judge(size):
    with pytest.raises(ValueError, match=rf"16 pixels. Received: size=\({size[0]}, {size[1]}\)"):
        Discriminator(size)


@pytest.mark.parametrize(("stages", "patch"), [(1, 9), (2, 21), (3, 45)])
def test_a_verdict_sees_its_patch_and_nothing_else(stages, patch, perturb):
    model = PatchDiscriminator(stages, filters=4)
    model.build()
    perturb(model, scale=0.3)
    assert model.patch == patch
    # Sides that no halving rounds, and a verdict whose patch lies inside.
    images = tf.Variable(noise(1, 96, 96, 1))
    place = 96 // 2**stages // 2
    with tf.GradientTape() as tape:
        verdict = model(images)[0, place, place, 0]
    seen = np.argwhere(np.asarray(tape.gradient(verdict, images))[0, ..., 0] != 0)
    (top, left), (bottom, right) = seen.min(axis=0), seen.max(axis=0)
    assert (bottom - top + 1, right - left + 1) == (patch, patch)

    def judge(image) -> float:
        return float(model(image)[0, place, place, 0])

    outside = noise(1, 96, 96, 1, seed=9)
    outside[:, top : bottom + 1, left : right + 1] = images[:, top : bottom + 1, left : right + 1]
    assert judge(outside) == judge(images)
    corner = images.numpy()
    corner[0, top, left, 0] += 100
    assert judge(corner) != judge(images)


@pytest.mark.parametrize("size", [(32, 48), (33, 50), (8, 8)])
def test_patches_cover_images_of_any_size(size):
    model = PatchDiscriminator(3, 4)
    expected = (2, -(-size[0] // 8), -(-size[1] // 8), 1)
    assert model(noise(2, *size, 1)).shape == expected
    assert model.compute_output_shape((2, *size, 1)) == expected


def test_a_patch_discriminator_needs_a_stage():
    with pytest.raises(ValueError, match="stages >= 1. Received: stages=0"):
        PatchDiscriminator(0)


@pytest.mark.parametrize(
    "model", [Discriminator((32, 48), 4, 8, name="d"), PatchDiscriminator(2, 4)]
)
def test_config_makes_the_same_architecture(model):
    twin = type(model).from_config(model.get_config())
    images = noise(2, 32, 48, 1)
    model(images), twin(images)
    assert twin.get_config() == model.get_config()
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin(images), model(images))
