"""Finds the films of a folder tree, and names what is none.

Nothing is decoded here: files are found by suffix (a DICOM file without one is listed as
"not an image"), and only DICOM headers are opened, for the patient.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from xraysr.films.manifest import JOURNAL, load_manifest
from xraysr.films.patients import patient_id
from xraysr.io import IMAGE_SUFFIXES

SPLIT_FOLDERS = {"train": "train", "test": "test"} | dict.fromkeys(
    ("val", "valid", "validation"), "val"
)
PAIR_FOLDER = re.compile(r"\d+x\d+(_\d+x\d+)?")


@dataclass(frozen=True)
class Film:
    """One film on disk.

    Args:
        path: The file; of a prepared pair folder, the HR one.
        name: Unique within the index and usable as a file name; the stem wherever possible.
        patient: Patient id.
        label: Class folder right above the file, if any.
        split: "train", "val" or "test".
        lr_path: The LR twin, in prepared pair folders only.
    """

    path: Path
    name: str
    patient: str
    label: str | None
    split: str
    lr_path: Path | None = None


@dataclass(frozen=True)
class Skipped:
    """A file that could not be used, and why; the reason does not repeat the path."""

    path: Path
    reason: str

    @classmethod
    def because(cls, path: Path, error: Exception) -> Skipped:
        """The file at `path`, left out because of `error`."""
        return cls(path, str(error).removeprefix(str(path)).lstrip(": "))

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def find_films(root: Path) -> tuple[list[Film], list[Skipped]]:
    """Films below `root`, sorted by path, and the files that are none.

    The split of a film is that of the folder it lies in, empty outside of split folders.
    """
    films, skipped = _paired(root) if is_pair_folder(root) else _scanned(root)
    return _named(root, films), skipped


def pair_folders(root: Path) -> list[str]:
    """Names of the prepared pair folders right below `root`, sorted."""
    names = [p.name for p in root.iterdir() if PAIR_FOLDER.fullmatch(p.name)]
    return sorted(name for name in names if is_pair_folder(root / name))


def is_pair_folder(root: Path) -> bool:
    """Whether `root` holds split folders with lr and hr folders in them."""
    return any(
        child.name.lower() in SPLIT_FOLDERS and ((child / "hr").is_dir() or (child / "lr").is_dir())
        for child in (root.iterdir() if root.is_dir() else ())
    )


def _walk(root: Path) -> Iterator[Path]:
    """Files below `root` in sorted order, through links to folders but never in circles."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        yield from (Path(folder, name) for name in sorted(files))


def _scanned(root: Path) -> tuple[list[Film], list[Skipped]]:
    """Films of an ordinary tree; `split` is the split folder's, or empty."""
    films: list[Film] = []
    skipped: list[Skipped] = []
    first: dict[tuple[str, ...], Path] = {}
    top = root.resolve().name
    for path in sorted(_walk(root), key=lambda p: (len(p.parts), p.parts)):
        parts = path.relative_to(root).parts
        key = _undoubled((top, *parts))
        if reason := _not_a_film(parts):
            skipped.append(Skipped(path, reason))
        elif key in first:
            skipped.append(Skipped(path, "a doubled folder's second copy of a film"))
        else:
            first[key] = path
            split = next((s for p in parts[:-1] if (s := SPLIT_FOLDERS.get(p.lower()))), "")
            parent = parts[-2] if len(parts) > 1 else None
            label = None if parent is None or parent.lower() in SPLIT_FOLDERS else parent
            films.append(Film(path, path.stem, patient_id(path), label, split))
    return films, skipped


def _not_a_film(parts: tuple[str, ...]) -> str | None:
    """Why the file at these path parts is no film, or None."""
    if "__MACOSX" in parts or any(p.startswith(".") for p in parts):
        return "a hidden or system file"
    if parts[-1].lower() in ("thumbs.db", "desktop.ini"):
        return "a hidden or system file"
    if PurePath(parts[-1]).suffix.lower() not in IMAGE_SUFFIXES:
        return "not an image"
    try:
        "".join(parts).encode("utf-8")
    except UnicodeEncodeError:
        return "its path is not UTF-8 text"
    return None


def _undoubled(parts: tuple[str, ...]) -> tuple[str, ...]:
    """`parts` with a folder named like the one above it taken out (`chest_xray/chest_xray`)."""
    folders = parts[:-1]
    kept = [p for i, p in enumerate(folders) if i == 0 or p.lower() != folders[i - 1].lower()]
    return (*kept, parts[-1])


def _paired(root: Path) -> tuple[list[Film], list[Skipped]]:
    """Films of a prepared pair folder: HR files with their LR twins."""
    manifest = load_manifest(root.parent)
    known = {(film.split, film.name): film for film in manifest.films} if manifest else {}
    films: list[Film] = []
    skipped: list[Skipped] = []
    if manifest and not manifest.complete:
        unfinished = "prepare did not finish: run the same command again to add the other films"
        skipped.append(Skipped(root.parent / JOURNAL, unfinished))
    paths = list(_walk(root))
    present = {path.relative_to(root).parts for path in paths}
    for path in paths:
        parts = path.relative_to(root).parts
        folder = SPLIT_FOLDERS.get(parts[0].lower())
        kind = parts[1] if len(parts) == 3 else ""
        twin = {"lr": "hr", "hr": "lr"}.get(kind)
        if reason := _not_a_film(parts):
            skipped.append(Skipped(path, reason))
        elif folder is None or twin is None:
            skipped.append(Skipped(path, "outside the lr and hr folders of a pair"))
        elif (parts[0], twin, parts[2]) not in present:
            skipped.append(Skipped(path, f"its {twin.upper()} twin is missing"))
        elif kind == "hr":
            record = known.get((folder, path.stem))
            patient = record.patient if record else patient_id(path)
            label = record.label if record else None
            lr_path = root / parts[0] / "lr" / parts[2]
            films.append(Film(path, path.stem, patient, label, folder, lr_path))
    return films, skipped


def _named(root: Path, films: list[Film]) -> list[Film]:
    """Sorts films by path; those of one stem get the stem and a hash of their path as name."""
    films = sorted(films, key=lambda film: film.path.parts)
    # Lower case, for file systems that do not tell A from a.
    counts = Counter(film.name.lower() for film in films)
    return [
        replace(film, name=f"{film.name}-{_short_hash(film.path.relative_to(root))}")
        if counts[film.name.lower()] > 1
        else film
        for film in films
    ]


def _short_hash(path: Path) -> str:
    return hashlib.sha256(path.as_posix().encode()).hexdigest()[:8]
