"""Makes super-resolution say what the scan says: reduced again, it is the LR image."""

from __future__ import annotations

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
