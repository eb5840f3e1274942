"""The command `films`: what is understood of a folder before anything is trained on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xraysr.cli.options import Overwrite, PathColumn, PatientColumn, Patients, Resplit

if TYPE_CHECKING:
    from xraysr.films.finder import Film


def films(
    folder: Annotated[Path, typer.Argument(help="Folder of films.")],
    patients: Patients = None,
    patient_column: PatientColumn = None,
    path_column: PathColumn = None,
    resplit: Resplit = False,
    sheet: Annotated[
        Path | None, typer.Option(help="PNG to write: small pictures of the films.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print every film, as JSON.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Show what is understood of a folder: films, patients, splits, and what is skipped."""
    from xraysr.files import json_text, refuse_existing
    from xraysr.films.survey import survey_films, write_contact_sheet
    from xraysr.progress import status_bar, track

    if sheet is not None:
        refuse_existing(sheet, overwrite)
    with status_bar() as bar:
        total = sum(len(names) for _, _, names in os.walk(folder, followlinks=False))
        count = 0

        def seen(path: Path) -> None:
            nonlocal count
            count += 1
            if count % 100 == 0:
                bar.update(min(1.0, count / total), f"looked at {count} files")

        survey = survey_films(
            folder,
            resplit=resplit,
            patients=patients,
            patient_column=patient_column,
            path_column=path_column,
            seen=seen,
        )
    print(json_text(survey.to_json()) if json else survey.text())
    if sheet is not None:

        def drawn(films: Sequence[Film]) -> Iterable[Film]:
            return track(films, "Drawing", len(films))

        for skipped in write_contact_sheet(sheet, survey, overwrite, drawn):
            print(f"skipped {skipped}", file=sys.stderr)
        print(f"The contact sheet is {sheet}", file=sys.stderr)
