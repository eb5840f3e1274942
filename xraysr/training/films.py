"""The films of a run: found, split, decoded, and listed in data.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from xraysr.data.pipeline import PairCache
from xraysr.data.remote import is_remote, local_copy
from xraysr.degradation import Degrade
from xraysr.errors import UserError
from xraysr.films.finder import Film, Skipped
from xraysr.films.index import FilmIndex, index_films
from xraysr.progress import track
from xraysr.training.config import TrainConfig

MAX_VALIDATION_FILMS = 64
SHOWN = 20  # skipped films that are named on the terminal


@dataclass(frozen=True)
class RunFilms:
    """The films of a run.

    Args:
        data: Where they came from: a folder, or an address such as gs://bucket/films.
        index: All films found, with their splits.
        train: Those to train on, decoded, for each pair of the run.
        val: Those to validate on, likewise.
        not_copied: Films that could not be brought from object storage.
    """

    data: str
    index: FilmIndex
    train: tuple[PairCache, ...]
    val: tuple[PairCache, ...]
    not_copied: tuple[Skipped, ...] = ()

    @property
    def degradation(self) -> str:
        """How the LR images were made."""
        return ", ".join(dict.fromkeys(cache.degradation for cache in self.train))

    @classmethod
    def load(
        cls,
        config: TrainConfig,
        data: str | Path,
        cache: Path | None = None,
        pipeline: tuple[int, int] = (0, 1),
        degradation: Degrade | None = None,
    ) -> RunFilms:
        """Finds, splits and decodes the films below `data`.

        Args:
            config: Pair, fit and split of the run.
            data: A folder, or an address that `tf.io.gfile` reads; that needs `cache`.
            cache: Folder that keeps decoded films on disk; by default they are kept in memory.
            pipeline: (index, count) of this process among those that decode.
            degradation: How LR is made of HR; by default antialiased Lanczos.

        Raises:
            UserError: if there are no films to train or validate on, or none can be used.
        """
        not_copied: list[Skipped] = []
        folder = Path(data) if not is_remote(data) else _copied(str(data), cache, not_copied)
        index = index_films(
            folder,
            resplit=config.resplit,
            allow_shared_patients=config.allow_shared_patients,
            patients=config.patients,
            patient_column=config.patient_column,
            path_column=config.path_column,
        )
        films, validation = index.require("train"), index.require("val")
        validation = validation[:: -(-len(validation) // MAX_VALIDATION_FILMS)]

        def decode(films: Sequence[Film], split: str) -> tuple[PairCache, ...]:
            return tuple(
                PairCache.load(
                    films,
                    pair,
                    config.fit,
                    partial(
                        track, description=f"Reading {split} films for {pair}", total=len(films)
                    ),
                    folder=cache,
                    pipeline=pipeline,
                    degradation=degradation,
                )
                for pair in config.pairs
            )

        return cls(
            data=str(data),
            index=index,
            train=decode(films, "train"),
            val=decode(validation, "val"),
            not_copied=tuple(not_copied),
        )

    def remarks(self) -> list[str]:
        """What a person should know before the run: splits, patients, and what was skipped."""
        decoded = [each for cache in (*self.train, *self.val) for each in cache.skipped]
        skipped = list(dict.fromkeys((*self.not_copied, *decoded)))
        more = [f"skipped: {len(skipped) - SHOWN} more, named in data.json"]
        return [
            *self.index.summary().splitlines(),
            *(f"skipped: {each}" for each in skipped[:SHOWN]),
            *(more if len(skipped) > SHOWN else ()),
        ]

    def to_json(self) -> dict[str, Any]:
        """Content of data.json: films by split, and what was skipped, with the reason."""
        decoded = [each for cache in (*self.train, *self.val) for each in cache.skipped]
        skipped = (*self.not_copied, *self.index.skipped, *decoded)
        return {
            "root": self.data if is_remote(self.data) else str(self.index.root),
            "train": self._names(used_films(self.train)),
            "val": self._names(used_films(self.val)),
            "test": self._names(self.index.of("test")),
            "skipped": [{"path": str(each.path), "reason": each.reason} for each in skipped],
        }

    def require_same(self, before: dict[str, Any]) -> None:
        """Raises `UserError` unless they are the films of data.json `before`.

        A run resumed on other films would silently draw other batches.
        """
        then, now = set(before["train"]), set(self._names(used_films(self.train)))
        if then != now:
            raise UserError(
                f"The films under {self.data} changed since the run began: {len(now - then)} are "
                f"new, {len(then - now)} are gone. Restore them, or start a new run."
            )

    def _names(self, films: Sequence[Film]) -> list[str]:
        return [str(film.path.relative_to(self.index.root)) for film in films]


def used_films(caches: Sequence[PairCache]) -> list[Film]:
    """The films of all `caches`, each once, in order."""
    return list(dict.fromkeys(film for cache in caches for film in cache.films))


def _copied(data: str, cache: Path | None, skipped: list[Skipped]) -> Path:
    if cache is None:
        raise UserError(
            f"Films on object storage are copied first: name a folder for them with cache. "
            f"Received: {data}"
        )
    return local_copy(
        data, cache / "films", skipped, lambda files, total: track(files, "Copying films", total)
    )
