"""PSNR, SSIM, LR-consistency and added detail, in float64 with the data range fixed at 1."""

from __future__ import annotations

import numpy as np

from xraysr.errors import UserError
from xraysr.lanczos import Reduction, resize

SSIM_SIGMA = 1.5
SSIM_RADIUS = 5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def crop_border(image: np.ndarray, border: int) -> np.ndarray:
    """`image` (height, width) without `border` pixels on each side."""
    return image[border:-border, border:-border] if border else image


def psnr(image: np.ndarray, reference: np.ndarray, border: int = 0) -> float:
    """Peak signal-to-noise ratio in dB.

    Args:
        image: Shape (height, width), range [0, 1].
        reference: The same shape and range.
        border: Pixels left out on each side; the scale, by convention.

    Returns:
        dB; infinite for equal images.
    """
    difference = crop_border(image, border).astype(np.float64) - crop_border(reference, border)
    error = np.mean(difference**2)
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def ssim(image: np.ndarray, reference: np.ndarray, border: int = 0) -> float:
    """Structural similarity: Gaussian window, sigma 1.5, 11 x 11, population covariance.

    The mean is taken where the window lies inside the image.

    Args:
        image: Shape (height, width), range [0, 1], at least 11 pixels a side without the border.
        reference: The same shape and range.
        border: Pixels left out on each side; the scale, by convention.

    Raises:
        UserError: if the images are smaller than the window.

    Reference:
        Wang et al., IEEE Trans. Image Process. 13 (2004) 600-612
    """
    x = crop_border(image, border).astype(np.float64)
    y = crop_border(reference, border).astype(np.float64)
    if min(x.shape) <= 2 * SSIM_RADIUS:
        raise UserError(
            "SSIM needs images of 11 pixels a side without the border. "
            f"Received: {x.shape[0]}x{x.shape[1]}"
        )
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    variance_x = _window_mean(x * x) - mean_x**2
    variance_y = _window_mean(y * y) - mean_y**2
    covariance = _window_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (variance_x + variance_y + SSIM_C2)
    return float(np.mean(luminance * structure))


def _window_mean(image: np.ndarray) -> np.ndarray:
    """Gaussian mean of every window that lies inside the image."""
    offsets = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    weights = np.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    weights /= weights.sum()
    for _ in range(2):
        rows = image.shape[0] - 2 * SSIM_RADIUS
        image = sum(w * image[i : i + rows] for i, w in enumerate(weights)).T
    return image


def lr_consistency(sr: np.ndarray, lr: np.ndarray) -> float:
    """PSNR in dB between the re-degraded SR and the LR it was made from.

    A model that invents nothing at the scale of the LR image has a high one. The LR image was
    rounded to its bit depth, so 59 dB is the most that 8 bits allow.

    Args:
        sr: Shape (scale height, scale width), range [0, 1].
        lr: Shape (height, width), range [0, 1].
    """
    return psnr(np.clip(resize(sr, lr.shape), 0, 1), lr)


def added_detail(sr: np.ndarray, scale: int) -> float:
    """How much `sr` holds that neither its LR image nor Lanczos interpolation says.

    0 for interpolation, whatever the LR image; a model has to add detail to be sharper than that,
    and this says how much, not whether it is true.

    Args:
        sr: Shape (scale height, scale width), range [0, 1].
        scale: HR pixels per LR pixel.

    Returns:
        Mean absolute value in grey levels of 8 bits.
    """
    size = sr.shape[0] // scale, sr.shape[1] // scale
    return float(255 * np.mean(np.abs(Reduction(size, scale).added(sr.astype(np.float64)))))
