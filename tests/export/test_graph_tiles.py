"""Tiles in a graph: the same image as without them, and no run sees more than a tile."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from xraysr.export.graph_tiles import in_tiles
from xraysr.models.open import load_generator

SIZES = [(1, 1), (4, 50), (16, 16), (17, 22), (22, 23), (40, 33), (54, 9)]


def blur(radius: int):
    """Repeats pixels twice after a mean over `2 radius + 1`, edges padded with zeros."""

    def run(batch: tf.Tensor) -> tf.Tensor:
        size = 2 * radius + 1
        kernel = tf.fill((size, size, 1, 1), 1 / size**2)
        mean = tf.nn.conv2d(batch, kernel, 1, "SAME")
        return tf.repeat(tf.repeat(mean, 2, axis=1), 2, axis=2)

    return run


@pytest.mark.parametrize("size", SIZES)
def test_an_overlap_of_the_radius_changes_nothing(size):
    image = np.random.default_rng(0).random((1, *size, 1), dtype=np.float32)
    run = blur(3)
    tiled = tf.function(in_tiles(run, 2, 3, step=16))
    np.testing.assert_allclose(tiled(image), run(image), atol=1e-6)


def test_a_smaller_overlap_shows():
    image = np.random.default_rng(0).random((1, 40, 40, 1), dtype=np.float32)
    run = blur(3)
    assert np.abs(in_tiles(run, 2, 1, step=16)(image) - run(image)).max() > 0.01


@pytest.mark.parametrize("size", SIZES)
def test_what_runs_sees_a_tile_at_a_time(size):
    seen = []

    def run(batch: tf.Tensor) -> tf.Tensor:
        seen.append(batch.shape[1:3].as_list())
        return batch

    in_tiles(run, 1, 3, step=16)(tf.zeros((1, *size, 1)))
    assert np.max(seen) <= 16 + 2 * 3
    # No tile but what is needed: the first takes 19 pixels of a side, the last its rest.
    assert len(seen) == np.prod([max(1, -(-(side - 6) // 16)) for side in size])


def test_a_generator_gives_the_same_image_in_tiles(trained):
    generator = load_generator(trained["keras"])
    tiled = in_tiles(generator.call, generator.scale, generator.receptive_radius, step=8)
    image = np.random.default_rng(1).random((1, 43, 30, 1), dtype=np.float32)
    np.testing.assert_allclose(tiled(image), generator(image), atol=1e-5)
