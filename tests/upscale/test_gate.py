"""The gate: what it measures against known truth, and what it finds on real films kept apart."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from xraysr.degradation import Degradation, degrade_with
from xraysr.films.index import index_films
from xraysr.io import read
from xraysr.lanczos import resize
from xraysr.phantom.film import make_phantom
from xraysr.upscale.gate import (
    JPEG_SHARE,
    features,
    jpeg_zeros,
    judge,
    read_fits,
    thumbnail,
    unlike,
)


@pytest.fixture(scope="module")
def phantom() -> np.ndarray:
    return (make_phantom(3, 256).pixels / 4095).astype(np.float32)


def lr_of(hr: np.ndarray, degradation: Degradation, scale: int = 4) -> np.ndarray:
    size = hr.shape[0] // scale, hr.shape[1] // scale
    return degrade_with(degradation, hr, size, 8).astype(np.float32)


def codes(pixels: np.ndarray) -> set[str]:
    judgement = judge(pixels)
    assert judgement is not None
    return {each.code for each in judgement.findings}


@pytest.mark.parametrize("sigma", [0.01, 0.05])
def test_white_noise_has_its_variance_in_every_band(sigma):
    noise = np.random.default_rng(0).normal(0.5, sigma, (256, 256)).astype(np.float32)
    found = features(noise)
    assert found is not None and found.shape == (32,)
    np.testing.assert_allclose(found[24:], 2 * np.log10(sigma), atol=0.05)
    assert (np.diff(found.reshape(4, 8)[:3], axis=0) > 0).all()  # deciles rise


def test_a_blur_takes_from_the_bands_what_its_mtf_says(phantom):
    """A Gaussian of 0.8 pixels leaves exp(-(2 pi 0.8 f)^2) of the power at f cycles a pixel."""
    rng = np.random.default_rng(0)
    white = np.clip(rng.normal(0.5, 0.1, (1024, 1024)), 0, 1).astype(np.float32)
    sharp, soft = (
        features(Degradation("point", blur=blur)(white, (1024, 1024))) for blur in (0.0, 0.8)
    )
    frequency = np.arange(2, 6) / 16
    expected = -((2 * np.pi * 0.8 * frequency) ** 2) / np.log(10)
    np.testing.assert_allclose((soft - sharp)[24:28], expected, atol=0.2)


@pytest.mark.parametrize("pixels", [np.zeros((300, 300)), np.full((31, 400), 0.5)])
def test_nothing_is_said_of_what_is_flat_or_small(pixels):
    assert features(pixels.astype(np.float32)) is None
    assert judge(pixels.astype(np.float32)) is None


@pytest.mark.parametrize("shift", [(0, 0), (3, 5)])
def test_jpeg_is_found_by_its_grid_wherever_that_lies(phantom, shift):
    file = io.BytesIO()
    Image.fromarray(np.round(255 * phantom).astype(np.uint8)).save(file, "JPEG", quality=60)
    decoded = np.asarray(Image.open(file), np.float32) / 255
    assert jpeg_zeros(decoded[shift[0] :, shift[1] :]) > JPEG_SHARE
    assert jpeg_zeros(phantom) < JPEG_SHARE


def test_a_thumbnail_has_mean_0_and_deviation_1_whatever_the_contrast(phantom):
    view = thumbnail(phantom)
    assert abs(view.mean()) < 1e-9 and view.std() == pytest.approx(1)
    np.testing.assert_allclose(thumbnail(0.2 + 0.3 * phantom), view, atol=1e-4)
    np.testing.assert_allclose(thumbnail(1 - phantom), -view, atol=1e-4)


def test_what_is_unlike_is_what_the_components_leave():
    rng = np.random.default_rng(0)
    components = np.linalg.qr(rng.normal(size=(256, 5)))[0].T
    chest = {"mean": rng.normal(size=256), "components": components}
    inside = chest["mean"] + rng.normal(size=5) @ components
    away = rng.normal(size=256)
    away -= components.T @ (components @ away)
    assert unlike(inside, chest) < 1e-12
    assert unlike(inside + away, chest) == pytest.approx(np.sqrt(np.mean(away**2)))


def test_headroom_falls_as_noise_rises_and_the_expected_gain_with_it(phantom):
    clean, some, much = (
        judge(lr_of(phantom, Degradation(noise=noise))) for noise in (0.0, 0.01, 0.03)
    )
    assert clean.headroom > some.headroom + 3 > much.headroom + 6
    assert clean.gain > some.gain >= much.gain
    assert some.noise == pytest.approx(0.01, rel=0.4) and much.noise == pytest.approx(0.03, rel=0.4)


def test_what_is_expected_never_falls_with_headroom():
    knots = read_fits()["gain"]
    assert (np.diff(knots[:, 0]) > 0).all() and (np.diff(knots[:, 1]) >= 0).all()


def real(shared_data, count: int) -> list[np.ndarray]:
    films = index_films(shared_data / "nih_chest_xray").require("test")
    return [read(film.path).pixels for film in films[:: max(1, len(films) // count)]]


FOUND = {
    "noise": Degradation(noise=0.015),
    "jpeg": Degradation(jpeg=60),
    "blur": Degradation(blur=0.6),
}


def test_real_films_kept_apart(shared_data):
    """The counts of the docs, on a sample: false alarms, and what is found."""
    films = [
        resize(film, (256, 256)).clip(0, 1).astype(np.float32) for film in real(shared_data, 24)
    ]
    said = [codes(lr_of(film, Degradation())) - {"detector-limited"} for film in films]
    assert sum(map(bool, said)) <= 1
    for code, degradation in FOUND.items():
        wanted = {code, "enlarged-before"} if code == "blur" else {code}
        found = [bool(codes(lr_of(film, degradation)) & wanted) for film in films]
        assert np.mean(found) >= 0.95, code
    inverted = [codes(lr_of(1 - film, Degradation())) for film in films]
    assert np.mean(["inverted" in each for each in inverted]) >= 0.95


def test_films_that_show_something_else_are_named(shared_data):
    rng = np.random.default_rng(0)
    clouds = resize(rng.random((6, 6)), (96, 96)).clip(0, 1)
    clouds = (0.9 * clouds + 0.1 * rng.random((96, 96))).astype(np.float32)
    assert "unlike-training" in codes(clouds)
