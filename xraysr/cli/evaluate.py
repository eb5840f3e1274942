"""The command `evaluate`: models beside interpolation, as a table and as JSON."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from xraysr.cli.options import (
    DataOption,
    DegradationOption,
    FitOption,
    Overwrite,
    PairOption,
    PathColumn,
    PatientColumn,
    Patients,
    Resplit,
    SharedPatients,
    row_name,
    tensorflow,
)
from xraysr.errors import UserError

SHOWN = 50  # skipped files that are named; the JSON has them all


def evaluate(
    model: Annotated[
        list[str], typer.Argument(help="Presets or models, of any format, to compare.")
    ],
    data: DataOption,
    pair: PairOption,
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "test",
    fit: FitOption = "crop",
    degradation: DegradationOption = "lanczos",
    resplit: Resplit = False,
    allow_shared_patients: SharedPatients = False,
    patients: Patients = None,
    patient_column: PatientColumn = None,
    path_column: PathColumn = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Where to write the scores, film by film.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table in Markdown.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Score models on films, beside bicubic and Lanczos interpolation."""
    from xraysr.degradation import named
    from xraysr.files import refuse_existing
    from xraysr.films.index import index_films
    from xraysr.films.patients import SPLITS
    from xraysr.pair import Pair

    sizes = str(Pair.parse(pair)).replace(":", "-")
    json_file = json_file or Path(
        f"{Path(model[0]).stem}-{data.resolve().name}-{split}-{sizes}.json"
    )
    refuse_existing(json_file, overwrite)
    if split not in (*SPLITS, "all"):
        raise UserError(f"--split must be {', '.join(SPLITS)} or all. Received: {split}")
    index = index_films(
        data,
        resplit=resplit,
        allow_shared_patients=allow_shared_patients,
        patients=patients,
        patient_column=patient_column,
        path_column=path_column,
    )
    films = index.films if split == "all" else index.require(split)
    with tensorflow():
        from xraysr.evaluation.evaluate import evaluate as run
        from xraysr.upscale import load

        upscalers = {row_name(each, model): load(each) for each in model}
    made = None if degradation == "lanczos" else named(degradation)
    report = run(upscalers, films, pair, fit, degradation=made)
    report = replace(report, skipped=(*index.skipped, *report.skipped))
    if markdown:
        print(report.markdown())
    else:
        report.show()
    report.save(json_file)
    print("\n".join(index.remarks()), file=sys.stderr)
    for skipped in report.skipped[:SHOWN]:
        print(f"skipped: {skipped}", file=sys.stderr)
    print(f"Film by film: {json_file}", file=sys.stderr)
