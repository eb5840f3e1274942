"""Batches of (LR, HR) from cached films: whole films for validation, random crops for training.

Films of several pairs of one scale may be mixed: one network then learns all of them. What is
drawn is a function of the seed and the position alone, so a run that resumes at step n sees what
the uninterrupted run would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from xraysr.data.pipeline import PairCache
from xraysr.degradation import Degradation, Mixture, crop_pair, rng_at
from xraysr.errors import UserError
from xraysr.pair import Size

Batch = tuple[tf.Tensor, tf.Tensor]
Stored = tuple[np.ndarray, np.ndarray]  # LR and HR as integers, (height, width, 1)


def whole_films(cache: PairCache, batch: int) -> tf.data.Dataset:
    """Whole films in order: batches of (LR, HR), float32 in [0, 1]."""

    def cut(rows: tf.Tensor) -> Batch:
        return _windows([cache], rows, tf.zeros_like(rows), tf.zeros_like(rows), cache.pair.lr)

    return tf.data.Dataset.range(len(cache)).batch(batch).map(cut).prefetch(tf.data.AUTOTUNE)


def training_batches(
    caches: Sequence[PairCache],
    *,
    batch: int,
    crop: int | None,
    flips: bool,
    seed: int,
    first_step: int = 0,
    pipeline: tuple[int, int] = (0, 1),
    replicas: int = 1,
    drawn: Degradation | Mixture | None = None,
) -> tf.data.Dataset:
    """Endless batches of aligned random crops, shuffled anew each epoch.

    An epoch shows each film once at each pair it is cached for. Several processes, each with
    several replicas, draw together what one would draw alone.

    Args:
        caches: The films to draw from, one cache for each pair; all pairs have one scale.
        batch: Images in the batch of a step, on all processes and replicas together.
        crop: Side of the LR crop in pixels, None for whole films.
        flips: Mirror half of them left to right. Leave off where laterality matters.
        seed: The same seed gives the same batches.
        first_step: Number of steps to skip, for a run that resumes.
        pipeline: (index, count) of this process among those that read.
        replicas: Devices this process feeds; the batch of a step comes in that many parts.
        drawn: Makes the pair of every crop anew, with what it draws; None takes LR from the
            caches, as films of pair folders always do.

    Returns:
        Dataset of (LR, HR): float32 in [0, 1], shapes (n, crop, crop, 1) and
        (n, scale crop, scale crop, 1), n being the batch of one replica.
    """
    process, processes = pipeline
    if batch % (processes * replicas):
        raise UserError(
            f"The batch must be a multiple of the number of devices, {processes * replicas}. "
            f"Received: batch={batch}"
        )
    share = batch // processes
    count = sum(map(len, caches))
    lr_size = caches[0].pair.lr if crop is None else (crop, crop)
    for cache in caches:
        if any(side > limit for side, limit in zip(lr_size, cache.pair.lr, strict=True)):
            raise UserError(
                f"The crop must fit into the LR image of {cache.pair}. Received: crop={crop}"
            )
    places = [[limit - side + 1 for limit, side in zip(cache.pair.lr, lr_size, strict=True)]
              for cache in caches]  # fmt: skip
    free = tf.constant(np.repeat(places, [len(cache) for cache in caches], axis=0), tf.float32)

    def draw(own: tf.Tensor):
        position = own // share * batch + process * share + own % share
        epoch, place = position // count, position % count
        row = tf.random.experimental.index_shuffle(place, tf.stack([seed, epoch]), count - 1)
        chance = tf.random.stateless_uniform([3], tf.stack([seed, position]))
        top, left = (tf.cast(chance[axis] * free[row, axis], tf.int64) for axis in range(2))
        return position, row, top, left, chance[2] < 0.5

    def draw_pair(cache: PairCache, row: int, top: int, left: int, position: int) -> Stored:
        assert drawn is not None
        bits, rng = int(cache.bits[row]), rng_at(seed, position)
        window = (top, left, *lr_size)
        lr, hr = crop_pair(drawn, cache.hr[row][..., 0], window, cache.pair.scale, bits, rng)
        return lr[..., None], hr[..., None]

    def cut(position, row, top, left, mirror) -> Batch:
        made = (draw_pair, position) if drawn is not None else None
        lr, hr = _windows(caches, row, top, left, lr_size, made)
        if not flips:
            return lr, hr
        mirror = mirror[:, None, None, None]
        return tf.where(mirror, lr[:, :, ::-1], lr), tf.where(mirror, hr[:, :, ::-1], hr)

    return (
        tf.data.Dataset.range(first_step * share, np.iinfo(np.int64).max)
        .map(draw, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(share // replicas, drop_remainder=True)
        .map(cut, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _windows(
    caches: Sequence[PairCache],
    rows: tf.Tensor,
    tops: tf.Tensor,
    lefts: tf.Tensor,
    lr_size: Size,
    made: tuple[Callable[..., Stored], tf.Tensor] | None = None,
) -> Batch:
    """Windows of LR and HR at the same place, cut on the host; nothing else is read.

    Args:
        caches: Their rows, one after the other, are what `rows` counts.
        rows: Which films, int64, shape (n,).
        tops: Upper edge of each window in LR pixels, int64, shape (n,).
        lefts: Left edge of each, likewise.
        lr_size: (height, width) of the LR windows.
        made: What makes the pair of a window anew, and the position of each.

    Returns:
        float32 in [0, 1], shapes (n, *lr_size, 1) and (n, *hr_size, 1).
    """
    scale = caches[0].pair.scale
    hr_size = (lr_size[0] * scale, lr_size[1] * scale)
    ends = np.cumsum([len(cache) for cache in caches])
    dtype = np.result_type(*(cache.lr.dtype for cache in caches))

    def cut(rows, tops, lefts, positions):
        lr, hr, bits = [], [], []
        for row, top, left, position in zip(rows, tops, lefts, positions, strict=True):
            which = int(np.searchsorted(ends, row, side="right"))
            cache, own = caches[which], row - ends[which] + len(caches[which])
            if made is not None and cache.films[own].lr_path is None:
                pair = made[0](cache, own, top, left, int(position))
            else:
                pair = (
                    _window(cache.lr[own], top, left, lr_size),
                    _window(cache.hr[own], top * scale, left * scale, hr_size),
                )
            lr.append(pair[0])
            hr.append(pair[1])
            bits.append(cache.bits[own])
        return np.stack(lr).astype(dtype), np.stack(hr).astype(dtype), np.array(bits, np.int32)

    lr, hr, bits = tf.numpy_function(
        cut, [rows, tops, lefts, rows if made is None else made[1]], (dtype, dtype, np.int32)
    )
    levels = (2.0 ** tf.cast(bits, tf.float32) - 1.0)[:, None, None, None]
    return (
        tf.ensure_shape(tf.cast(lr, tf.float32) / levels, (rows.shape[0], *lr_size, 1)),
        tf.ensure_shape(tf.cast(hr, tf.float32) / levels, (rows.shape[0], *hr_size, 1)),
    )


def _window(image: np.ndarray, top: int, left: int, size: Size) -> np.ndarray:
    return image[top : top + size[0], left : left + size[1]]
