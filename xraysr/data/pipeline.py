"""From films to (LR, HR) batches: a tf.data pipeline that makes the LR twins on the fly.

`film_pairs` decodes, fits to HR size and degrades, one film at a time. `PairCache` keeps the
result in memory as the integers the files hold. `training_batches` draws aligned crops and flips
from it; what it draws is a function of the seed and the position alone, so a run that resumes
at step n sees what the uninterrupted run would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from xraysr.data.fit import load_hr
from xraysr.data.scan import Film, Skipped
from xraysr.errors import BadImageError, UserError
from xraysr.io import read
from xraysr.pair import Pair, Size


class StoredPair(NamedTuple):
    """One film at both sizes as integers of `bits` bits: uint16, (height, width, 1)."""

    film: Film
    lr: np.ndarray
    hr: np.ndarray
    bits: int


def degrade(hr: tf.Tensor, lr_size: Size, bits: tf.Tensor | int) -> tf.Tensor:
    """The LR twin of `hr`: antialiased Lanczos, clipped and rounded as a file would hold it.

    Args:
        hr: float32 in [0, 1], shape (..., height, width, 1).
        lr_size: (height, width) of the result.
        bits: Bit depth that the result is rounded to.

    Returns:
        float32 in [0, 1], shape (..., *lr_size, 1).
    """
    levels = 2.0 ** tf.cast(bits, tf.float32) - 1.0
    lr = tf.image.resize(hr, lr_size, method="lanczos3", antialias=True)
    return tf.round(tf.clip_by_value(lr, 0.0, 1.0) * levels) / levels


def film_pairs(
    films: Sequence[Film], pair: Pair, fit: str, skipped: list[Skipped]
) -> Iterable[StoredPair]:
    """Decodes `films` in parallel and yields their pairs in order.

    Films that cannot be used are appended to `skipped` with the reason, and left out.
    """

    def load(index: np.int64) -> tuple[np.ndarray, np.ndarray, np.int32]:
        film = films[int(index)]
        try:
            hr, bits = load_hr(film.path, pair.hr, fit)
            lr = _prepared_lr(film.lr_path, pair, bits) if film.lr_path else np.zeros(pair.lr)
        except UserError as error:
            skipped.append(Skipped.because(film.path, error))
            return np.zeros(pair.lr, np.uint16), np.zeros(pair.hr, np.uint16), np.int32(0)
        return lr.astype(np.uint16), hr.astype(np.uint16), np.int32(bits)

    def make_lr(index, lr, hr, bits):
        levels = 2.0 ** tf.cast(bits, tf.float32) - 1.0
        made = degrade(tf.cast(hr, tf.float32) / levels, pair.lr, bits) * levels
        return index, tf.where(prepared[index], lr, tf.cast(tf.round(made), tf.uint16)), hr, bits

    def decode(index):
        lr, hr, bits = tf.numpy_function(load, [index], (tf.uint16, tf.uint16, tf.int32))
        lr.set_shape(pair.lr)
        hr.set_shape(pair.hr)
        return index, lr[..., None], hr[..., None], tf.ensure_shape(bits, [])

    prepared = tf.constant([film.lr_path is not None for film in films], tf.bool)
    dataset = (
        tf.data.Dataset.range(len(films))
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        .filter(lambda index, lr, hr, bits: bits > 0)
        .map(make_lr, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    for index, lr, hr, bits in dataset.as_numpy_iterator():
        yield StoredPair(films[index], lr, hr, int(bits))


def _prepared_lr(path: Path, pair: Pair, bits: int) -> np.ndarray:
    lr = read(path)
    if lr.size != pair.lr or lr.bits != bits:
        raise BadImageError(
            f"{path} is not the LR twin: expected {pair.lr} at {bits} bits. "
            f"Received: {lr.size} at {lr.bits} bits"
        )
    return lr.stored()


@dataclass(frozen=True, eq=False)
class PairCache:
    """Films of one pair in memory, as the integers their files hold.

    Args:
        pair: The sizes.
        films: Where each row came from.
        lr: uint8 (uint16 for films of more than 8 bits), shape (n, *pair.lr, 1).
        hr: The same dtype, shape (n, *pair.hr, 1).
        bits: int32, shape (n,).
        skipped: Films that could not be used, with the reason.
    """

    pair: Pair
    films: tuple[Film, ...]
    lr: np.ndarray
    hr: np.ndarray
    bits: np.ndarray
    skipped: tuple[Skipped, ...]

    @classmethod
    def load(
        cls,
        films: Sequence[Film],
        pair: Pair,
        fit: str = "crop",
        track: Callable[[Iterable[StoredPair]], Iterable[StoredPair]] = iter,
    ) -> PairCache:
        """Reads `films` once. `track` wraps the iteration, for a progress bar.

        Raises:
            UserError: if none of the films can be used.
        """
        skipped: list[Skipped] = []
        stream = film_pairs(films, pair, fit, skipped)
        pairs = list(track(stream))
        if not pairs:
            reasons = "; ".join(map(str, skipped[:3]))
            raise UserError(f"None of {len(films)} films can be used for {pair}: {reasons}")
        bits = np.array([each.bits for each in pairs], np.int32)
        dtype = np.uint8 if bits.max() <= 8 else np.uint16
        return cls(
            pair=pair,
            films=tuple(each.film for each in pairs),
            lr=np.stack([each.lr for each in pairs]).astype(dtype),
            hr=np.stack([each.hr for each in pairs]).astype(dtype),
            bits=bits,
            skipped=tuple(skipped),
        )

    def __len__(self) -> int:
        return len(self.films)

    def frames(self, batch: int) -> tf.data.Dataset:
        """Whole films in order: batches of (LR, HR), float32 in [0, 1]."""
        dataset = tf.data.Dataset.from_tensor_slices((self.lr, self.hr, self.bits))
        return dataset.batch(batch).map(_to_float).prefetch(tf.data.AUTOTUNE)


def training_batches(
    cache: PairCache,
    *,
    batch: int,
    crop: int | None,
    flips: bool,
    seed: int,
    first_step: int = 0,
    pipeline: tuple[int, int] = (0, 1),
    replicas: int = 1,
) -> tf.data.Dataset:
    """Endless batches of aligned random crops, shuffled anew each epoch.

    Several processes, each with several replicas, draw together what one would draw alone.

    Args:
        cache: The films to draw from.
        batch: Images in the batch of a step, on all processes and replicas together.
        crop: Side of the LR crop in pixels, None for whole films.
        flips: Mirror half of them left to right. Leave off where laterality matters.
        seed: The same seed gives the same batches.
        first_step: Number of steps to pass over, for a run that resumes.
        pipeline: (index, count) of this process among those that read.
        replicas: Devices this process feeds; the batch of a step comes in that many parts.

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
    count, scale = len(cache), cache.pair.scale
    lr_size = cache.pair.lr if crop is None else (crop, crop)
    if any(side > limit for side, limit in zip(lr_size, cache.pair.lr, strict=True)):
        raise UserError(
            f"The crop must fit into the LR image of {cache.pair}. Received: crop={crop}"
        )
    hr_size = tuple(side * scale for side in lr_size)
    free = [limit - side + 1 for limit, side in zip(cache.pair.lr, lr_size, strict=True)]
    lr_all, hr_all, bits_all = (tf.constant(each) for each in (cache.lr, cache.hr, cache.bits))

    def draw(own: tf.Tensor):
        position = own // share * batch + process * share + own % share
        epoch, place = position // count, position % count
        row = tf.random.experimental.index_shuffle(place, tf.stack([seed, epoch]), count - 1)
        chance = tf.random.stateless_uniform([3], tf.stack([seed, position]))
        top, left = (tf.cast(chance[axis] * free[axis], tf.int64) for axis in range(2))
        lr = tf.slice(lr_all, [row, top, left, 0], [1, *lr_size, 1])[0]
        hr = tf.slice(hr_all, [row, top * scale, left * scale, 0], [1, *hr_size, 1])[0]
        if flips:
            mirror = chance[2] < 0.5
            lr, hr = (tf.where(mirror, image[:, ::-1], image) for image in (lr, hr))
        return lr, hr, bits_all[row]

    return (
        tf.data.Dataset.range(first_step * share, np.iinfo(np.int64).max)
        .map(draw, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(share // replicas, drop_remainder=True)
        .map(_to_float, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _to_float(lr: tf.Tensor, hr: tf.Tensor, bits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    levels = (2.0 ** tf.cast(bits, tf.float32) - 1.0)[:, None, None, None]
    return tf.cast(lr, tf.float32) / levels, tf.cast(hr, tf.float32) / levels
