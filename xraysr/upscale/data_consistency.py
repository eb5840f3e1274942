"""SR, reduced again, against the LR image: `project` makes it agree, `Consistency` measures it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from xraysr.lanczos import REACH, Reduction
from xraysr.upscale.upscaler import Runtime

ROUNDS = 64
TOLERANCE = 0.25 / 65535  # a quarter of a grey level of 16 bits


class ConsistentRuntime:
    """A runtime whose images do not contradict the LR image they were made from.

    Args:
        runtime: What runs the network.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        radius = runtime.spec.receptive_radius + REACH
        self.spec = replace(runtime.spec, receptive_radius=radius)
        self.levels = getattr(runtime, "levels", None)
        self.words = (*getattr(runtime, "words", ()), "faithful")

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        sr = self.runtime.run(batch)
        images = [project(x[..., 0], y[..., 0]) for x, y in zip(sr, batch, strict=True)]
        return np.stack(images)[..., None]


def project(sr: np.ndarray, lr: np.ndarray) -> np.ndarray:
    """The image in [0, 1] nearest to `sr` whose Lanczos reduction is `lr`.

    A file holds no more than [0, 1]: where `lr` is 0 or 1, the reduction may lie beyond. Without
    the limits of [0, 1] the answer is `sr + A+ (lr - A sr B.T) (B+).T`. With them it is found by
    ascent on the dual problem, in at most `ROUNDS` rounds: one where the limits do not matter,
    more for letters that are burnt in. As `sr` is moved to the nearest image that fits, it comes
    no further from any other that fits, the true one among them; for an `lr` that was rounded
    this holds but for the rounding.

    Args:
        sr: Float, shape (scale height, scale width).
        lr: The same dtype, shape (height, width), in [0, 1].

    Returns:
        Shape and dtype of `sr`, in [0, 1].

    Reference:
        Boyle & Dykstra, A method for finding projections onto the intersection of convex sets
        (1986); Nesterov, Introductory Lectures on Convex Optimization (2004), section 2.2
    """
    reduction = Reduction(lr.shape, sr.shape[0] // lr.shape[0])
    start = np.clip(sr, 0.0, 1.0)
    image, multiplier, ahead, pace = start, np.zeros_like(lr), np.zeros_like(lr), 1.0
    for _ in range(ROUNDS):
        residual = lr - np.clip(reduction.reduce(image), 0.0, 1.0)
        if np.abs(residual).max() < TOLERANCE:
            break
        before, multiplier = multiplier, ahead + residual
        last, pace = pace, (1 + (1 + 4 * pace**2) ** 0.5) / 2
        ahead = multiplier + (last - 1) / pace * (multiplier - before)
        image = reduction.lift(ahead)
        image += start
        np.clip(image, 0.0, 1.0, out=image)
    return image


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
