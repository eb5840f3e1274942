"""The user's own table of patients: a CSV file with a column of films and one of patients."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath

from xraysr.errors import UserError
from xraysr.films.walk import stem_of

# As sets of radiographs name them, without case, spaces and underscores, the best first.
PATIENT_COLUMNS = (
    "subjectid", "patientid", "patient", "subject", "pid", "mrn", "medrecno", "personid", "caseid",
    "studyinstanceuid", "studyid",
)  # fmt: skip
PATH_COLUMNS = (
    "path", "filepath", "imagepath", "dicompath", "pngpath", "imageindex", "filename", "imagename",
    "dicomid", "imageid", "image", "file", "sopinstanceuid", "filestem", "studyinstanceuid", "id",
)  # fmt: skip
SHOWN = 3


class PatientTable:
    """Patients by file: the path, any end of it, or the file's name with or without suffix.

    Args:
        patients: Patient of each entry of the path column.
        name: Of the table, for messages.
    """

    def __init__(self, patients: dict[str, str], name: str) -> None:
        self.name = name
        self._patients: dict[str, set[str]] = {}
        for path, patient in patients.items():
            for key in _keys(PurePosixPath(path.replace("\\", "/"))):
                self._patients.setdefault(key, set()).add(patient)
        self._examples = list(patients)[:SHOWN]

    @classmethod
    def read(
        cls, path: str | Path, patient_column: str | None = None, path_column: str | None = None
    ) -> PatientTable:
        """Reads a table, separated by commas, semicolons or tabs; `.gz` is unpacked.

        Args:
            path: The file; its first line names the columns.
            patient_column: Column with the patient's id; by default the one that NIH, MIMIC-CXR,
                PadChest, RSNA and others use.
            path_column: Column with the films' paths or names; likewise.

        Raises:
            UserError: if the file cannot be read, a column is missing, or a film has two patients.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
            text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
            start = text.split("\n", 1)[0]
            mark = max(",;\t", key=start.count)
            rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=mark))
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"The table of patients {path} cannot be read: {error}") from error
        if not rows:
            raise UserError(
                f"The table of patients {path} is empty: expected a line of column names"
            )
        columns = [name for name in rows[0] if name]
        whose = _column(columns, patient_column, PATIENT_COLUMNS, "patient_column", path)
        which = _column(columns, path_column, PATH_COLUMNS, "path_column", path, whose)
        patients: dict[str, str] = {}
        for row in rows:
            film, patient = ((row[name] or "").strip() for name in (which, whose))
            if film and patient and patients.setdefault(film, patient) != patient:
                raise UserError(
                    f"The table of patients {path} gives {film} two patients: {patients[film]} and "
                    f"{patient}"
                )
        return cls(patients, path.name)

    def patient_of(self, path: PurePath) -> str | None:
        """The patient on the film at `path`; None where the table has none, or more than one."""
        for key in _keys(path):
            if patients := self._patients.get(key):
                return next(iter(patients)) if len(patients) == 1 else None
        return None

    def require_some(self, found: int, paths: Sequence[PurePath]) -> None:
        """Raises `UserError` if it names none of the films, with examples of both."""
        if paths and not found:
            raise UserError(
                f"The table of patients {self.name} names none of the {len(paths)} films. It has "
                f"{', '.join(self._examples)}; the films are "
                f"{', '.join(path.as_posix() for path in paths[:SHOWN])}. Name path_column."
            )


def _keys(path: PurePath) -> list[str]:
    """The path and its ends, longest first, then the same without suffix."""
    parts = path.parts
    whole = ["/".join(parts[n:]) for n in range(len(parts))]
    bare = ["/".join((*parts[n:-1], stem_of(parts[-1]))) for n in range(len(parts))]
    return list(dict.fromkeys(whole + bare))


def _column(
    columns: Sequence[str],
    named: str | None,
    usual: Sequence[str],
    argument: str,
    path: Path,
    last: str | None = None,
) -> str:
    """The column `named`, else the best of the `usual` ones, else `last`."""
    if named is not None:
        if named in columns:
            return named
    else:
        plain = {re.sub(r"[\W_]", "", name).lower(): name for name in reversed(columns)}
        for name in usual:
            if name in plain:
                return plain[name]
        if last is not None:
            return last
    raise UserError(
        f"{argument} must be a column of {path}, which has {', '.join(columns)}. "
        f"Received: {named!r}"
    )
