"""LR-consistency of an image that comes in strips: how far it contradicts what it was made from."""

from __future__ import annotations

import math

import numpy as np

from xraysr.lanczos import Reduction


class Consistency:
    """Reduces SR as it comes, to compare it with the LR image.

    Args:
        lr: What it is made from, float32 in [0, 1], shape (height, width).
        scale: HR pixels per LR pixel.
    """

    def __init__(self, lr: np.ndarray, scale: int) -> None:
        self._lr = lr
        self._reduction = Reduction(lr.shape, scale)
        self._reduced = np.zeros(lr.shape)
        self._rows = 0

    def add(self, rows: np.ndarray) -> None:
        """The next rows of SR from the top: float32 in [0, 1], shape (n, scale width)."""
        self._reduction.gather(rows, self._rows, self._reduced)
        self._rows += len(rows)

    def decibels(self) -> float:
        """PSNR in dB between the reduced SR, clipped to [0, 1], and the LR image; maybe infinite.

        The same as `xraysr.evaluation.metrics.lr_consistency`. An LR image of 8 bits allows 59 dB,
        unless SR was made faithful to it.
        """
        error = np.mean((np.clip(self._reduced, 0.0, 1.0) - self._lr) ** 2)
        return math.inf if error == 0 else float(-10 * np.log10(error))
