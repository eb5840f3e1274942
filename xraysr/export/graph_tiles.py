"""Tiles inside a graph: what `xraysr.upscale.tiles` does, in TensorFlow's operations."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

# Small enough for the memory of a server, large against the overlap.
STEP = 512

Run = Callable[[tf.Tensor], tf.Tensor]


def in_tiles(run: Run, scale: int, overlap: int, step: int = STEP) -> Run:
    """Gives `run` an image in tiles, one after another, so that memory stays small.

    The result is that of `run` when `overlap` covers the receptive radius of what runs.

    Args:
        run: Maps (n, height, width, 1) to (n, scale height, scale width, 1).
        scale: Output pixels per input pixel.
        overlap: Pixels computed beyond what is taken from a tile.
        step: Pixels taken from a tile on each side; `run` sees `step + 2 overlap` at most.
    """
    return _along(1, _along(2, run, scale, overlap, step), scale, overlap, step)


def _along(axis: int, run: Run, scale: int, overlap: int, step: int) -> Run:
    """`run` in windows of one axis."""

    def cut(image, first, last):
        return image[(slice(None),) * axis + (slice(first, last),)]

    def window(image, index, count):
        """What the window `index` of `count` gives: pixels `first` to before `last`."""
        side = tf.shape(image)[axis]
        length = tf.minimum(side, step + 2 * overlap)
        start = tf.minimum(index * step, side - length)
        first = tf.where(index == 0, 0, index * step + overlap)
        last = tf.where(index == count - 1, side, (index + 1) * step + overlap)
        out = run(cut(image, start, start + length))
        return cut(out, (first - start) * scale, (last - start) * scale)

    def tiled(image):
        count = tf.maximum(1, -(-(tf.shape(image)[axis] - 2 * overlap) // step))
        _, whole = tf.while_loop(
            lambda index, _: index < count,
            lambda index, done: (index + 1, tf.concat([done, window(image, index, count)], axis)),
            (tf.constant(1), window(image, tf.constant(0), count)),
            shape_invariants=(tf.TensorShape(()), tf.TensorShape((None, None, None, 1))),
            parallel_iterations=1,
        )
        return whole

    return tiled
