"""The radial power spectrum against images whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest
from spectrum import power_spectrum, top_octave_ratio

from xraysr.errors import UserError
from xraysr.evaluation.evaluate import bicubic
from xraysr.lanczos import degrade
from xraysr.phantom.film import make_phantom


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def filtered(image: np.ndarray, response) -> np.ndarray:
    """`image` with `response(frequency)` applied to its Fourier transform."""
    height, width = image.shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    return np.fft.irfft2(np.fft.rfft2(image) * response(frequency), image.shape)


@pytest.mark.parametrize("shape", [(256, 256), (192, 300), (129, 128)])
def test_white_noise_has_its_variance_at_every_frequency(shape):
    frequencies, power = power_spectrum(0.5 + 0.1 * noise(*shape))
    assert frequencies.shape == power.shape == (min(shape) // 2,)
    assert power.mean() == pytest.approx(0.01, rel=0.05)
    coarse, fine = np.array_split(power[8:], 2)
    assert coarse.mean() == pytest.approx(fine.mean(), rel=0.1)


def test_a_power_law_is_found_again():
    frequencies, power = power_spectrum(filtered(noise(512, 512), lambda f: 1 / (f + 0.01)))
    middle = (frequencies > 0.03) & (frequencies < 0.5)
    expected = 1 / (frequencies[middle] + 0.01) ** 2
    for part in np.array_split(power[middle] / expected, 6):
        assert part.mean() == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("angle", [0, 30, 90])
def test_a_wave_lies_in_its_ring_in_any_direction(angle):
    y, x = np.mgrid[:128, :128]
    along = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
    frequencies, power = power_spectrum(0.5 + 0.1 * np.cos(2 * np.pi * 0.25 * along))
    assert frequencies[np.argmax(power)] == pytest.approx(0.25, abs=1 / 128)
    assert power[np.abs(frequencies - 0.25) > 4 / 128].max() < 1e-3 * power.max()


def test_brightness_has_no_power():
    image = 0.1 * noise(64, 64)
    np.testing.assert_allclose(power_spectrum(image + 3)[1], power_spectrum(image)[1], rtol=1e-9)


def test_top_octave_ratio_of_known_changes():
    image = noise(128, 128)
    assert top_octave_ratio(image, image) == 1
    assert top_octave_ratio(0.5 * image, image) == pytest.approx(0.25)
    assert top_octave_ratio(filtered(image, lambda f: f < 0.2), image) < 1e-3
    assert top_octave_ratio(filtered(image, lambda f: f > 0.2), image) == pytest.approx(1, abs=0.01)


def test_gaussian_blur_leaves_what_theory_says():
    sigma = 0.8

    def response(f):
        return np.exp(-2 * (np.pi * sigma * f) ** 2)

    image = noise(256, 256)
    top = np.linspace(0.25, 0.5, 1000)
    expected = np.mean(response(top) ** 2)
    assert top_octave_ratio(filtered(image, response), image) == pytest.approx(expected, rel=0.08)


def test_interpolation_lacks_detail_and_noise_feigns_it():
    hr = make_phantom(1, 128).pixels / 4095
    enlarged = bicubic(degrade(hr, (32, 32), 8), (128, 128))
    assert top_octave_ratio(enlarged, hr, border=4) < 0.2
    assert top_octave_ratio(hr + 0.05 * noise(128, 128), hr, border=4) > 1.5


def test_images_without_a_spectrum():
    with pytest.raises(UserError, match=r"16 pixels a side or more. Received: shape \(16, 12\)"):
        power_spectrum(np.zeros((16, 12)))
    with pytest.raises(UserError, match=r"one shape. Received: \(32, 32\) and \(32, 16\)"):
        top_octave_ratio(np.zeros((32, 32)), np.zeros((32, 16)))
    with pytest.raises(UserError, match="a flat image"):
        top_octave_ratio(noise(32, 32), np.zeros((32, 32)))
