"""The metrics against their formulas, scikit-image and common sense."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from xraysr.errors import UserError
from xraysr.evaluation.metrics import added_detail, crop_border, lr_consistency, psnr, ssim
from xraysr.lanczos import degrade, resize, round_to_bits
from xraysr.phantom.film import make_phantom


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


@pytest.fixture(scope="module")
def film() -> np.ndarray:
    return make_phantom(1, 128).pixels / 4095


@pytest.fixture(scope="module")
def blurred(film) -> np.ndarray:
    return np.clip(resize(degrade(film, (32, 32), 8), (128, 128)), 0, 1)


def test_psnr_of_a_known_error():
    reference = np.full((10, 12), 0.5)
    assert psnr(reference + 0.1, reference) == pytest.approx(20)
    assert psnr(reference - 0.01, reference) == pytest.approx(40)


def test_psnr_equals_scikit_image_and_never_guesses_the_range():
    image, reference = 0.2 * noise(20, 30), 0.2 * noise(20, 30, seed=1)
    expected = peak_signal_noise_ratio(reference, image, data_range=1)
    assert psnr(image, reference) == pytest.approx(expected, abs=1e-10)


def test_psnr_is_computed_in_float64():
    reference = np.full((64, 64), 0.5, np.float32)
    image = reference + np.float32(2**-23)
    assert psnr(image, reference) == pytest.approx(20 * 23 * math.log10(2), abs=1e-6)


def test_equal_images():
    image = noise(16, 16)
    assert psnr(image, image) == math.inf
    assert ssim(image, image) == pytest.approx(1)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_the_border_does_not_count(metric):
    image, reference = noise(32, 40), noise(32, 40, seed=1)
    inner = metric(image[4:-4, 4:-4], reference[4:-4, 4:-4])
    assert metric(image, reference, border=4) == inner
    assert metric(image, reference) != inner
    spoilt = image.copy()
    spoilt[:4], spoilt[:, -4:] = 9, 9
    assert metric(spoilt, reference, border=4) == inner


@pytest.mark.parametrize("border", [0, 1, 3])
def test_crop_border(border):
    image = noise(10, 12)
    assert crop_border(image, border).shape == (10 - 2 * border, 12 - 2 * border)
    assert crop_border(image, border)[0, 0] == image[border, border]


def reference_ssim(image: np.ndarray, reference: np.ndarray) -> float:
    """scikit-image with the settings of Wang et al."""
    return structural_similarity(
        image.astype(np.float64),
        reference.astype(np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        win_size=11,
    )


@pytest.mark.parametrize("shape", [(40, 40), (11, 11), (17, 64)])
def test_ssim_equals_scikit_image_on_noise(shape):
    image, reference = noise(*shape), noise(*shape, seed=1)
    assert ssim(image, reference) == pytest.approx(reference_ssim(image, reference), abs=1e-7)


def test_ssim_equals_scikit_image_on_films(film, blurred):
    expected = reference_ssim(blurred, film)
    assert 0.5 < expected < 0.999
    assert ssim(blurred, film) == pytest.approx(expected, abs=1e-7)
    inner = reference_ssim(blurred[4:-4, 4:-4], film[4:-4, 4:-4])
    assert ssim(blurred, film, border=4) == pytest.approx(inner, abs=1e-7)


def test_ssim_refuses_what_its_window_does_not_fit_in():
    with pytest.raises(UserError, match=r"11 pixels a side.*Received: 10x40"):
        ssim(noise(10, 40), noise(10, 40))
    with pytest.raises(UserError, match="Received: 8x12"):
        ssim(noise(16, 20), noise(16, 20), border=4)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_more_blur_scores_less(metric, film, blurred):
    very = np.clip(resize(degrade(film, (16, 16), 8), (128, 128)), 0, 1)
    assert metric(film, film) > metric(blurred, film) > metric(very, film)


def test_lr_consistency_of_the_truth_is_as_exact_as_its_numbers(film):
    lr = np.clip(resize(film, (32, 32)), 0, 1)
    assert resize(film, (32, 32)).min() < -0.01, "the overshoot that LR files clip"
    assert lr_consistency(film, lr) > 120
    # Rounding to 8 bits is an error of variance (1 / 255) ** 2 / 12.
    rounded = round_to_bits(lr, 8)
    assert lr_consistency(film, rounded) == pytest.approx(10 * math.log10(12 * 255**2), abs=0.5)


def test_lr_consistency_of_an_invention_is_low(film):
    grey = 0.2 + 0.6 * film  # Free of black and white, so that nothing is clipped.
    lr = resize(grey, (32, 32))
    assert lr_consistency(grey + 0.05, lr) == pytest.approx(-20 * math.log10(0.05), abs=1e-3)
    moved = np.roll(grey, 4, axis=1)
    assert lr_consistency(moved, lr) < 35


def test_lr_consistency_looks_at_nothing_finer_than_lr(film):
    lr = np.clip(resize(film, (32, 32)), 0, 1)
    checks = 0.02 * (-1.0) ** np.add.outer(np.arange(128), np.arange(128))
    assert psnr(film + checks, film) == pytest.approx(-20 * math.log10(0.02))
    assert lr_consistency(film + checks, lr) > 60


def test_interpolation_adds_no_detail_and_a_flat_film_has_none(film):
    smooth = resize(resize(film, (32, 32)), (128, 128))
    assert added_detail(smooth, 4) < 0.1 < 1 < added_detail(film, 4)
    assert added_detail(np.full((40, 60), 0.5), 4) < 1e-9


def test_added_detail_is_counted_in_grey_levels(film):
    fine = 4 / 255 * (-1.0) ** np.add.outer(np.arange(128), np.arange(128))
    flat = np.full((128, 128), 0.5)
    assert added_detail(flat + fine, 4) == pytest.approx(4, abs=0.1)
    coarse = 4 / 255 * np.sin(np.arange(128) / 12)
    assert added_detail(flat + coarse, 4) < 0.05, "the LR image holds it"
