"""Finds the films of a folder tree, and names what is left out.

`walk` says which files are films; here they get a name, a patient, a label and the split of the
folder they lie in.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from xraysr.degradation import AS_FOUND
from xraysr.errors import UserError
from xraysr.films.header import Header
from xraysr.films.manifest import JOURNAL, Manifest, load_manifest
from xraysr.films.patients import SPLIT_FOLDERS, owners
from xraysr.films.table import PatientTable
from xraysr.films.walk import Skipped, stem_of, walk_films

PAIR_FOLDER = re.compile(r"\d+x\d+(_\d+x\d+)?")
MOST_LABELS = 30  # with more of them, the folders are not classes


@dataclass(frozen=True)
class Film:
    """One film on disk.

    Args:
        path: The file; of a prepared pair folder, the HR one.
        name: Unique within the index and usable as a file name; the stem wherever possible.
        patient: Patient id.
        label: Class folder, if any.
        split: "train", "val" or "test".
        lr_path: The LR twin, in pair folders only.
        degradation: How that twin was made, as its folder's manifest says.
        lr_crc32: CRC-32 of the twin that the manifest means.
        told_by: What told the patient: a table, a header, a layout, or a guess.
        note: What could not be told about the patient.
        header: What a DICOM header says.
    """

    path: Path
    name: str
    patient: str
    label: str | None
    split: str
    lr_path: Path | None = None
    degradation: str | None = None
    lr_crc32: int | None = None
    told_by: str = ""
    note: str = ""
    header: Header | None = None


def find_films(
    root: Path,
    table: PatientTable | None = None,
    *,
    seen: Callable[[Path], None] = lambda path: None,
) -> tuple[list[Film], list[Skipped]]:
    """Films below `root`, sorted by path, and the files that are not films.

    The split of a film is that of the folder it lies in, empty outside of split folders.

    Args:
        root: The folder.
        table: Patients of the films, where the user has a table of them.
        seen: Called with each path that was looked at, for a progress display.

    Raises:
        UserError: if `root` is not a folder, or the table names none of its films.
    """
    films, skipped = (_paired if is_pair_folder(root) else _scanned)(root, table, seen)
    return _named(root, films), skipped


def pair_folders(root: Path) -> list[str]:
    """Names of the prepared pair folders right below `root`, sorted.

    Raises:
        UserError: if `root` cannot be read.
    """
    try:
        names = [name for name in os.listdir(root) if PAIR_FOLDER.fullmatch(name)]
    except OSError as error:
        raise UserError(f"The data folder {root} cannot be read: {error.strerror}") from error
    return sorted(name for name in names if is_pair_folder(root / name))


def is_pair_folder(root: Path) -> bool:
    """Whether `root` holds split folders with lr and hr folders in them."""
    try:
        names = [name for name in os.listdir(root) if name.lower() in SPLIT_FOLDERS]
    except OSError:
        return False
    return any(os.path.isdir(root / name / kind) for name in names for kind in ("hr", "lr"))


def _scanned(
    root: Path, table: PatientTable | None, seen: Callable[[Path], None]
) -> tuple[list[Film], list[Skipped]]:
    """Films of an ordinary tree; `split` is the split folder's, or empty."""
    films: list[Film] = []
    found, skipped = walk_films(root, seen=seen)
    first: dict[tuple[str, ...], Path] = {}
    top = root.resolve().name
    for each in sorted(found, key=lambda each: (len(each.path.parts), each.path.parts)):
        kept = first.setdefault(_undoubled((top, *each.path.relative_to(root).parts)), each.path)
        if kept != each.path:
            skipped.append(Skipped(each.path, "a doubled folder's second copy of a film"))
    doubled = set(first.values())
    found = [each for each in found if each.path in doubled]
    for each, owner in zip(found, owners(found, root, table), strict=True):
        if owner is None:
            skipped.append(Skipped(each.path, "the table of patients does not say whose it is"))
            continue
        folders = each.path.relative_to(root).parts[:-1]
        split = next((s for name in folders if (s := SPLIT_FOLDERS.get(name.lower()))), "")
        name = stem_of(each.path.name)
        film = Film(each.path, name, owner.patient, owner.label, split)
        films.append(replace(film, told_by=owner.told_by, note=owner.note, header=each.header))
    if len({film.label for film in films}) > MOST_LABELS:
        films = [replace(film, label=None) for film in films]
    return films, skipped


def _undoubled(parts: tuple[str, ...]) -> tuple[str, ...]:
    """`parts` with a folder named like the one above it taken out (`chest_xray/chest_xray`)."""
    folders = parts[:-1]
    kept = [p for i, p in enumerate(folders) if i == 0 or p.lower() != folders[i - 1].lower()]
    return (*kept, parts[-1])


def _paired(
    root: Path, table: PatientTable | None, seen: Callable[[Path], None]
) -> tuple[list[Film], list[Skipped]]:
    """Films of a pair folder: HR files with their LR twins."""
    manifest = load_manifest(root.parent)
    found, skipped = walk_films(root, seen=seen)
    if manifest and not manifest.complete:
        unfinished = "prepare did not finish: run the same command again to add the other films"
        skipped.append(Skipped(root.parent / JOURNAL, unfinished))
    present = {each.path.relative_to(root).parts for each in found}
    pairs = []
    for each in found:
        split, kind, *_ = (*each.path.relative_to(root).parts, "")
        twin = {"lr": "hr", "hr": "lr"}.get(kind)
        parts = each.path.relative_to(root).parts
        if len(parts) != 3 or split.lower() not in SPLIT_FOLDERS or twin is None:
            skipped.append(Skipped(each.path, "outside the lr and hr folders of a pair"))
        elif (split, twin, parts[2]) not in present:
            skipped.append(Skipped(each.path, f"its {twin.upper()} twin is missing"))
        elif kind == "hr":
            pairs.append(each)
    films = []
    for each, owner in zip(pairs, owners(pairs, root, table), strict=True):
        split, _, name = each.path.relative_to(root).parts
        film = _prepared(manifest, SPLIT_FOLDERS[split.lower()], each.path)
        if table is not None or film is None:
            if owner is None:
                skipped.append(Skipped(each.path, "the table of patients does not say whose it is"))
                continue
            film = film or Film(each.path, stem_of(name), "", None, SPLIT_FOLDERS[split.lower()])
            film = replace(film, patient=owner.patient, told_by=owner.told_by, note=owner.note)
        lr_path = root / split / "lr" / name
        films.append(replace(film, lr_path=lr_path, degradation=film.degradation or AS_FOUND))
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


def _prepared(manifest: Manifest | None, split: str, path: Path) -> Film | None:
    """The film at `path` as the manifest of its folder knows it."""
    name = stem_of(path.name)
    record = manifest.film(split, name) if manifest else None
    if manifest is None or record is None:
        return None
    return Film(
        path,
        name,
        record.patient,
        record.label,
        split,
        degradation=str(manifest.settings.get("degradation", AS_FOUND)),
        lr_crc32=record.lr_crc32.get(path.parents[2].name),
        told_by=f"the manifest of {path.parents[3].name}",
    )


def _short_hash(path: Path) -> str:
    return hashlib.sha256(path.as_posix().encode()).hexdigest()[:8]
