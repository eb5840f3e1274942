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
    matrix: Annotated[
        bool,
        typer.Option(
            "--matrix",
            help="PSNR with LR made in 13 ways instead; beside the JSON file, draw a heat map.",
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Score models on films, beside bicubic and Lanczos interpolation."""
    from xraysr.degradation import named
    from xraysr.files import refuse_existing
    from xraysr.films.index import index_films
    from xraysr.films.patients import SPLITS
    from xraysr.pair import Pair

    words = [Path(model[0]).stem, data.resolve().name, split, str(Pair.parse(pair))]
    name = "-".join([*words, *["matrix"] * matrix]).replace(":", "-")
    json_file = json_file or Path(f"{name}.json")
    picture = json_file.with_suffix(".png")
    if matrix and degradation != "lanczos":
        raise UserError(
            "--matrix makes LR in all its ways, Lanczos among them. Leave out --degradation. "
            f"Received: --degradation {degradation}"
        )
    if matrix and picture == json_file:
        raise UserError(f"--json must not end in .png, as the heat map does. Received: {json_file}")
    for path in (json_file, *[picture] * matrix):
        refuse_existing(path, overwrite)
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
        from xraysr.evaluation.evaluate import evaluate as score
        from xraysr.evaluation.matrix import Matrix
        from xraysr.evaluation.matrix import matrix as score_matrix
        from xraysr.evaluation.report import Report
        from xraysr.upscale import load

        upscalers = {row_name(each, model): load(each) for each in model}
    report: Report | Matrix
    if matrix:
        report = score_matrix(upscalers, films, pair, fit)
    else:
        made = None if degradation == "lanczos" else named(degradation)
        report = score(upscalers, films, pair, fit, degradation=made)
    report = replace(report, skipped=(*index.skipped, *report.skipped))
    if markdown:
        print(report.markdown())
    else:
        report.show()
    report.save(json_file)
    if isinstance(report, Matrix):
        report.plot(picture)
    print("\n".join(index.remarks()), file=sys.stderr)
    for skipped in report.skipped[:SHOWN]:
        print(f"skipped: {skipped}", file=sys.stderr)
    print(f"Film by film: {json_file}", file=sys.stderr)
    if matrix:
        print(f"Heat map: {picture}", file=sys.stderr)
