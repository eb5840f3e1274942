"""Commands that make films: `prepare` and `phantom`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from xraysr.cli.options import (
    INTERRUPTED,
    DegradationOption,
    FitOption,
    Overwrite,
    PathColumn,
    PatientColumn,
    Patients,
    Resplit,
    SharedPatients,
)


def prepare(
    source: Annotated[Path, typer.Argument(help="Folder of films.")],
    destination: Annotated[Path, typer.Argument(help="Folder to write.")],
    pair: Annotated[list[str], typer.Option("--pair", help="LR:HR size; may be repeated.")],
    fit: FitOption = "crop",
    degradation: DegradationOption = "lanczos",
    resplit: Resplit = False,
    allow_shared_patients: SharedPatients = False,
    patients: Patients = None,
    patient_column: PatientColumn = None,
    path_column: PathColumn = None,
    workers: Annotated[int | None, typer.Option(help="Processes; default: all cores.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write LR and HR folders for one or more pairs of sizes."""
    from xraysr.data.prepare import prepare as run
    from xraysr.degradation import named

    try:
        manifest = run(
            source,
            destination,
            pair,
            fit=fit,
            degradation=named(degradation),
            resplit=resplit,
            allow_shared_patients=allow_shared_patients,
            patients=patients,
            patient_column=patient_column,
            path_column=path_column,
            workers=workers,
            overwrite=overwrite,
        )
    except KeyboardInterrupt:
        print("Stopped. What is written is whole; the same command goes on.", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    print(manifest.summary())


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    count: Annotated[int, typer.Option(help="Number of films.")] = 16,
    size: Annotated[int, typer.Option(help="Side in pixels.")] = 512,
    seed: Annotated[int, typer.Option(help="Seed of the first film.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write synthetic chest films, to try things without data. Their scores are not clinical."""
    from xraysr.files import refuse_existing
    from xraysr.phantom.film import write_phantoms

    refuse_existing(out / "phantoms.json", overwrite)
    write_phantoms(out, count, size, seed, workers=os.cpu_count() or 1)
    print(f"{count} phantoms in {out}")
