"""Tiles: every pixel once, fading without a seam, and the same image as without them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xraysr.errors import UserError
from xraysr.upscale import Upscaler, load
from xraysr.upscale.tiles import BLEND, least_tile, run_strips, windows


@given(st.integers(1, 400), st.integers(0, 30), st.integers(1, 3), st.data())
def test_windows_see_beyond_what_they_give_and_add_up_to_one(side, radius, scale, data):
    tile = data.draw(st.integers(least_tile(radius), least_tile(radius) + 100))
    cut = windows(side, tile, radius)
    length = cut[0].stop
    assert length <= min(tile, side)
    total = np.zeros(side * scale)
    for window in cut:
        assert window.start >= 0 and window.stop == window.start + length <= side
        # Beyond the first and the last pixel taken lie `radius` pixels, or the image ends.
        assert window.start == 0 or window.first - window.start >= radius
        assert window.stop == side or window.stop - window.last >= radius
        weights = window.weights(scale)
        assert weights.min() > 0
        total[window.first * scale : window.last * scale] += weights
    np.testing.assert_allclose(total, 1, atol=1e-5)


def blur(radius: int):
    """Repeats pixels twice after a mean over `2 radius + 1`, edges padded with zeros."""

    def run(batch: np.ndarray) -> np.ndarray:
        padded = np.pad(batch, ((0, 0), (radius, radius), (radius, radius), (0, 0)))
        size = 2 * radius + 1
        views = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
        return views.mean((-1, -2)).repeat(2, 1).repeat(2, 2).astype(np.float32)

    return run


def in_tiles(run, images: np.ndarray, tile: int, radius: int, batch: int = 1) -> np.ndarray:
    return np.concatenate(list(run_strips(run, images, 2, tile, radius, batch)), axis=1)


@pytest.mark.parametrize("shape", [(1, 60, 49, 1), (2, 9, 90, 1), (1, 1, 100, 1), (1, 30, 30, 1)])
@pytest.mark.parametrize("batch", [1, 2, 50])
def test_an_overlap_of_the_radius_changes_nothing(shape, batch):
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    run = blur(3)
    result = in_tiles(run, images, 30, 3, batch)
    np.testing.assert_allclose(result, run(images), atol=1e-6)
    if max(shape[1:3]) > 30:
        assert np.abs(in_tiles(run, images, 30, 0, batch) - run(images)).max() > 1e-4


def test_tiles_that_disagree_fade_into_each_other():
    """Each tile gets a level of its own; where they meet there is a ramp and no step."""
    levels = iter(np.linspace(0, 1, 5, dtype=np.float32))

    def run(batch: np.ndarray) -> np.ndarray:
        return np.full((len(batch), 2, batch.shape[2] * 2, 1), next(levels))

    row = in_tiles(run, np.zeros((1, 1, 60, 1), np.float32), 24, 2)[0, 0, :, 0]
    assert row[0] == 0 and row[-1] > 0.3
    step = 0.25 / (2 * BLEND * 2)
    assert np.diff(row).max() == pytest.approx(step, rel=1e-3)
    assert np.diff(row).min() >= -1e-7


def test_a_generator_gives_the_same_image_in_tiles(trained):
    whole = load(trained["keras"])
    tile = least_tile(whole.spec.receptive_radius) + 4
    image = np.random.default_rng(1).random((tile + 9, 2 * tile), dtype=np.float32)
    for batch in (1, 3):
        tiled = Upscaler(whole.runtime, tile=tile, batch=batch)
        np.testing.assert_allclose(tiled(image), whole(image), atol=1e-5)
        strips = list(tiled.strips(image))
        assert len(strips) >= 2
        np.testing.assert_allclose(np.concatenate(strips), whole(image), atol=1e-5)


def test_what_runs_never_sees_more_than_a_tile(repeat):
    runtime = repeat()
    upscaler = Upscaler(runtime, tile=26)
    image = np.random.default_rng(2).random((40, 5), dtype=np.float32)
    np.testing.assert_allclose(upscaler(image), image.repeat(3, 0).repeat(3, 1), atol=1e-6)
    (shape,) = {seen.shape for seen in runtime.seen}
    assert shape[1] <= 26 and shape[2] == 5 and len(runtime.seen) == 2


def test_large_images_go_in_tiles_by_themselves(repeat):
    runtime = repeat(2)
    Upscaler(runtime)(np.zeros((3, 600), np.float32))
    (shape,) = {seen.shape for seen in runtime.seen}
    assert len(runtime.seen) == 2 and 300 < shape[2] < 310  # two that meet, and not 512 twice


def test_a_tile_from_which_nothing_can_be_taken_is_refused(repeat):
    least = least_tile(1)
    with pytest.raises(UserError, match=f"at least {least} LR pixels.*Received: {least - 1}"):
        Upscaler(repeat(), tile=least - 1)
    Upscaler(repeat(), tile=least)
    with pytest.raises(UserError, match="batch must be at least 1"):
        Upscaler(repeat(), batch=0)


def test_a_model_of_another_scale_is_named_in_tiles_too(repeat):
    upscaler = Upscaler(repeat(scale=3, factor=2), tile=26)
    with pytest.raises(UserError, match="does not fit its card: expected x3"):
        upscaler(np.zeros((20, 20), np.float32))


def test_strips_are_of_one_image(repeat):
    with pytest.raises(UserError, match=r"strips takes one image.*Received: \(2, 8, 8, 1\)"):
        next(Upscaler(repeat()).strips(np.zeros((2, 8, 8, 1), np.float32)))
