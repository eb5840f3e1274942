"""Maps find what was planted, in numbers that can be checked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from xraysr.errors import UserError
from xraysr.lanczos import resize
from xraysr.phantom.film import make_phantom
from xraysr.upscale.maps import added_detail, numbers, overlay, to_16_bit, write_maps


@pytest.fixture(scope="module")
def smooth() -> np.ndarray:
    """A film as interpolation gives it: nothing is added."""
    hr = 0.1 + 0.8 * make_phantom(0, 256).pixels / 4095
    return resize(resize(hr, (64, 64)), (256, 256)).astype(np.float32)


def test_added_detail_finds_a_planted_patch(smooth):
    assert numbers(added_detail(smooth, 4), 8)["p99"] < 0.5
    planted = smooth.copy()
    checks = (-1.0) ** np.add.outer(np.arange(12), np.arange(12))
    planted[200:212, 40:52] += 0.1 * checks
    found = added_detail(planted, 4)
    assert found.dtype == np.float32
    worst = numbers(found, 8)["worst"]
    assert 200 <= worst["row"] < 212 and 40 <= worst["column"] < 52
    assert worst["value"] == pytest.approx(25.5, abs=3)
    outside = np.abs(found)
    outside[180:232, 20:72] = 0
    assert outside.max() < 1 / 255


def test_what_the_lr_image_holds_is_not_added(smooth):
    """A nodule as wide as several LR pixels is in the scan, not in the map."""
    rows, columns = np.mgrid[:256, :256]
    nodule = 0.1 * np.exp(-((rows - 100) ** 2 + (columns - 150) ** 2) / (2 * 12**2))
    found = added_detail((smooth + nodule).astype(np.float32), 4)
    assert np.abs(found - added_detail(smooth, 4)).max() < 0.3 / 255


def test_three_numbers_by_hand():
    values = np.zeros((10, 20), np.float32)
    values[7, 3] = -0.5
    values[2, 4] = 0.25
    found = numbers(values, 8)
    assert found["mean"] == pytest.approx(255 * 0.75 / 200)
    assert found["p99"] == pytest.approx(255 * np.percentile(np.abs(values), 99))
    assert found["worst"] == {"value": pytest.approx(127.5), "row": 7, "column": 3}
    assert numbers(values, 12)["worst"]["value"] == pytest.approx(2047.5)
    json.dumps(found)


def test_16_bit_can_be_read_back_in_grey_levels(tmp_path, smooth):
    values = np.linspace(-1, 1, smooth.size, dtype=np.float32).reshape(smooth.shape)
    found = write_maps(tmp_path / "film", smooth, {"added": values}, 10)["added"]
    with Image.open(tmp_path / "film.added.png") as file:
        stored = np.array(file)
    assert stored.dtype == np.uint16 and stored.shape == smooth.shape
    levels = (stored.astype(float) - found["offset"]) / found["units_per_level"]
    assert np.abs(levels - 1023 * values).max() <= 0.51 / found["units_per_level"]


def test_zero_is_the_offset_and_excess_is_cut():
    np.testing.assert_array_equal(
        to_16_bit(np.array([0.0, 1.0, -1.0, 3.0, -3.0])), [32768, 65535, 1, 65535, 1]
    )


@pytest.mark.parametrize("size", [(30, 40), (200, 300), (64, 1025)])
def test_an_overlay_is_the_film_where_the_map_is_empty(size):
    film = np.random.default_rng(0).random(size, dtype=np.float32)
    values = np.zeros(size, np.float32)
    values[10:20, 5:15] = -1.0
    picture = overlay(film, values, 8)
    assert picture.dtype == np.uint8 and picture.shape[1:] == (size[1], 3)
    assert picture.shape[0] > size[0], "the legend"
    grey = np.round(255 * film).astype(np.uint8)
    outside = values == 0
    for channel in range(3):
        np.testing.assert_array_equal(picture[: size[0], :, channel][outside], grey[outside])
    red, green, blue = picture[10:20, 5:15].reshape(-1, 3).astype(int).T
    assert (red - blue).min() > 100 and (green - blue).min() > 80


def luminance(colour: np.ndarray) -> np.ndarray:
    """Relative, of sRGB."""
    linear = (colour / 255.0) ** 2.2
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def test_colour_grows_with_strength_and_is_told_by_the_colour_blind():
    """Blue against yellow, which all but a few of them see, parts it from grey of any kind."""
    strength = np.linspace(0, 1 / 16, 64, dtype=np.float32)[None]
    for grey in (0.0, 0.5, 1.0):
        colours = overlay(np.full_like(strength, grey), strength, 8)[0].astype(float)
        yellow = (colours[:, 0] + colours[:, 1]) / 2 - colours[:, 2]
        assert (np.diff(yellow) >= -1).all() and yellow[-1] > 120
    dark = luminance(overlay(np.zeros_like(strength), strength, 8)[0].astype(float))
    assert (np.diff(dark) >= 0).all()


def test_full_colour_is_the_same_strength_on_every_film():
    film = np.full((4, 600), 0.5, np.float32)
    for value in (1 / 16, 0.5):
        picture = overlay(film, np.full_like(film, value), 8)
        np.testing.assert_array_equal(picture[0, 0], overlay(film, film, 8)[0, 0])
    half = overlay(film, np.full_like(film, 1 / 32), 8)
    assert (half[0, 0] != picture[0, 0]).any()


def test_the_legend_runs_from_nothing_to_full_colour():
    film = np.full((4, 600), 0.5, np.float32)
    bar = overlay(film, film, 8)[4 + 10].astype(int)
    full = overlay(film, film, 8)[0, 0].astype(int)
    coloured = np.ptp(bar, axis=1)
    assert coloured.max() == np.ptp(full)
    start, end = np.flatnonzero(coloured > 2)[[0, -1]]
    assert end - start > 300
    np.testing.assert_array_equal(bar[end], full)


def test_files_are_written_whole_and_nothing_is_replaced(tmp_path, smooth):
    stem = tmp_path / "out" / "film.dcm"
    maps = {"added": added_detail(smooth, 4), "uncertainty": 0.01 * smooth}
    found = write_maps(stem, smooth, maps, 8)
    names = [name for each in found.values() for name in each["files"]]
    assert sorted(names) == sorted(path.name for path in stem.parent.iterdir())
    assert names[0] == "film.dcm.added.png" and len(names) == 4
    assert {name: each["mean"] for name, each in found.items()} == {
        name: numbers(values, 8)["mean"] for name, values in maps.items()
    }
    before = (stem.parent / names[0]).read_bytes()
    (stem.parent / names[3]).unlink()
    with pytest.raises(UserError, match="exists"):
        write_maps(stem, smooth, maps, 8)
    assert not (stem.parent / names[3]).exists()
    write_maps(stem, 1 - smooth, {"added": -maps["added"]}, 8, overwrite=True)
    assert (stem.parent / names[0]).read_bytes() != before
