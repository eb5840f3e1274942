"""Lanczos resampling as a matrix: the one definition of the degradation, in NumPy.

`tf.image.resize(method="lanczos3", antialias=True)` and Pillow's LANCZOS on float images compute
the same weights, so the pipeline, the network's skip connection and the scores all agree.

Reference: Duchon, "Lanczos filtering in one and two dimensions", J. Appl. Meteorol. 18 (1979).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

RADIUS = 3


def lanczos_kernel(x: np.ndarray) -> np.ndarray:
    """The Lanczos window of radius 3: `sinc(x) sinc(x / 3)` for |x| < 3, else 0."""
    return np.where(np.abs(x) < RADIUS, np.sinc(x) * np.sinc(x / RADIUS), 0.0)


@lru_cache(maxsize=64)
def lanczos_matrix(size_in: int, size_out: int) -> np.ndarray:
    """Matrix M of shape (size_out, size_in), float64, such that `M @ signal` resamples it.

    Reducing widens the kernel by the scale (antialiasing); rows sum to 1, also at the borders.
    An image `x` of shape (h, w) becomes `M_rows @ x @ M_columns.T`. The array is shared between
    calls and read-only.
    """
    ratio = size_in / size_out
    centres = (np.arange(size_out) + 0.5) * ratio
    positions = np.arange(size_in) + 0.5
    weights = lanczos_kernel((positions[None, :] - centres[:, None]) / max(ratio, 1.0))
    weights /= weights.sum(axis=1, keepdims=True)
    weights.setflags(write=False)
    return weights


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resamples the last two axes of `image` (..., h, w) to `size`; float64, not clipped."""
    rows = lanczos_matrix(image.shape[-2], size[0])
    columns = lanczos_matrix(image.shape[-1], size[1])
    return rows @ image.astype(np.float64) @ columns.T


def round_to_bits(image: np.ndarray, bits: int) -> np.ndarray:
    """Clips to [0, 1] and rounds to the grey levels a file of `bits` bits can hold."""
    levels = (1 << bits) - 1
    return np.round(np.clip(image, 0.0, 1.0) * levels) / levels


def degrade(hr: np.ndarray, lr_size: tuple[int, int], bits: int) -> np.ndarray:
    """The LR twin of `hr` (h, w) in [0, 1]: Lanczos with antialias, clipped, rounded to `bits`."""
    return round_to_bits(resize(hr, lr_size), bits)
