"""Finds the films of a folder tree, and names what is none.

`walk` says which files are films; here they get a name, a patient, a label and the split of the
folder they lie in.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from xraysr.films.manifest import JOURNAL, load_manifest
from xraysr.films.patients import patient_id
from xraysr.films.walk import Skipped, stem_of, walk_films

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


def _scanned(root: Path) -> tuple[list[Film], list[Skipped]]:
    """Films of an ordinary tree; `split` is the split folder's, or empty."""
    films: list[Film] = []
    found, skipped = walk_films(root)
    first: dict[tuple[str, ...], Path] = {}
    top = root.resolve().name
    for each in sorted(found, key=lambda each: (len(each.path.parts), each.path.parts)):
        parts = each.path.relative_to(root).parts
        key = _undoubled((top, *parts))
        if key in first:
            skipped.append(Skipped(each.path, "a doubled folder's second copy of a film"))
            continue
        first[key] = each.path
        split = next((s for p in parts[:-1] if (s := SPLIT_FOLDERS.get(p.lower()))), "")
        parent = parts[-2] if len(parts) > 1 else None
        label = None if parent is None or parent.lower() in SPLIT_FOLDERS else parent
        patient = patient_id(each.path, each.header)
        films.append(Film(each.path, stem_of(each.path.name), patient, label, split))
    return films, skipped


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
    found, others = walk_films(root)
    skipped += others
    present = {each.path.relative_to(root).parts for each in found}
    for path in (each.path for each in found):
        parts = path.relative_to(root).parts
        folder = SPLIT_FOLDERS.get(parts[0].lower())
        kind = parts[1] if len(parts) == 3 else ""
        twin = {"lr": "hr", "hr": "lr"}.get(kind)
        if folder is None or twin is None:
            skipped.append(Skipped(path, "outside the lr and hr folders of a pair"))
        elif (parts[0], twin, parts[2]) not in present:
            skipped.append(Skipped(path, f"its {twin.upper()} twin is missing"))
        elif kind == "hr":
            name = stem_of(path.name)
            record = known.get((folder, name))
            patient = record.patient if record else patient_id(path)
            label = record.label if record else None
            lr_path = root / parts[0] / "lr" / parts[2]
            films.append(Film(path, name, patient, label, folder, lr_path))
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
