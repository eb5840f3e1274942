"""The feature distance orders images as a person would, on real films and on the phantom."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from xraysr.data.pipeline import film_pairs
from xraysr.errors import UserError
from xraysr.evaluation.evaluate import bicubic, to_float
from xraysr.evaluation.perceptual import RadiographFeatureDistance, feature_distance
from xraysr.films.index import index_films
from xraysr.lanczos import degrade
from xraysr.pair import Pair
from xraysr.phantom.film import make_phantom
from xraysr.upscale import Upscaler, load

PAIRS = ("32:128", "64:256", "128:512")


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """`image` (side, side) after a Gaussian blur."""
    distance = np.subtract.outer(np.arange(len(image)), np.arange(len(image)))
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights @ image @ weights.T


@cache
def base() -> Upscaler:
    return load("base-x4")


def ladder(lr: np.ndarray, hr: np.ndarray) -> dict[str, np.ndarray]:
    """Images of one film from best to worst."""
    enlarged = bicubic(lr, hr.shape)
    noise = 0.05 * np.random.default_rng(0).standard_normal(hr.shape)
    return {
        "HR": hr,
        "base-x4": base()(lr.astype(np.float32)),
        "bicubic": enlarged,
        "blurred": blur(enlarged, 1.5),
        "noisy": np.clip(hr + noise, 0, 1),
    }


def distances(lr: np.ndarray, hr: np.ndarray, border: int) -> list[float]:
    return [feature_distance(image, hr, border) for image in ladder(lr, hr).values()]


def assert_ordered(found: np.ndarray) -> None:
    """On every film HR < base-x4 < bicubic < blurred; the noisy one is worst on average.

    Not on every film: one that is noisy by itself suffers less from noise than from blur.
    """
    assert np.all(found[:, 0] == 0)
    assert np.all(np.diff(found[:, :4]) > 0.005), found
    assert found[:, 4].mean() > 1.15 * found[:, 3].mean(), found


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_the_order_on_phantoms(name):
    pair = Pair.parse(name)
    films = [make_phantom(seed, pair.hr[0]).pixels / 4095 for seed in (1, 5)]
    assert_ordered(np.array([distances(degrade(hr, pair.lr, 8), hr, pair.scale) for hr in films]))


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_the_order_on_real_films(shared_data, name):
    pair = Pair.parse(name)
    films = index_films(shared_data / "nih_chest_xray").require("test")[::23]
    found = [distances(*to_float(each), pair.scale) for each in film_pairs(films, pair, "crop", [])]
    assert len(found) == len(films) >= 5
    assert_ordered(np.array(found))


def test_the_border_does_not_count():
    image, reference = np.random.default_rng(0).random((2, 40, 48))
    inner = feature_distance(image[4:-4, 4:-4], reference[4:-4, 4:-4])
    assert feature_distance(image, reference, border=4) == inner
    assert 0.05 < inner < 2


def test_more_noise_is_farther():
    film = make_phantom(1, 64).pixels / 4095
    noise = np.random.default_rng(0).standard_normal(film.shape)
    found = [feature_distance(film + s * noise, film) for s in (0.005, 0.01, 0.02, 0.05)]
    assert np.all(np.diff(found) > 0), found


def test_the_metric_is_the_mean_over_all_images():
    sr, hr = np.random.default_rng(0).random((2, 3, 32, 32, 1), dtype=np.float32)
    metric = RadiographFeatureDistance()
    metric.update_state(hr[:2], sr[:2])
    metric.update_state(hr[2:], sr[2:])
    expected = [feature_distance(sr[i, ..., 0], hr[i, ..., 0]) for i in range(3)]
    assert float(metric.result()) == pytest.approx(np.mean(expected), rel=1e-5)
    assert np.ptp(expected) > 1e-4
    metric.reset_state()
    metric.update_state(hr, hr)
    assert float(metric.result()) == 0


def test_images_that_cannot_be_compared():
    image = np.zeros((32, 32))
    with pytest.raises(UserError, match=r"one shape.*Received: \(32, 32\) and \(32, 31\)"):
        feature_distance(image, image[:, :-1])
    with pytest.raises(UserError, match=r"16 pixels.*Received: \(12, 12\)"):
        feature_distance(image, image, border=10)
