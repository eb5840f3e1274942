"""Tiles: every pixel once, and the same image as without them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xraysr.errors import UserError
from xraysr.upscale import Upscaler, load
from xraysr.upscale.tiles import run_tiled, windows


@given(st.integers(1, 400), st.integers(0, 30), st.data())
def test_windows_meet_and_see_beyond_what_they_give(side, overlap, data):
    tile = data.draw(st.integers(2 * overlap + 1, 2 * overlap + 100))
    cut = windows(side, tile, overlap)
    length = min(tile, side)
    assert [first for _, first, _ in cut] == [0, *(last for _, _, last in cut[:-1])]
    assert cut[-1][2] == side
    for start, first, last in cut:
        assert start >= 0 and start + length <= side
        assert first < last
        # Beyond the first and the last pixel taken lie `overlap` pixels, or the image ends.
        assert start == 0 or first - start >= overlap
        assert start + length == side or start + length - last >= overlap


def blur(radius: int):
    """Repeats pixels twice after a mean over `2 radius + 1`, edges padded with zeros."""

    def run(batch: np.ndarray) -> np.ndarray:
        padded = np.pad(batch, ((0, 0), (radius, radius), (radius, radius), (0, 0)))
        size = 2 * radius + 1
        views = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
        return views.mean((-1, -2)).repeat(2, 1).repeat(2, 2).astype(np.float32)

    return run


@pytest.mark.parametrize("shape", [(1, 40, 33, 1), (2, 9, 64, 1), (1, 1, 100, 1), (1, 17, 17, 1)])
def test_an_overlap_of_the_radius_changes_nothing(shape):
    batch = np.random.default_rng(0).random(shape, dtype=np.float32)
    run = blur(3)
    np.testing.assert_allclose(run_tiled(run, batch, 2, 16, 3), run(batch), atol=1e-6)
    if max(shape[1:3]) > 16:
        assert np.abs(run_tiled(run, batch, 2, 16, 1) - run(batch)).max() > 0.01


def test_a_generator_gives_the_same_image_in_tiles(trained):
    whole = load(trained["keras"])
    radius = whole.spec.receptive_radius
    tiled = Upscaler(whole.runtime, tile=2 * radius + 5)
    image = np.random.default_rng(1).random((3 * radius, 4 * radius), dtype=np.float32)
    np.testing.assert_allclose(tiled(image), whole(image), atol=1e-6)


def test_what_runs_never_sees_more_than_a_tile(repeat):
    runtime = repeat()
    upscaler = Upscaler(runtime, tile=8)
    image = np.random.default_rng(2).random((20, 5), dtype=np.float32)
    np.testing.assert_array_equal(upscaler(image), image.repeat(3, 0).repeat(3, 1))
    assert {seen.shape for seen in runtime.seen} == {(1, 8, 5, 1)}


def test_a_tile_that_shows_nothing_for_sure_is_refused(repeat):
    with pytest.raises(UserError, match="at least 3 LR pixels.*Received: 2"):
        Upscaler(repeat(), tile=2)
    Upscaler(repeat(), tile=3)


def test_a_model_of_another_scale_is_named_in_tiles_too(repeat):
    upscaler = Upscaler(repeat(scale=3, factor=2), tile=8)
    with pytest.raises(UserError, match="does not fit its card: expected x3"):
        upscaler(np.zeros((20, 20), np.float32))
