"""The command `export`: a trained generator as SavedModel, TFLite or ONNX."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from xraysr.cli.options import Overwrite, tensorflow
from xraysr.errors import UserError


def export(
    model: Annotated[Path, typer.Argument(help="A preset, a .keras file or a run folder.")],
    out: Annotated[
        Path, typer.Argument(help="The .tflite or .onnx file to write, or the folder of models.")
    ],
    format: Annotated[str, typer.Option("--format", help="saved_model, tflite or onnx.")],
    precision: Annotated[
        str, typer.Option(help="Of tflite: float32, float16, dynamic or int8.")
    ] = "float32",
    films: Annotated[
        Path | None,
        typer.Option("--films", help="Films to calibrate int8 and to measure the loss on."),
    ] = None,
    pair: Annotated[
        str | None, typer.Option("--pair", help="LR:HR size for that; default: of the training.")
    ] = None,
    max_psnr_loss: Annotated[
        float | None,
        typer.Option(help="dB a quantised export may lose; default 0.1, for int8 0.5."),
    ] = None,
    faithful: Annotated[
        bool, typer.Option("--faithful", help="SR, reduced again, is the film; float32 only.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Of the served model; default: the preset or run.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="Of the served model; default: the next free one.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Export a trained generator for TF Serving or for a device, checked against Keras."""
    with tensorflow():
        from xraysr.export import ParityError, export_model

        try:
            written = export_model(
                model,
                out,
                format,
                precision=precision,
                films=films,
                pair=pair,
                max_psnr_loss=max_psnr_loss,
                faithful=faithful,
                name=name,
                version=version,
                overwrite=overwrite,
            )
        except ParityError as error:
            raise UserError(str(error)) from error
    for each in written.skipped:
        print(f"skipped: {each}", file=sys.stderr)
    for note in written.notes:
        print(note, file=sys.stderr)
    print(written.summary())
