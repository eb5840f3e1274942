"""Who is on a film, and on which side of the split that person stands.

Films of one person look alike, so a split by file lets the test set leak into training. Patients
are split instead, by a hash of their id: adding films to a data set moves nobody across.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from xraysr.errors import UserError
from xraysr.films.header import Header
from xraysr.films.walk import stem_of

SPLITS = ("train", "val", "test")

# Kermany et al., doi:10.17632/rscbjbr9sj.2: personN_virus_M, IM-NNNN-MMMM, NORMAL2-IM-NNNN-MMMM.
# NIH ChestX-ray14 (Wang et al., CVPR 2017): eight digits of the patient, three of the visit.
_NAMES = (
    re.compile(r"(person\d+)_"),
    re.compile(r"((?:NORMAL2-)?IM-\d+)-"),
    re.compile(r"(\d{8})_\d{3}(?!\d)"),
)


def patient_id(path: Path, header: Header | None = None) -> str:
    """The patient on the film at `path`: from its DICOM header, else its name, else its stem."""
    if header is not None and (patient := header.patient or header.study):
        return patient
    for pattern in _NAMES:
        if match := pattern.match(path.name):
            return match[1]
    return stem_of(path.name)


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
