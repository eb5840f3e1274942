"""Films of any size brought to HR."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xraysr.data.fit import file_bits, fit_to, load_hr, to_stored
from xraysr.errors import BadImageError, UserError
from xraysr.lanczos import resize


def film(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width), dtype=np.float32)


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
def test_a_film_of_hr_size_keeps_its_bits(mode):
    pixels = film(48, 64)
    np.testing.assert_array_equal(fit_to(pixels, (48, 64), mode), pixels)


def test_crop_takes_the_largest_centred_window():
    pixels = film(100, 171)
    expected = np.clip(resize(pixels[:, 35:135], (50, 50)), 0, 1)
    np.testing.assert_allclose(fit_to(pixels, (50, 50), "crop"), expected, atol=2e-6)
    tall = fit_to(pixels.T, (50, 50), "crop")
    np.testing.assert_allclose(tall, expected.T, atol=2e-6)


def test_crop_with_one_side_fitting_already_only_cuts():
    pixels = film(64, 90)
    np.testing.assert_array_equal(fit_to(pixels, (64, 64), "crop"), pixels[:, 13:77])


def test_crop_to_a_size_that_is_not_square():
    pixels = film(120, 120)
    expected = np.clip(resize(pixels[15:105], (48, 64)), 0, 1)
    np.testing.assert_allclose(fit_to(pixels, (48, 64), "crop"), expected, atol=2e-6)


def test_stretch_equals_the_reference_lanczos():
    pixels = film(97, 131)
    expected = np.clip(resize(pixels, (40, 60)), 0, 1)
    np.testing.assert_allclose(fit_to(pixels, (40, 60), "stretch"), expected, atol=2e-6)


def test_pad_keeps_the_whole_film_on_black():
    pixels = film(60, 120)
    fitted = fit_to(pixels, (40, 40), "pad")
    expected = np.clip(resize(pixels, (20, 40)), 0, 1)
    np.testing.assert_allclose(fitted[10:30], expected, atol=2e-6)
    assert not fitted[:10].any() and not fitted[30:].any()


def test_overshoot_is_clipped():
    edges = np.zeros((64, 64), np.float32)
    edges[:, 30:] = 1
    assert resize(edges, (20, 20)).max() > 1.01
    fitted = fit_to(edges, (20, 20))
    assert fitted.dtype == np.float32 and fitted.min() == 0 and fitted.max() == 1


@pytest.mark.parametrize(
    ("shape", "mode"),
    [
        ((200, 180), "crop"),
        ((200, 180), "pad"),
        ((200, 180), "stretch"),
        ((600, 180), "crop"),
        ((600, 180), "stretch"),
        ((1, 1), "crop"),
    ],
)
def test_films_are_never_enlarged(shape, mode):
    with pytest.raises(BadImageError, match=rf"smaller than HR: {shape[0]}x{shape[1]} < 256x256"):
        fit_to(film(*shape), (256, 256), mode)


def test_pad_takes_a_film_that_is_narrow_but_tall():
    assert fit_to(film(600, 180), (256, 256), "pad").shape == (256, 256)


def test_an_unknown_fit_is_refused():
    with pytest.raises(UserError, match=r"fit must be one of crop, pad, stretch.*'zoom'"):
        fit_to(film(8, 8), (8, 8), "zoom")


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    mode=st.sampled_from(["crop", "pad", "stretch"]),
)
def test_any_film_gives_hr_or_a_named_refusal(shape, size, mode):
    try:
        fitted = fit_to(film(*shape), size, mode)
    except BadImageError:
        assert shape[0] < size[0] or shape[1] < size[1]
        return
    assert fitted.shape == size
    assert fitted.dtype == np.float32
    assert fitted.min() >= 0 and fitted.max() <= 1


def test_load_hr_8_bit(tmp_path):
    stored = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    Image.fromarray(stored).save(tmp_path / "a.png")
    hr, bits = load_hr(tmp_path / "a.png", (8, 8))
    assert bits == 8 and hr.dtype == np.uint8
    np.testing.assert_array_equal(hr, stored)


def test_load_hr_16_bit(tmp_path):
    stored = (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1021) + 3
    Image.fromarray(stored).save(tmp_path / "a.png")
    hr, bits = load_hr(tmp_path / "a.png", (8, 8))
    assert bits == 16 and hr.dtype == np.uint16
    np.testing.assert_array_equal(hr, stored)


def test_load_hr_rounds_what_it_reduced(tmp_path):
    stored = (film(40, 52) * 255).astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.png")
    hr, _ = load_hr(tmp_path / "a.png", (16, 16))
    expected = np.clip(resize(stored[:, 6:46] / 255, (16, 16)), 0, 1) * 255
    assert np.abs(hr - expected).max() <= 0.5 + 1e-3


def test_load_hr_of_a_10_bit_dicom_loses_nothing(shared_data):
    from xraysr.io import read

    path = shared_data / "dicom" / "RG3_J2KR.dcm"
    original = read(path)
    assert original.bits == 10
    hr, bits = load_hr(path, original.size)
    assert bits == 16 and hr.dtype == np.uint16
    np.testing.assert_array_equal(np.round(hr / 65535 * 1023), original.stored())


def test_stored_integers():
    assert [file_bits(n) for n in (1, 8, 9, 12, 16)] == [8, 8, 16, 16, 16]
    assert to_stored(np.array([[0.0, 0.5, 1.0]]), 8).tolist() == [[0, 128, 255]]
    assert to_stored(np.array([[1.0]]), 16).dtype == np.uint16
