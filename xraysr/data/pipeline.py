"""From films to (LR, HR) pairs: a tf.data pipeline that makes the LR twins on the fly.

`film_pairs` decodes, fits to HR size and degrades, one film at a time. `PairCache` keeps the
result, in memory or on disk, as the integers the files hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from xraysr.data.cache import DiskCache, MappedRows, StoredPair
from xraysr.data.fit import load_hr
from xraysr.degradation import (
    AS_FOUND,
    DEFAULT,
    Degrade,
    degradation_key,
    degradation_name,
    degrade_with,
)
from xraysr.errors import BadImageError, UserError
from xraysr.films.finder import Film
from xraysr.films.manifest import pixels_crc32
from xraysr.films.walk import Skipped
from xraysr.io import read
from xraysr.pair import Pair, Size


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
    films: Sequence[Film],
    pair: Pair,
    fit: str,
    skipped: list[Skipped],
    degradation: Degrade | None = None,
) -> Iterator[StoredPair]:
    """Decodes `films` in parallel and yields their pairs in order.

    Films that cannot be used are appended to `skipped` with the reason, and left out.

    Args:
        films: The films; those of pair folders keep the LR twin they have.
        pair: The sizes.
        fit: How films are fitted to HR size.
        skipped: What is left out is appended.
        degradation: Makes LR, float (h, w) in [0, 1], from HR, float32 in [0, 1], and the LR
            size; it is called from several threads. By default `degrade`.

    Raises:
        UserError: if `degradation` gives another shape; also whatever it raises itself.
    """
    failures: list[Exception] = []
    noticed: dict[int, list[str]] = {}
    foreign: set[int] = set()  # whose twin is the user's own, not what the manifest means

    def load(index: np.int64) -> tuple[np.ndarray, np.ndarray, np.int32]:
        film = films[int(index)]
        nothing = np.zeros(pair.lr, np.uint16), np.zeros(pair.hr, np.uint16), np.int32(0)
        try:
            hr, bits = load_hr(film.path, pair.hr, fit, noticed.setdefault(int(index), []))
            lr = _prepared_lr(film.lr_path, pair, bits) if film.lr_path else np.zeros(pair.lr)
        except UserError as error:
            skipped.append(Skipped.because(film.path, error))
            return nothing
        if film.lr_path is not None and pixels_crc32(lr) != film.lr_crc32:
            foreign.add(int(index))
        if degradation is not None and film.lr_path is None:
            levels = np.float64((1 << bits) - 1)
            try:
                lr = np.round(degrade_with(degradation, hr / levels, pair.lr, bits) * levels)
            except Exception as error:
                failures.append(error)
                return nothing
        return lr.astype(np.uint16), hr.astype(np.uint16), np.int32(bits)

    def make_lr(index, lr, hr, bits):
        levels = 2.0 ** tf.cast(bits, tf.float32) - 1.0
        made = degrade(tf.cast(hr, tf.float32) / levels, pair.lr, bits) * levels
        return index, tf.where(given[index], lr, tf.cast(tf.round(made), tf.uint16)), hr, bits

    def decode(index):
        lr, hr, bits = tf.numpy_function(load, [index], (tf.uint16, tf.uint16, tf.int32))
        lr.set_shape(pair.lr)
        hr.set_shape(pair.hr)
        return index, lr[..., None], hr[..., None], tf.ensure_shape(bits, [])

    given = [degradation is not None or film.lr_path is not None for film in films]
    given = tf.constant(given, tf.bool)
    dataset = (
        tf.data.Dataset.range(len(films))
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        .filter(lambda index, lr, hr, bits: bits > 0)
        .map(make_lr, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    for index, lr, hr, bits in dataset.as_numpy_iterator():
        if failures:
            break
        film = films[index]
        if index in foreign:
            film = replace(film, degradation=AS_FOUND)
        yield StoredPair(film, lr, hr, int(bits), tuple(noticed.pop(index)))
    if failures:
        raise failures[0]


def degradation_text(films: Iterable[Film], degradation: Degrade | None = None) -> str:
    """How the LR twins of `films` were made, for tables, cards and JSON.

    Films of a pair folder have those found there. The films of a `PairCache`, or of what
    `film_pairs` yields, are the ones to ask for: their twins were compared with what the
    manifest says.
    """
    made = degradation_name(degradation)
    texts = {(film.degradation or AS_FOUND) if film.lr_path else made for film in films}
    return " and ".join(sorted(texts)) or made


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
    """Films of one pair, in memory or on disk, as the integers their files hold.

    Args:
        pair: The sizes.
        films: Where each row came from.
        lr: uint8 (uint16 for films of more than 8 bits), shape (n, *pair.lr, 1).
        hr: The same dtype, shape (n, *pair.hr, 1).
        bits: int32, shape (n,).
        skipped: Films that could not be used, with the reason.
        degradation: How LR was made, in words.
    """

    pair: Pair
    films: tuple[Film, ...]
    lr: np.ndarray | MappedRows
    hr: np.ndarray | MappedRows
    bits: np.ndarray
    skipped: tuple[Skipped, ...]
    degradation: str = DEFAULT

    @classmethod
    def load(
        cls,
        films: Sequence[Film],
        pair: Pair,
        fit: str = "crop",
        track: Callable[[Iterable[StoredPair]], Iterable[StoredPair]] = iter,
        *,
        folder: Path | None = None,
        pipeline: tuple[int, int] = (0, 1),
        degradation: Degrade | None = None,
    ) -> PairCache:
        """Reads `films` once.

        Args:
            films: The films, in the order of the rows.
            pair: The sizes.
            fit: How films are fitted to HR size.
            track: Wraps the iteration over the films, for a progress bar.
            folder: Where to keep the pairs on disk and find them again; by default they are kept
                in memory. Several processes share the work of filling it.
            pipeline: (index, count) of this process among those that fill `folder`.
            degradation: Makes LR from HR and the LR size, as `film_pairs` takes it.

        Raises:
            UserError: if none of the films can be used, or `folder` cannot be.
        """
        if folder is not None:
            return cls._on_disk(films, pair, fit, track, Path(folder), pipeline, degradation)
        skipped: list[Skipped] = []
        stream = film_pairs(films, pair, fit, skipped, degradation)
        pairs = list(track(stream))
        _require_some(len(pairs), films, pair, skipped)
        bits = np.array([each.bits for each in pairs], np.int32)
        dtype = np.uint8 if bits.max() <= 8 else np.uint16
        return cls(
            pair=pair,
            films=tuple(each.film for each in pairs),
            lr=np.stack([each.lr for each in pairs]).astype(dtype),
            hr=np.stack([each.hr for each in pairs]).astype(dtype),
            bits=bits,
            skipped=tuple(skipped),
            degradation=degradation_text((each.film for each in pairs), degradation),
        )

    @classmethod
    def _on_disk(
        cls,
        films: Sequence[Film],
        pair: Pair,
        fit: str,
        track: Callable[[Iterable[StoredPair]], Iterable[StoredPair]],
        folder: Path,
        pipeline: tuple[int, int],
        degradation: Degrade | None,
    ) -> PairCache:
        disk = DiskCache(folder, films, pair, fit, degradation_key(degradation))
        stream = disk.fill(
            lambda some, left: film_pairs(some, pair, fit, left, degradation), pipeline
        )
        for _ in track(stream):
            pass
        contents = disk.contents()
        as_found = {row for content in contents for row in content["as_found"]}
        rows = [row for content in contents for row in content["films"]]
        used = tuple(
            replace(films[row], degradation=AS_FOUND) if row in as_found else films[row]
            for row in rows
        )
        skipped = [
            Skipped(films[row].path, why) for content in contents for row, why in content["skipped"]
        ]
        _require_some(len(rows), films, pair, skipped)
        bits = np.array([each for content in contents for each in content["bits"]], np.int32)
        dtype = np.uint8 if bits.max() <= 8 else np.uint16
        counts = [len(content["films"]) for content in contents]
        return cls(
            pair=pair,
            films=used,
            lr=disk.rows("lr", counts, dtype),
            hr=disk.rows("hr", counts, dtype),
            bits=bits,
            skipped=tuple(skipped),
            degradation=degradation_text(used, degradation),
        )

    def __len__(self) -> int:
        return len(self.films)


def _require_some(
    usable: int, films: Sequence[Film], pair: Pair, skipped: Sequence[Skipped]
) -> None:
    if not usable:
        reasons = "; ".join(map(str, skipped[:3]))
        raise UserError(f"None of {len(films)} films can be used for {pair}: {reasons}")
