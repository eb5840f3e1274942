"""Large images in tiles, so that memory and messages stay small and the result stays the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]
Window = tuple[int, int, int]


def windows(side: int, tile: int, overlap: int) -> list[Window]:
    """Cuts a side into windows of equal length that overlap.

    Args:
        side: Length in pixels.
        tile: Length of a window, more than twice `overlap`; `side` where that is less.
        overlap: Pixels at each inner end of a window that are computed and dropped.

    Returns:
        (start, first, last) for each window: it begins at `start`, and the pixels from `first`
        to before `last` of the side are taken from it. They meet without gap.
    """
    tile = min(tile, side)
    starts = [*range(0, side - tile, tile - 2 * overlap), side - tile]
    ends = [start + tile - overlap for start in starts[:-1]] + [side]
    return list(zip(starts, [0, *ends[:-1]], ends, strict=True))


def run_tiled(run: Run, batch: np.ndarray, scale: int, tile: int, overlap: int) -> np.ndarray:
    """`run` on tiles of `batch`, put together.

    Equal to `run(batch)` when `overlap` covers the receptive radius of what runs.

    Args:
        run: Maps (n, height, width, 1) to (n, scale height, scale width, 1), float32.
        batch: (n, height, width, 1), float32.
        scale: Output pixels per input pixel.
        tile: Largest side given to `run`, in input pixels.
        overlap: Pixels computed beyond what is taken from a tile.
    """
    count, height, width, channels = batch.shape
    out = np.empty((count, height * scale, width * scale, channels), np.float32)
    side_y, side_x = min(tile, height), min(tile, width)
    rows, columns = windows(height, tile, overlap), windows(width, tile, overlap)
    for (y, top, bottom), (x, left, right) in product(rows, columns):
        sr = run(batch[:, y : y + side_y, x : x + side_x])
        if sr.shape[1:3] != (side_y * scale, side_x * scale):
            return sr  # whoever asked sees that the size is wrong
        inner_y = slice((top - y) * scale, (bottom - y) * scale)
        inner_x = slice((left - x) * scale, (right - x) * scale)
        target = np.s_[:, top * scale : bottom * scale, left * scale : right * scale]
        out[target] = sr[:, inner_y, inner_x]
    return out
