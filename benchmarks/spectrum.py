"""How much detail of each size an image holds: the radial power spectrum."""

from __future__ import annotations

import numpy as np

from xraysr.errors import UserError
from xraysr.evaluation.metrics import crop_border

NYQUIST = 0.5
SMALLEST_SIDE = 16


def power_spectrum(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Power by spatial frequency, averaged over all directions.

    The mean is taken off and a Hann window keeps the borders from showing. Power is normalised
    so that white noise of variance v has power v at every frequency.

    Args:
        image: Shape (height, width), range [0, 1], at least 16 pixels a side.

    Returns:
        Frequencies in cycles per pixel, from one cycle per shorter side in equal steps to
        Nyquist (0.5), and the mean power of the ring around each; float64, one shape (n,).

    Raises:
        UserError: if the image is too small.

    Reference:
        Harris, Proc. IEEE 66 (1978) 51-83 (windows)
    """
    if image.ndim != 2 or min(image.shape) < SMALLEST_SIDE:
        raise UserError(
            "A power spectrum needs an image (height, width) of 16 pixels a side or more. "
            f"Received: shape {image.shape}"
        )
    height, width = image.shape
    window = _hann(height)[:, None] * _hann(width)
    flat = image - np.sum(window * image, dtype=np.float64) / window.sum()
    power = np.abs(np.fft.rfft2(window * flat)) ** 2 / np.sum(window**2)

    # rfft2 leaves out the half plane that mirrors the other; its columns count twice.
    columns = np.fft.rfftfreq(width)
    count = np.where((columns > 0) & (columns < NYQUIST), 2.0, 1.0) * np.ones((height, 1))
    short = min(height, width)
    ring = np.rint(np.hypot(np.fft.fftfreq(height)[:, None], columns) * short).astype(int)
    total = np.bincount(ring.ravel(), (count * power).ravel())
    rings = slice(1, short // 2 + 1)
    mean = total[rings] / np.bincount(ring.ravel(), count.ravel())[rings]
    return np.arange(1, short // 2 + 1) / short, mean


def top_octave_ratio(sr: np.ndarray, hr: np.ndarray, border: int = 0) -> float:
    """Power of `sr` over that of `hr` in the octave from half Nyquist to Nyquist.

    1 for as much fine detail as HR has (right or wrong), below 1 for a blurred image, above 1
    for a noisy or oversharpened one.

    Args:
        sr: Shape (height, width), range [0, 1].
        hr: The same shape and range.
        border: Pixels left out on each side; the scale, by convention.

    Raises:
        UserError: if the images differ in shape, are too small, or `hr` has no fine detail.
    """
    if sr.shape != hr.shape:
        raise UserError(f"sr and hr must have one shape. Received: {sr.shape} and {hr.shape}")
    frequencies, of_sr = power_spectrum(crop_border(sr, border))
    _, of_hr = power_spectrum(crop_border(hr, border))
    top = frequencies >= NYQUIST / 2
    if not of_hr[top].sum() > 0:
        raise UserError("hr must hold detail finer than half Nyquist. Received: a flat image")
    return float(of_sr[top].mean() / of_hr[top].mean())


def _hann(size: int) -> np.ndarray:
    """The Hann window of `size` samples, periodic."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(size) + 0.5) / size)
