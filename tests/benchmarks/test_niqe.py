"""NIQE: its fits against samples of known distributions, its scores against common sense."""

from __future__ import annotations

import math

import numpy as np
import pytest
from niqe import NIQE, fit_aggd, mscn, patch_features
from numpy.lib.stride_tricks import sliding_window_view

from xraysr.data.pipeline import film_pairs
from xraysr.errors import UserError
from xraysr.evaluation.evaluate import bicubic, to_float
from xraysr.films.index import index_films
from xraysr.lanczos import degrade
from xraysr.pair import Pair
from xraysr.phantom.film import make_phantom


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def aggd(alpha: float, left: float, right: float, count: int = 200_000) -> np.ndarray:
    """Samples of the asymmetric generalised Gaussian: exp(-(|x| / beta) ** alpha) on each side."""
    rng = np.random.default_rng(0)
    size = rng.gamma(1 / alpha, size=count) ** (1 / alpha)
    return np.where(rng.random(count) < left / (left + right), -left * size, right * size)


@pytest.mark.parametrize("alpha", [0.6, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("left,right", [(1.0, 1.0), (0.5, 1.5)])
def test_the_fit_recovers_the_distribution(alpha, left, right):
    samples = aggd(alpha, left, right)
    found = fit_aggd(samples)
    np.testing.assert_allclose(found[:3], (alpha, left, right), rtol=0.04)
    assert found[3] == pytest.approx(samples.mean(), abs=0.02)


def test_gauss_and_laplace():
    rng = np.random.default_rng(0)
    alpha, beta, _, _ = fit_aggd(rng.normal(0, 3, 200_000))
    assert alpha == pytest.approx(2, rel=0.03)
    assert beta == pytest.approx(3 * math.sqrt(2), rel=0.02)
    alpha, beta, _, _ = fit_aggd(rng.laplace(0, 3, 200_000))
    assert alpha == pytest.approx(1, rel=0.03)
    assert beta == pytest.approx(3, rel=0.03)


def test_mscn_equals_its_definition():
    image = np.random.default_rng(0).random((12, 15))
    offsets = np.hypot.outer(np.arange(-3, 4), np.arange(-3, 4))
    window = np.exp(-0.5 * (offsets / (7 / 6)) ** 2)
    window /= window.sum()
    near = sliding_window_view(np.pad(image, 3, mode="edge"), (7, 7))
    mean = np.einsum("hwij,ij->hw", near, window)
    deviation = np.sqrt(np.einsum("hwij,ij->hw", (near - mean[..., None, None]) ** 2, window))
    found, found_deviation = mscn(image)
    np.testing.assert_allclose(found_deviation, deviation, atol=1e-9)
    np.testing.assert_allclose(found, (image - mean) / (deviation + 1 / 255), atol=1e-8)


def test_the_features_do_not_depend_on_contrast():
    low, high = (patch_features(0.5 + contrast * noise(128, 128)) for contrast in (0.05, 0.1))
    assert low.shape == high.shape == (8, 36)
    np.testing.assert_allclose(low.mean(axis=0), high.mean(axis=0), atol=0.15)
    smooth = patch_features(0.5 + 0.1 * np.cumsum(noise(128, 128), axis=1) / 12)
    assert np.abs(smooth.mean(axis=0) - high.mean(axis=0)).max() > 0.3


def test_products_of_neighbours_know_the_direction():
    """Smear along the rows: only the product with the neighbour in the row turns positive."""
    image = 0.5 + 0.05 * (noise(128, 128) + np.roll(noise(128, 128), 1, axis=1))
    eta = patch_features(image)[:, 3:18:4].mean(axis=0)  # of the right, lower, both diagonals
    assert eta[0] > 0.15
    assert eta[1:].max() < 0


def test_the_background_of_a_film_does_not_count():
    image = 0.5 + 0.1 * noise(128, 128)
    image[:, :64] = 0
    assert len(patch_features(image)) == 8
    assert len(patch_features(np.full((128, 128), 0.5))) == 0


@pytest.fixture(scope="module")
def on_phantoms() -> NIQE:
    return NIQE.fit(make_phantom(seed, 128).pixels / 4095 for seed in range(10))


def test_hr_is_nearer_than_blurred_or_noisy(on_phantoms):
    for seed in (101, 102, 103):
        hr = make_phantom(seed, 128).pixels / 4095
        enlarged = bicubic(degrade(hr, (32, 32), 8), (128, 128))
        score = on_phantoms.score(hr)
        assert 0 < score < 0.8 * on_phantoms.score(0.5 * (hr + enlarged))
        assert score < 0.5 * on_phantoms.score(enlarged)
        assert score < 0.8 * on_phantoms.score(hr + 0.05 * noise(128, 128))


def test_the_distance_is_that_of_two_gaussians(on_phantoms):
    image = make_phantom(30, 128).pixels / 4095
    features = patch_features(image)
    pooled = (on_phantoms.covariance + np.cov(features.T)) / 2
    away = features.mean(axis=0) - on_phantoms.mean
    expected = math.sqrt(away @ np.linalg.solve(pooled, away))
    assert on_phantoms.score(image) == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["32:128", "64:256"])
def test_the_order_on_real_films(shared_data, name):
    pair = Pair.parse(name)
    index = index_films(shared_data / "nih_chest_xray")
    fitted = NIQE.fit(
        to_float(each)[1] for each in film_pairs(index.require("train")[::20], pair, "crop", [])
    )
    found = []
    for each in film_pairs(index.require("test")[::15], pair, "crop", []):
        lr, hr = to_float(each)
        enlarged = bicubic(lr, pair.hr)
        images = (hr, 0.5 * (hr + enlarged), enlarged, hr + 0.05 * noise(*pair.hr))
        found.append([fitted.score(image) for image in images])
    hr, between, enlarged, noisy = np.array(found).T
    assert np.all(hr < 0.8 * enlarged) and np.all(hr < 0.5 * noisy)
    assert hr.mean() < 0.9 * between.mean() < 0.9 * enlarged.mean()


def test_what_it_cannot_use(on_phantoms):
    with pytest.raises(UserError, match=r"72 patches .* Received: 8 in 1 images"):
        NIQE.fit([0.5 + 0.1 * noise(128, 128)])
    with pytest.raises(UserError, match=r"64 pixels a side or more. Received: shape \(64, 63\)"):
        on_phantoms.score(np.zeros((64, 63)))
    with pytest.raises(UserError, match="one that is flat"):
        on_phantoms.score(np.full((128, 128), 0.5))
