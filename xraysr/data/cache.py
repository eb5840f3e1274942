"""Pairs on disk, for sets larger than memory: shards of arrays that are mapped, not read.

A cache lies in a folder named by a hash of all that decides its content, so other films or other
settings never meet it, and the same ones find it again. Each shard is a folder, written whole or
not at all:

    64x256-<hash>/shard-00000-of-00002/{lr.npy,hr.npy,shard.json}
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xraysr.degradation import AS_FOUND, DEFAULT
from xraysr.errors import UserError
from xraysr.files import make_folder, write_json
from xraysr.films.finder import Film
from xraysr.films.walk import Skipped
from xraysr.pair import Pair

FORMAT = 2  # raise it when the same films would give other numbers, or other files
SHARD_FILMS = 64
SHARD_BYTES = 32 << 20
OPEN_SHARDS = 256  # two open files each
PATIENCE = 900.0
POLL = 1.0


class StoredPair(NamedTuple):
    """One film at both sizes as integers of `bits` bits: uint16, (height, width, 1).

    `notices` are the codes of what its reader should know, where the film was read just now.
    """

    film: Film
    lr: np.ndarray
    hr: np.ndarray
    bits: int
    notices: tuple[str, ...] = ()


Decode = Callable[[Sequence[Film], list[Skipped]], Iterable[StoredPair]]


class Shard(NamedTuple):
    """A folder of the cache and the films it is made of, as a range of their positions."""

    path: Path
    films: range


class MappedRows:
    """Images of many shards as one array, of which only the parts asked for are read.

    Args:
        paths: One .npy file per shard, of shape (rows, height, width, 1).
        counts: Rows in each.
        dtype: What rows are given as; the widest of the files'.
    """

    def __init__(self, paths: Sequence[Path], counts: Sequence[int], dtype: type) -> None:
        self._paths = paths
        self._ends = np.cumsum(counts)
        self._dtype = dtype
        self._open = lru_cache(OPEN_SHARDS)(_mapped)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, row: int) -> np.ndarray:
        shard = int(np.searchsorted(self._ends, row, side="right"))
        rows = self._open(self._paths[shard])
        return rows[row - int(self._ends[shard])].astype(self._dtype, copy=False)

    @property
    def dtype(self) -> np.dtype:
        """Of every row: uint8 or uint16."""
        return np.dtype(self._dtype)


class DiskCache:
    """The shards of one set of films.

    Args:
        root: Folder of caches; several processes, also on several machines, may share it.
        films: Films in order.
        pair: The sizes.
        fit: How films are fitted to HR size.
        degradation: Key of what makes LR from HR.
    """

    def __init__(
        self,
        root: Path,
        films: Sequence[Film],
        pair: Pair,
        fit: str,
        degradation: str = DEFAULT,
    ) -> None:
        self.films = tuple(films)
        image = 2 * (prod(pair.lr) + prod(pair.hr))
        size = min(SHARD_FILMS, max(1, SHARD_BYTES // image))
        key = content_key(films, pair, fit, size, degradation)
        self.folder = Path(root) / f"{pair.folder}-{key[:32]}"
        starts = range(0, len(films), size)
        self.shards = [
            Shard(
                self.folder / f"shard-{number:05}-of-{len(starts):05}",
                range(start, min(start + size, len(films))),
            )
            for number, start in enumerate(starts)
        ]

    def fill(self, decode: Decode, pipeline: tuple[int, int]) -> Iterator[StoredPair]:
        """Writes the shards of this process, waits for those of the others; yields every pair.

        Args:
            decode: Makes pairs of films in their order, and names those it leaves out.
            pipeline: (index, count) of this process among those that fill the cache.

        Raises:
            UserError: if the cache cannot be written, is damaged, or another process does not
                write its shards.
        """
        make_folder(self.folder)
        index, count = pipeline
        for number in range(index, len(self.shards), count):
            shard = self.shards[number]
            if shard.path.is_dir():
                yield from self._read(shard)
            else:
                self.shards[number] = yield from self._write(shard, decode, alone=count == 1)
        for number, shard in enumerate(self.shards):
            if number % count != index:
                self._wait_for(shard, number % count)
                yield from self._read(shard)
        for unfinished in self.folder.glob(".shard-*"):  # what killed processes left
            shutil.rmtree(unfinished, ignore_errors=True)

    def contents(self) -> list[dict[str, Any]]:
        """What shard.json of every shard says: film positions, bits, and films left out."""
        return [json.loads((s.path / "shard.json").read_text("utf-8")) for s in self.shards]

    def rows(self, name: str, counts: Sequence[int], dtype: type) -> MappedRows:
        """The images `name`, "lr" or "hr", of all shards."""
        return MappedRows([s.path / f"{name}.npy" for s in self.shards], counts, dtype)

    def _write(
        self, shard: Shard, decode: Decode, alone: bool
    ) -> Generator[StoredPair, None, Shard]:
        """Yields the pairs of a shard and writes them; returns the shard where it lies."""
        skipped: list[Skipped] = []
        pairs: list[StoredPair] = []
        films = self.films[shard.films.start : shard.films.stop]
        for pair in decode(films, skipped):
            pairs.append(pair)
            yield pair
        unread = [each for each in skipped if each.transient]
        if unread and not alone:
            raise UserError(f"{unread[0]}. The cache would lack this film: try again.")
        if unread:  # for this process only: the next one tries to read them again
            kept = self.folder / f"partial-{shard.path.name}-{secrets.token_hex(4)}"
            atexit.register(shutil.rmtree, kept, ignore_errors=True)
            shard = shard._replace(path=kept)
        positions = {film.path: position for position, film in enumerate(films, shard.films.start)}
        left_out = sorted((positions[each.path], each.reason) for each in skipped)
        temporary = self.folder / f".{shard.path.name}-{secrets.token_hex(4)}"
        try:
            temporary.mkdir()
            dtype = _dtype(pair.bits for pair in pairs)
            for name in ("lr", "hr") if pairs else ():
                images = np.empty((len(pairs), *getattr(pairs[0], name).shape), dtype)
                for row, pair in enumerate(pairs):
                    images[row] = getattr(pair, name)
                np.save(temporary / f"{name}.npy", images)
            content = {
                "films": [positions[pair.film.path] for pair in pairs],
                "bits": [pair.bits for pair in pairs],
                "skipped": left_out,
                "as_found": [
                    positions[pair.film.path]
                    for pair in pairs
                    if pair.film.lr_path and pair.film.degradation == AS_FOUND
                ],
            }
            write_json(temporary / "shard.json", content)
            os.rename(temporary, shard.path)
        except OSError as error:
            if not shard.path.is_dir():  # else another process was first, with the same content
                raise UserError(
                    f"The cache {self.folder} cannot be written: {error.strerror or error}. Free "
                    "the disk, or name another cache folder; what is written is used again."
                ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return shard

    def _read(self, shard: Shard) -> Iterator[StoredPair]:
        """The pairs of a shard as views of its files, which shows that these are whole."""
        try:
            content = json.loads((shard.path / "shard.json").read_text("utf-8"))
            if not content["films"]:
                return
            lr, hr = (_mapped(shard.path / f"{name}.npy") for name in ("lr", "hr"))
            if not len(lr) == len(hr) == len(content["films"]) == len(content["bits"]):
                raise ValueError("its files disagree")
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"The shard {shard.path} of the cache is damaged: {error}. Delete it; it is made "
                "anew."
            ) from error
        for row, (film, bits) in enumerate(zip(content["films"], content["bits"], strict=True)):
            yield StoredPair(self.films[film], lr[row], hr[row], bits)

    def _wait_for(self, shard: Shard, worker: int) -> None:
        """Returns when the shard is there; any new shard restarts the wait."""
        seen, since = -1, time.monotonic()
        while not shard.path.is_dir():
            there = sum(each.path.is_dir() for each in self.shards)
            if there > seen:
                seen, since = there, time.monotonic()
            if time.monotonic() - since > PATIENCE:
                raise UserError(
                    f"Worker {worker} has not written {shard.path} and no shard was added for "
                    f"{PATIENCE:g} s ({there} of {len(self.shards)} are there). See whether it "
                    "runs, and reads the same films (names, sizes, dates) and cache folder."
                )
            time.sleep(POLL)


def content_key(
    films: Sequence[Film], pair: Pair, fit: str, shard_films: int, degradation: str
) -> str:
    """sha256 of all that decides what a cache of `films` holds, as hexadecimal digits.

    Films count with their path below the folder they share, their size and their time of change,
    so a copy that keeps the dates, elsewhere or on another machine, finds the same cache.
    """
    top = os.path.commonpath([film.path.absolute().parent for film in films]) if films else ""
    files = [
        [_identity(path, top) for path in (film.path, film.lr_path) if path is not None]
        for film in films
    ]
    settings = [FORMAT, str(pair), fit, shard_films, degradation, files]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()


def _identity(path: Path, top: str) -> list[Any]:
    name = Path(os.path.relpath(path.absolute(), top)).as_posix()
    try:
        status = path.stat()
    except OSError:  # it will be skipped, by name
        return [name, None, None]
    return [name, status.st_size, status.st_mtime_ns]


def _mapped(path: Path) -> np.ndarray:
    """The array of a .npy file, read-only, its pages read when they are touched."""
    return np.asarray(np.load(path, mmap_mode="r"))


def _dtype(bits: Iterable[int]) -> type:
    return np.uint8 if max(bits, default=8) <= 8 else np.uint16
