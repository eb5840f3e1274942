"""Large images in tiles, so that memory and messages stay small and the result stays the same.

Tiles overlap by what the network sees beyond a pixel and a little more, over which one fades into
the next: where the overlap covers the receptive radius both agree there, and nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]

BLEND = 4  # pixels on both sides of a seam over which two tiles fade into each other


class Window(NamedTuple):
    """A piece of one side of an image, in pixels of the input.

    Args:
        start: Where it begins.
        stop: Where it ends.
        first: Where what is taken from it begins: at the side's end, or `BLEND` before a seam.
        last: Where that ends, likewise.
        fades: Whether it fades in at `first`, and out at `last`.
    """

    start: int
    stop: int
    first: int
    last: int
    fades: tuple[bool, bool]

    def weights(self, scale: int) -> np.ndarray:
        """Of each output pixel taken; those of two neighbours add up to 1. Float32."""
        weights = np.ones((self.last - self.first) * scale, np.float32)
        ramp = (np.arange(2 * BLEND * scale, dtype=np.float32) + 0.5) / (2 * BLEND * scale)
        if self.fades[0]:
            weights[: len(ramp)] *= ramp
        if self.fades[1]:
            weights[len(weights) - len(ramp) :] *= ramp[::-1]
        return weights


def least_tile(radius: int) -> int:
    """The smallest tile, in pixels: of half of it, as much is taken as fades in and out."""
    return 2 * radius + 6 * BLEND


def windows(side: int, tile: int, radius: int) -> list[Window]:
    """Cuts a side into as few windows of equal length as do, so that little is computed twice.

    Args:
        side: Length in pixels.
        tile: Largest length of a window, at least `least_tile(radius)`.
        radius: Pixels at each inner end of a window that are computed and dropped.
    """
    if side <= tile:
        return [Window(0, side, 0, side, (False, False))]
    overlap = radius + BLEND
    inner = side - 2 * overlap
    count = -(-inner // (tile - 2 * overlap))
    step = -(-inner // count)
    length = step + 2 * overlap
    starts = [*range(0, step * (count - 1), step), side - length]
    seams = [start + length - overlap for start in starts[:-1]]
    found = []
    for start, before, after in zip(starts, [None, *seams], [*seams, None], strict=True):
        first = 0 if before is None else before - BLEND
        last = side if after is None else after + BLEND
        fades = before is not None, after is not None
        found.append(Window(start, start + length, first, last, fades))
    return found


def run_strips(
    run: Run, images: np.ndarray, scale: int, tile: int, radius: int, batch: int = 1
) -> Iterator[np.ndarray]:
    """`run` on tiles of `images`, put together row by row.

    Args:
        run: Maps (n, height, width, 1) to (n, scale height, scale width, 1), float32.
        images: (n, height, width, 1), float32.
        scale: Output pixels per input pixel.
        tile: Largest side given to `run`, in input pixels.
        radius: How far what runs looks; the result is that of `run(images)` when it is enough.
        batch: Tiles given to `run` at once.

    Yields:
        (n, rows, scale width, 1), float32: strips of the output from the top.
    """
    height, width = images.shape[1:3]
    columns = windows(width, tile, radius)
    held = np.zeros((len(images), 0, width * scale, 1), np.float32)
    for row in windows(height, tile, radius):
        strip = np.zeros((len(images), (row.last - row.first) * scale, width * scale, 1), "f4")
        rows = slice((row.first - row.start) * scale, (row.last - row.start) * scale)
        band = images[:, row.start : row.stop]
        for begin in range(0, len(columns), batch):
            some = columns[begin : begin + batch]
            tiles = [band[:, :, column.start : column.stop] for column in some]
            outs = run(np.concatenate(tiles))
            _check(outs, tiles[0].shape[1] * scale, tiles[0].shape[2] * scale)
            for column, out in zip(some, np.split(outs, len(some)), strict=True):
                taken = slice((column.first - column.start) * scale, None)
                part = out[:, rows, taken][:, :, : (column.last - column.first) * scale]
                target = strip[:, :, column.first * scale : column.last * scale]
                target += part * column.weights(scale)[:, None]
        strip *= row.weights(scale)[:, None, None]
        strip[:, : held.shape[1]] += held
        final = strip.shape[1] - (2 * BLEND * scale if row.fades[1] else 0)
        yield strip[:, :final]
        held = strip[:, final:]


class SizeError(ValueError):
    """What ran gave an image of another size than its scale says."""


def _check(outs: np.ndarray, height: int, width: int) -> None:
    expected = (len(outs), height, width, 1)
    if outs.shape != expected:
        raise SizeError(f"{expected}. Received: {outs.shape}")
