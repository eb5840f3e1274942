"""The noise that a film is said to have, against the noise that was put into it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from xraysr.degradation import Degradation, degrade_with
from xraysr.films.index import index_films
from xraysr.io import read
from xraysr.phantom.film import make_phantom
from xraysr.upscale.noise import BAND, noise_level


def noise(sigma: float, *shape: int) -> np.ndarray:
    return sigma * np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("sigma", [0.002, 0.01, 0.05])
@pytest.mark.parametrize("size", [(96, 96), (256, 64), (2 * BAND + 9, 70)])
def test_of_an_even_film_it_is_the_deviation(sigma, size):
    assert noise_level(0.5 + noise(sigma, *size)) == pytest.approx(sigma, rel=0.08)


def test_a_slope_is_no_noise():
    rows, columns = np.indices((128, 128)) / 128
    assert noise_level(0.2 + 0.3 * rows + 0.4 * columns) < 1e-9
    assert noise_level(0.4 * rows + 0.4 * columns**2 + 0.1) < 1e-4


@pytest.mark.parametrize("size", [64, 128, 256])
def test_edges_of_a_phantom_hardly_count(size):
    film = make_phantom(3, size, Degradation("box")).pixels / 4095
    assert noise_level(film) < 0.003
    for sigma in (0.005, 0.01, 0.02):
        read = noise_level(np.clip(film + noise(sigma, size, size), 0, 1).astype(np.float32))
        assert read == pytest.approx(sigma, rel=0.2, abs=0.0015)


def test_padding_and_what_is_burnt_in_are_left_out():
    film = np.clip(0.05 + noise(0.02, 128, 128), 0, 1)
    film[:, :70] = 0.0
    film[10:30, 80:120] = 1.0
    assert noise_level(film) == pytest.approx(0.02, rel=0.15)


def test_grey_levels_of_a_file_hardly_matter():
    film = 0.5 + noise(0.01, 128, 128)
    assert noise_level(np.round(255 * film) / 255) == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("size", [(0, 9), (1, 1), (8, 300), (300, 8)])
def test_of_too_few_pixels_nothing_is_known(size):
    assert noise_level(noise(0.1, *size)) == 0.0
    assert noise_level(np.zeros((40, 40))) == 0.0


def test_real_films_read_what_was_put_in(shared_data):
    films = index_films(shared_data / "nih_chest_xray").require("test")[::40]
    found = []
    for film in films:
        hr = read(film.path).pixels[:512, :512]
        ways = (Degradation(noise=sigma) for sigma in (0.0, 0.005, 0.01, 0.02))
        found.append([noise_level(degrade_with(way, hr, (128, 128), 8)) for way in ways])
    assert np.max(found, axis=0)[0] < 0.004
    np.testing.assert_allclose(np.mean(found, axis=0)[1:], (0.005, 0.01, 0.02), rtol=0.1)


def test_it_needs_numpy_alone():
    script = (
        "import sys, xraysr.upscale.noise;"
        "print([n for n in ('tensorflow', 'keras', 'scipy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
