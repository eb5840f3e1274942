"""Who is on a film, and on which side of the split that person stands.

Films of one person look alike, so a split by file lets the test set leak into training. Patients
are split instead, by a hash of their id: adding films to a data set moves nobody across.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from xraysr.errors import UserError
from xraysr.films.guess import Guess, guess_patients
from xraysr.films.layouts import known_layout
from xraysr.films.table import PatientTable
from xraysr.films.walk import FoundFilm, stem_of

SPLITS = ("train", "val", "test")
SPLIT_FOLDERS = {"train": "train", "test": "test"} | dict.fromkeys(
    ("val", "valid", "validation"), "val"
)

ANONYMOUS = re.compile(
    r"(?:anon|anonym|de-?ident|unknown|removed|no ?name|none|null|n/?a\b|test\b|x+$|0+$)",
    re.IGNORECASE,
)


class Owner(NamedTuple):
    """Whose a film is.

    Args:
        patient: The patient's id.
        told_by: What told it, in words.
        label: The class its layout names, or the folder right above unless it is the patient's.
        note: What could not be told.
    """

    patient: str
    told_by: str
    label: str | None = None
    note: str = ""


def owners(
    films: Sequence[FoundFilm], root: Path, table: PatientTable | None = None
) -> list[Owner | None]:
    """Whose each film below `root` is; None for films that the user's table leaves out.

    The table counts, where there is one. Else PatientID of the DICOM header, else
    StudyInstanceUID, else a known layout, else a guess from what the paths have in common, and
    last the name of the file.

    Raises:
        UserError: if the table names none of the films.
    """
    paths = [film.path.relative_to(root) for film in films]
    if table is not None:
        patients = [table.patient_of(path) for path in paths]
        table.require_some(sum(each is not None for each in patients), paths)
        told_by = f"the table {table.name}"
        labels = map(_label, paths)
        return [
            Owner(patient, told_by, label) if patient else None
            for patient, label in zip(patients, labels, strict=True)
        ]
    exported = _viewer_export(paths)
    known = [_known(film, path, exported) for film, path in zip(films, paths, strict=True)]
    unknown = [path for path, owner in zip(paths, known, strict=True) if owner is None]
    guesses = iter(zip(unknown, guess_patients(unknown), strict=True))
    return [owner or _guessed(*next(guesses)) for owner in known]


def patient_id(path: Path) -> str:
    """The patient on one film: from its name, where a layout known to xraysr has it, else its stem.

    A folder as a whole tells more: see `owners`.
    """
    found = known_layout(PurePath(path.name))
    return found.patient if found else stem_of(path.name)


def _viewer_export(paths: Sequence[PurePath]) -> bool:
    """Whether names such as IM-0001-0001 come again in each folder, as OsiriX and Horos write them.

    In Kermany's set each is there once.
    """
    names = [path.name for path in paths if path.name.startswith("IM-")]
    return len(set(names)) < len(names) / 2


def _known(film: FoundFilm, path: PurePath, exported: bool) -> Owner | None:
    found = known_layout(path)
    if exported and found is not None and found.patient.startswith("IM-"):
        found = None
    label = _label(path, found.folders) if found else _label(path)
    if film.header is not None:
        if patient := film.header.patient:
            cbis = known_layout(PurePath(patient))  # its PatientID names side and view as well
            patient = cbis.patient if cbis and cbis.layout.name == "CBIS-DDSM" else patient
            return Owner(patient, "PatientID of DICOM headers", label)
        if film.header.study:
            return Owner(film.header.study, "StudyInstanceUID of DICOM headers", label)
    if found is None:
        return None
    told_by = f"the layout of {found.layout.name}"
    return Owner(found.patient, told_by, found.label or label, found.layout.note)


def _guessed(path: PurePath, guess: Guess) -> Owner:
    return Owner(guess.patient, guess.told_by, _label(path, guess.folders))


def _label(path: PurePath, patient_at: int | None = None) -> str | None:
    """The folder right above, unless it is the patient's or below it, or that of a split."""
    above = len(path.parts) - 2
    if above < 0 or (patient_at is not None and patient_at <= above):
        return None
    name = path.parts[above]
    return None if name.lower() in SPLIT_FOLDERS else name


def split_of(patient: str, fractions: tuple[float, float, float]) -> str:
    """The split of `patient`: "train", "val" or "test", in these shares of all patients.

    SHA-256 of the id is read as a number in [0, 1), so the answer depends on the id alone.

    Raises:
        UserError: if the fractions are negative or do not sum to 1.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise UserError(
            f"Split fractions (train, val, test) must be >= 0 and sum to 1. Received: {fractions}"
        )
    digest = hashlib.sha256(patient.encode("utf-8", "surrogateescape")).digest()
    position = (int.from_bytes(digest[:8], "big") >> 11) / 2**53
    train, val, test = fractions
    if position < train:
        return "train"
    return "val" if position < train + val or test == 0 else "test"


def shared_patients(a: Iterable[str], b: Iterable[str]) -> list[str]:
    """The patient ids in both `a` and `b`, sorted."""
    return sorted(set(a) & set(b))
