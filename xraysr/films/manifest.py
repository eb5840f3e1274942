"""What `prepare` wrote and from where: `manifest.json`, and the journal that precedes it.

While a run is under way every finished film is one line of `.prepare.jsonl`; when all are done
the lines become `manifest.json`, in the order of the source folder and without dates, so two runs
over the same films leave the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from xraysr.errors import UserError
from xraysr.files import whole_file, write_json

MANIFEST, JOURNAL = "manifest.json", ".prepare.jsonl"


@dataclass(frozen=True)
class PreparedFilm:
    """One source film and the pair folders it was written to.

    Args:
        source: Path below the source folder, with forward slashes.
        sha256: Of the source file.
        name: Stem of the LR and HR files.
        patient: Patient id, as the split used it.
        label: Class folder, where the source had one.
        split: Folder the film was written to: "train", "val" or "test".
        bits: Grey levels of the source are `2 ** bits`.
        pairs: Names of the pair folders that hold it, such as `("64x256",)`.
        left_out: Pair folder to the reason why the film is not in it.
        lr_crc32: Pair folder to the CRC-32 of the LR image in it, as `pixels_crc32` counts it.
    """

    source: str
    sha256: str
    name: str
    patient: str
    label: str | None
    split: str
    bits: int
    pairs: tuple[str, ...]
    left_out: dict[str, str]
    lr_crc32: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> PreparedFilm:
        """Reads what `dataclasses.asdict` wrote."""
        return cls(**{**content, "pairs": tuple(content["pairs"])})


@dataclass(frozen=True)
class Manifest:
    """The settings of a prepared folder, its films, and the files that gave none.

    Args:
        settings: What decides the pixels: pairs, fit, split, degradation.
        films: Every film in at least one pair folder, in the order of the source.
        skipped: (path below the source folder, reason) of every file left out of all pairs.
        complete: Whether the run that wrote it reached its end.
    """

    settings: dict[str, Any]
    films: tuple[PreparedFilm, ...]
    skipped: tuple[tuple[str, str], ...]
    complete: bool = True

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], PreparedFilm]:
        return {(film.split, film.name): film for film in self.films}

    def film(self, split: str, name: str) -> PreparedFilm | None:
        """The film written to the folder of `split` under `name`, if any."""
        return self._by_name.get((split, name))

    def summary(self) -> str:
        """Films per pair and split, how LR was made, and what was left out and why."""
        lines = []
        for pair in self.settings["pairs"]:
            inside = [film for film in self.films if pair in film.pairs]
            counts = Counter(film.split for film in inside)
            split = ", ".join(f"{counts[s]} {s}" for s in ("train", "val", "test") if counts[s])
            lines.append(f"{pair}: {len(inside)} films" + (f" ({split})" if split else ""))
            absent = [(f.source, f.left_out[pair]) for f in self.films if pair in f.left_out]
            lines += _reasons("left out", absent)
        lines += [f"LR: {made}"] if (made := self.settings.get("degradation")) else []
        return "\n".join([*lines, *_reasons("skipped", self.skipped)])


def _reasons(verb: str, skipped: Iterable[tuple[str, str]], shown: int = 5) -> list[str]:
    skipped = list(skipped)
    lines = [f"  {verb} {path}: {reason}" for path, reason in skipped[:shown]]
    if len(skipped) > shown:
        lines.append(f"  {verb} {len(skipped) - shown} more, named in {MANIFEST}")
    return lines


def pixels_crc32(stored: np.ndarray) -> int:
    """CRC-32 of integer grey levels (height, width), as 16 bits each, low byte first."""
    return crc32(stored.astype("<u2").tobytes())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes `folder/manifest.json` whole."""
    content = {
        "settings": manifest.settings,
        "films": [asdict(film) for film in manifest.films],
        "skipped": [{"path": path, "reason": reason} for path, reason in manifest.skipped],
    }
    write_json(folder / MANIFEST, content)


def start_journal(folder: Path, settings: dict[str, Any], films: Iterable[PreparedFilm]) -> None:
    """Replaces manifest and journal of `folder` by a journal of the `films` done so far."""
    with whole_file(folder / JOURNAL) as temporary:
        lines = [{"settings": settings}, *map(asdict, films)]
        temporary.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    (folder / MANIFEST).unlink(missing_ok=True)


def load_manifest(folder: Path) -> Manifest | None:
    """What `folder` says was prepared in it; None when it says nothing.

    A journal stands for an unfinished run; its last line may be torn and is then ignored.

    Raises:
        UserError: if the manifest is not a manifest of xraysr.
    """
    journal, manifest = folder / JOURNAL, folder / MANIFEST
    try:
        if journal.is_file():
            return _from_journal(journal)
        if manifest.is_file():
            content = json.loads(manifest.read_text("utf-8"))
            return Manifest(
                content["settings"],
                tuple(map(PreparedFilm.from_json, content["films"])),
                tuple((item["path"], item["reason"]) for item in content["skipped"]),
            )
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"{folder} holds a {MANIFEST} or {JOURNAL} that xraysr prepare did not write, or that "
            f"was damaged ({type(error).__name__}: {error}). Name another folder, or remove it."
        ) from error
    return None


def _from_journal(path: Path) -> Manifest:
    # The newline ends a record: a line without one was cut off while it was written.
    header, *lines = path.read_text("utf-8").split("\n")[:-1]
    films = {film.source: film for film in map(PreparedFilm.from_json, map(json.loads, lines))}
    return Manifest(json.loads(header)["settings"], tuple(films.values()), (), complete=False)
