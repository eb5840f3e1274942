"""`FilmIndex`: every film of a folder tree with its patient, label and split.

Nothing is decoded here: files are found by suffix (a DICOM file without one is listed as
"not an image"), and only DICOM headers are opened, for the patient. Whatever is no film is
listed in `skipped` with the reason.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path, PurePath

from xraysr.data.manifest import JOURNAL, load_manifest
from xraysr.data.patients import SPLITS, patient_id, shared_patients, split_of
from xraysr.errors import UserError
from xraysr.io import IMAGE_SUFFIXES
from xraysr.pair import Pair

ALL_SHARES = (0.75, 0.10, 0.15)
VAL_FROM_TRAIN = (0.9, 0.1, 0.0)
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
    """A file that is no film of the index, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class FilmIndex:
    """The films below `root`, sorted by path.

    Args:
        root: The folder that was read.
        films: All films, each in one split.
        skipped: Files left out, with reasons.
        val_drawn: Whether val was drawn from the train folder, by patient.
    """

    root: Path
    films: tuple[Film, ...]
    skipped: tuple[Skipped, ...]
    val_drawn: bool = False

    def of(self, split: str) -> tuple[Film, ...]:
        """The films of "train", "val" or "test"; may be empty."""
        return tuple(film for film in self.films if film.split == split)

    def require(self, split: str) -> tuple[Film, ...]:
        """The films of `split`, or a `UserError` with the counts where there are none."""
        if films := self.of(split):
            return films
        counts = ", ".join(f"{len(self.of(name))} in {name}" for name in SPLITS)
        raise UserError(
            f"No {split} films under {self.root}: {counts} "
            f"({len({film.patient for film in self.films})} patients). Put films into a "
            f"{split} folder, or add patients; a set in folders can be split anew with --resplit."
        )

    def summary(self) -> str:
        """Films, patients and labels per split, and what was skipped, as a few lines."""
        lines = []
        for split in SPLITS:
            films = self.of(split)
            labels = Counter(film.label for film in films if film.label)
            text = f"{split}: {len(films)} films of {len({f.patient for f in films})} patients"
            if labels:
                text += " (" + ", ".join(f"{n} {name}" for name, n in sorted(labels.items())) + ")"
            if split == "val" and self.val_drawn:
                text += ", drawn from train"
            lines.append(text)
        reasons = Counter(skipped.reason for skipped in self.skipped)
        lines += [f"skipped: {n} files, {reason}" for reason, n in sorted(reasons.items())]
        return "\n".join(lines)


def index_films(
    root: Path, *, resplit: bool = False, allow_shared_patients: bool = False
) -> FilmIndex:
    """Finds the films below `root`, at any depth, and gives each a patient, a label and a split.

    Folders named train, val (valid, validation) and test are honoured; without a val folder, 10 %
    of the train patients become val. Without any of them, or with `resplit`, all films are merged
    and 75/10/15 % of the patients become train/val/test.

    Args:
        root: A tree in the layout `{train,val,test}/CLASS/FILM`, in classes, flat, or one pair
            folder that `xraysr prepare` wrote.
        resplit: Whether to merge the split folders and split by patient.
        allow_shared_patients: Whether to accept a patient in two split folders.

    Raises:
        UserError: if `root` has no films, shares patients between split folders, or has one
            patient where a split is needed.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"The data folder must be an existing folder. Received: {root}")
    if pairs := pair_folders(root):
        raise UserError(
            f"{root} holds prepared pairs ({', '.join(pairs)}). Name one of them, "
            f"such as {root / pairs[0]}."
        )
    films, skipped = _paired(root) if _is_pair_folder(root) else _scanned(root)
    films = _named(root, films)
    if not films:
        reasons = Counter(item.reason for item in skipped)
        seen = "; ".join(f"{n} files, {why}" for why, n in reasons.items()) or "it is empty"
        raise UserError(
            f"No films under {root}: {seen}. Films are files named "
            f"{', '.join(sorted('*' + suffix for suffix in IMAGE_SUFFIXES))}."
        )
    return _split(root, films, skipped, resplit, allow_shared_patients)


def pair_folders(root: Path) -> list[str]:
    """Names of the prepared pair folders right below `root`, sorted."""
    names = [p.name for p in root.iterdir() if PAIR_FOLDER.fullmatch(p.name)]
    return sorted(name for name in names if _is_pair_folder(root / name))


def index_pair_folder(
    dst: Path, pair: Pair, *, resplit: bool = False, allow_shared_patients: bool = False
) -> FilmIndex:
    """The films that `xraysr prepare` wrote for `pair` under `dst`, as `index_films` gives them.

    Raises:
        UserError: if `dst` does not hold that pair; the message names those it holds.
    """
    dst = Path(dst)
    folder = dst / pair.folder
    if not _is_pair_folder(folder):
        present = ", ".join(pair_folders(dst)) if dst.is_dir() else ""
        raise UserError(
            f"{dst} holds no prepared films for the pair {pair} (no folder {pair.folder}). "
            f"It holds: {present or 'no pair'}. Write them with: "
            f"xraysr prepare SRC {dst} --pair {pair}"
        )
    return index_films(folder, resplit=resplit, allow_shared_patients=allow_shared_patients)


def _is_pair_folder(root: Path) -> bool:
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


def _split(
    root: Path, films: list[Film], skipped: list[Skipped], resplit: bool, allow_shared: bool
) -> FilmIndex:
    folders = {film.split for film in films if film.split}
    if resplit or not folders:
        if len({film.patient for film in films}) == 1:
            raise UserError(
                f"One patient only under {root} ({films[0].patient}, {len(films)} films): at least "
                "3 are needed to split by patient, and 20 or more to give every split some. "
                "Films already split can lie in folders named train and test."
            )
        films = [replace(film, split=split_of(film.patient, ALL_SHARES)) for film in films]
        return FilmIndex(root, tuple(films), tuple(skipped))
    reason = "outside the train, val and test folders"
    skipped = skipped + [Skipped(film.path, reason) for film in films if not film.split]
    films = [film for film in films if film.split]
    if not allow_shared:
        _refuse_shared(root, films)
    drawn = "val" not in folders and "train" in folders
    if drawn:
        films = [
            replace(film, split=split_of(film.patient, VAL_FROM_TRAIN))
            if film.split == "train"
            else film
            for film in films
        ]
    return FilmIndex(root, tuple(films), tuple(skipped), val_drawn=drawn)


def _refuse_shared(root: Path, films: list[Film]) -> None:
    patients = {split: {f.patient for f in films if f.split == split} for split in SPLITS}
    clashes = []
    for one, other in combinations(SPLITS, 2):
        if both := shared_patients(patients[one], patients[other]):
            names = ", ".join(both[:5]) + (", ..." if len(both) > 5 else "")
            clashes.append(f"{one} and {other} share {len(both)} patients ({names})")
    if clashes:
        raise UserError(
            f"Patients must stand on one side of a split; under {root} {'; '.join(clashes)}. "
            "Scores would be too good. Pass --resplit to merge the folders and split by patient, "
            "or --allow-shared-patients to take the folders as they are."
        )
