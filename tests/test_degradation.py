"""Degradations against what they are in a formula, and windows against whole films."""

from __future__ import annotations

import io
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

from xraysr.cli.options import DegradationOption
from xraysr.degradation import (
    AS_FOUND,
    DEFAULT,
    LANCZOS,
    LATITUDE,
    NAMED,
    ROBUST,
    Degradation,
    Mixture,
    crop_pair,
    degradation_key,
    degradation_name,
    degrade_with,
    named,
    rng_at,
)
from xraysr.errors import UserError
from xraysr.lanczos import degrade, round_to_bits
from xraysr.phantom.film import make_phantom
from xraysr.training.config import TrainConfig

BITS = 16


@pytest.fixture(scope="module")
def hr() -> np.ndarray:
    return (make_phantom(0, 128).pixels / 4095).astype(np.float32)


def made(degradation: Degradation | Mixture, hr: np.ndarray, scale: int = 4, seed: int = 0):
    size = (hr.shape[0] // scale, hr.shape[1] // scale)
    return round_to_bits(degradation(hr, size, rng_at(0, seed)), BITS)


def blocks(hr: np.ndarray, scale: int) -> np.ndarray:
    height, width = (side // scale for side in hr.shape)
    return hr.reshape(height, scale, width, scale).swapaxes(1, 2)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_the_default_is_the_lanczos_of_the_pairs(hr, scale):
    side = 128 // scale * scale
    hr = hr[:side, :side]
    np.testing.assert_allclose(
        made(LANCZOS, hr, scale), degrade(hr, (side // scale,) * 2, BITS), atol=2 / 65535
    )


@pytest.mark.parametrize("scale", [2, 3, 4, 5])
def test_a_full_box_is_the_mean_over_the_pixel_and_a_point_its_middle(hr, scale):
    side = 128 // scale * scale
    parts = blocks(hr[:side, :side], scale)
    box = made(Degradation("box"), hr[:side, :side], scale)
    np.testing.assert_allclose(box, parts.mean(axis=(2, 3)), atol=1 / 65535)
    middle = slice((scale - 1) // 2, scale // 2 + 1)
    point = made(Degradation("point"), hr[:side, :side], scale)
    np.testing.assert_allclose(point, parts[:, :, middle, middle].mean(axis=(2, 3)), atol=1 / 65535)


def test_a_box_of_fill_a_half_is_the_mean_of_the_middle_half(hr):
    half = made(Degradation("box", fill=0.5), hr)
    np.testing.assert_allclose(half, made(Degradation("point"), hr), atol=1 / 65535)


def test_bicubic_is_that_of_pillow(hr):
    picture = Image.fromarray(hr).resize((32, 32), Image.Resampling.BICUBIC)
    expected = np.clip(np.asarray(picture), 0, 1)
    np.testing.assert_allclose(made(Degradation("bicubic"), hr), expected, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_blur_has_the_deviation_it_says(sigma):
    squares = []
    for column in range(128, 132):  # at every place within an LR pixel
        line = np.zeros((256, 256), np.float32)
        line[:, column] = 1.0
        spread = made(Degradation("box", blur=sigma), line).mean(axis=0)
        away = np.arange(64) + 0.5 - (column + 0.5) / 4
        squares.append((spread * away**2).sum() / spread.sum())
    # A box of n points, n to the pixel, has the variance (1 - 1 / n**2) / 12.
    assert np.mean(squares) == pytest.approx(sigma**2 + (1 - 1 / 16) / 12, rel=0.01)


def test_a_table_of_the_gaussian_mtf_is_the_gaussian(hr):
    frequencies = np.linspace(0, 2, 60)
    table = tuple((f, float(np.exp(-2 * (np.pi * f * 0.4) ** 2))) for f in frequencies)
    np.testing.assert_allclose(
        made(Degradation(mtf=table), hr), made(Degradation(blur=0.4), hr), atol=0.01
    )


@pytest.mark.parametrize("grey", [0.2, 0.5, 0.8])
def test_quantum_noise_grows_behind_bone_as_exposure_falls(grey):
    flat = np.full((512, 512), grey, np.float32)
    noisy = made(Degradation(quanta=0.01), flat)
    assert noisy.std() == pytest.approx(0.01 * np.exp(LATITUDE * (grey - 0.5) / 2), rel=0.05)
    assert noisy.mean() == pytest.approx(grey, abs=1e-3)


def test_noise_scatter_and_grid(hr):
    flat = np.full((256, 256), 0.5, np.float32)
    assert made(Degradation(noise=0.02), flat).std() == pytest.approx(0.02, rel=0.05)
    assert made(Degradation(scatter=0.5), hr).std() < 0.8 * made(LANCZOS, hr).std()
    lines = made(Degradation(grid=0.1, grid_period=4.0), flat)
    power = np.abs(np.fft.rfft(lines.mean(axis=0) - lines.mean()))
    assert np.argmax(power) == 64 // 4


def test_jpeg_is_that_of_pillow(hr):
    file = io.BytesIO()
    lr = LANCZOS(hr, (32, 32))
    Image.fromarray(np.round(255 * lr).astype(np.uint8)).save(file, "JPEG", quality=50)
    expected = np.asarray(Image.open(file)) / 255
    np.testing.assert_allclose(made(Degradation(jpeg=50), hr), expected, atol=1e-6)
    error = made(Degradation(jpeg2000=40), hr) - made(LANCZOS, hr)
    assert -10 * np.log10(np.mean(error**2)) == pytest.approx(40, abs=3)


@pytest.mark.parametrize("bits", [6, 8, 12])
def test_a_file_of_few_bits_rounds_after_the_noise_and_before_jpeg(hr, bits):
    levels = 2**bits - 1
    noisy = Degradation(noise=0.02)(hr, (32, 32), rng_at(0, 0))
    rounded = Degradation(noise=0.02, bits=bits)(hr, (32, 32), rng_at(0, 0))
    np.testing.assert_allclose(rounded, np.round(levels * noisy) / levels, atol=1e-6)
    file = io.BytesIO()
    rounded = np.round(LANCZOS(hr, (32, 32)) * levels) / levels
    Image.fromarray(np.round(255 * rounded).astype(np.uint8)).save(file, "JPEG", quality=90)
    expected = np.asarray(Image.open(file)) / 255
    np.testing.assert_allclose(made(Degradation(bits=bits, jpeg=90), hr), expected, atol=1e-6)


def test_a_range_of_bits_draws_whole_ones(hr):
    away = []  # from the levels of 5, 6 and 7 bits
    for seed in range(20):
        lr = made(Degradation(bits=(5, 7)), hr, seed=seed)
        away.append([np.abs(n * lr - np.round(n * lr)).max() for n in (31, 63, 127)])
    assert np.min(away, axis=1).max() < 0.01
    assert set(np.argmin(away, axis=1)) == {0, 1, 2}


@pytest.mark.parametrize("degradation", [NAMED["lanczos"], Degradation("box", blur=(0.2, 1.0))])
@pytest.mark.parametrize("window", [(0, 0, 8, 8), (13, 20, 10, 12), (24, 20, 8, 12)])
def test_a_window_is_cut_out_of_the_whole(hr, degradation, window):
    stored = np.round(255 * hr).astype(np.uint8)
    whole = round_to_bits(degradation((stored / 255).astype("f4"), (32, 32), rng_at(3, 5)), 8)
    top, left, height, width = window
    part, film = crop_pair(degradation, stored, window, 4, 8, rng_at(3, 5))
    np.testing.assert_array_equal(
        part, np.round(255 * whole[top : top + height, left : left + width])
    )
    rows, columns = (slice(4 * a, 4 * (a + n)) for a, n in zip(window[:2], window[2:], strict=True))
    np.testing.assert_array_equal(film, stored[rows, columns])


def test_a_third_of_the_crops_are_as_films_at_a_finer_sampling():
    """What was enlarged by f has nothing beyond 1 / f of the sharpest detail but for its noise,
    and its LR image is its own by Lanczos, noise included."""
    film = np.random.default_rng(0).integers(0, 256, (128, 128)).astype(np.uint8)
    finer = Mixture("finer", (Degradation("point"),), finest=4.0)
    sharpest = []
    for place in range(90):
        lr, hr = crop_pair(finer, film, (8, 8, 16, 16), 4, 8, rng_at(0, place))
        if np.array_equal(hr, film[32:96, 32:96]):
            middle = hr.reshape(16, 4, 16, 4)[:, 1:3, :, 1:3].mean(axis=(1, 3))
            np.testing.assert_allclose(lr, middle, atol=1)
            continue
        power = np.abs(np.fft.rfft(hr - hr.mean(), axis=1)) ** 2
        sharpest.append(power[:, 28:].mean() / power.mean())
        own = 255 * degrade(hr / 255, (16, 16), 8)
        np.testing.assert_allclose(lr[4:12, 4:12], own[4:12, 4:12], atol=1.01)
    assert 20 <= len(sharpest) <= 40
    assert np.median(sharpest) < 0.1 < max(sharpest)


def test_a_film_has_the_same_lr_image_wherever_it_stands(hr):
    noisy = Degradation(noise=0.02)
    np.testing.assert_array_equal(noisy(hr, (32, 32)), noisy(hr.copy(), (32, 32)))
    assert np.abs(noisy(hr, (32, 32)) - noisy(hr[::-1], (32, 32))[::-1]).max() > 0.01


def test_what_is_drawn_depends_on_seed_and_position_alone(hr):
    first, again, other = (made(ROBUST, hr, seed=seed) for seed in (7, 7, 9))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    drawn = [Degradation(blur=(0.2, 0.4)).draw(rng_at(0, at)).blur for at in range(200)]
    assert 0.2 <= min(drawn) < 0.21 and 0.39 < max(drawn) <= 0.4
    kinds = {ROBUST.draw(rng_at(0, at)).aperture for at in range(200)}
    assert kinds == {"lanczos", "bicubic", "box", "point"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"aperture": "round"}, "aperture must be lanczos or .*Received: aperture=round"),
        ({"fill": 0}, "fill must be from 0.001 to 1"),
        ({"noise": (0.02, 0.01)}, "noise must be .* or a range within. Received: noise="),
        ({"jpeg": 101}, "jpeg must be from 0 to 100"),
        ({"bits": 17}, "bits must be from 0 to 16"),
        ({"mtf": ((0.1, 1.0), (0.5, 0.5))}, "mtf must be two or more pairs of rising frequency"),
        ({"mtf": ((0, 1),)}, "mtf must be two or more pairs"),
    ],
)
def test_what_cannot_be_is_refused(arguments, said):
    with pytest.raises(UserError, match=said):
        Degradation(**arguments)


def test_names():
    assert named("robust") is ROBUST
    (setting,) = (each for each in fields(TrainConfig) if each.name == "degradation")
    assert setting.metadata["allowed"].choices == tuple(NAMED)
    (option,) = DegradationOption.__metadata__
    assert all(name in option.help for name in NAMED)
    with pytest.raises(UserError, match="degradation must be lanczos, .*Received: fax"):
        named("fax")


def test_words_and_plain_types():
    degradation = Degradation("box", fill=0.8, blur=(0.1, 0.4), bits=10, jpeg=85)
    assert degradation.text == "box of fill 0.8, blur 0.1 to 0.4 px, 10 bits, JPEG 85"
    table = Degradation(mtf=((0, 1), (0.25, 0.8), (0.5, 0.45)), grid=0.1)
    assert table.text == "lanczos, MTF 0.8 at 0.25, 0.45 at 0.5 per px, grid 0.1 of 4 px"
    finer = Mixture("two", (LANCZOS, Degradation(jpeg=85)), finest=4.0)
    assert (
        finer.text
        == "two: one of lanczos; lanczos, JPEG 85; in training, films up to 4 times finer"
    )
    assert LANCZOS.text == "lanczos" and LANCZOS.to_json() == {}
    assert degradation.to_json() == {
        "aperture": "box", "fill": 0.8, "blur": (0.1, 0.4), "bits": 10, "jpeg": 85,
    }  # fmt: skip


def mean_of(hr, lr_size):
    scale = hr.shape[0] // lr_size[0]
    return hr.reshape(lr_size[0], scale, lr_size[1], scale).mean((1, 3))


def first(hr, lr_size):
    return hr[: lr_size[0], : lr_size[1]]


class Blur:
    def __init__(self, sigma: float) -> None:
        self.sigma, self.text = sigma, f"blurred by {sigma}"

    def __call__(self, hr, lr_size):
        return first(hr, lr_size) * self.sigma


def test_what_it_is_called():
    assert degradation_name(None) == DEFAULT != AS_FOUND
    assert degradation_name(mean_of) == "mean_of"
    assert degradation_name(Blur(0.5)) == "blurred by 0.5"


def test_keys_tell_two_apart_by_what_they_do():
    def times(factor):
        return lambda hr, lr_size: first(hr, lr_size) * factor

    assert degradation_key(mean_of) == degradation_key(mean_of)
    keys = [None, mean_of, first, Blur(0.5), Blur(0.6), times(0.5), times(0.6)]
    assert len(set(map(degradation_key, keys))) == len(keys)


def test_lr_is_clipped_and_rounded_as_a_file_would_hold_it():
    hr = np.linspace(-0.1, 1.1, 64, dtype=np.float32).reshape(8, 8)
    lr = degrade_with(mean_of, hr, (4, 4), 8)
    expected = np.clip(mean_of(hr, (4, 4)).astype(np.float64), 0, 1)
    np.testing.assert_array_equal(lr, np.round(expected * 255) / 255)


@pytest.mark.parametrize("wrong", [lambda hr, lr_size: hr, lambda hr, lr_size: hr[:4, :4] * np.nan])
def test_another_shape_or_no_number_is_refused(wrong):
    with pytest.raises(UserError, match=r"finite pixels of shape \(4, 4\)"):
        degrade_with(wrong, np.ones((8, 8), np.float32), (4, 4), 8)
