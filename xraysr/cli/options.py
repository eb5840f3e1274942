"""Options that several commands share, and a quiet way to import TensorFlow."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

INTERRUPTED = 130

DataOption = Annotated[Path, typer.Option("--data", help="Folder of films, any depth.")]
PairOption = Annotated[str, typer.Option("--pair", help="LR:HR size, such as 64:256.")]
DegradationOption = Annotated[
    str,
    typer.Option(
        "--degradation",
        help="How LR is made of HR: lanczos, cr, dr-binned, photo, chat-jpeg or robust.",
    ),
]
FitOption = Annotated[
    str, typer.Option(help="How films are fitted to HR size: crop, pad or stretch.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Resplit = Annotated[
    bool, typer.Option("--resplit", help="Merge the split folders and split anew by patient.")
]
SharedPatients = Annotated[
    bool,
    typer.Option("--allow-shared-patients", help="Accept patients in both train and test."),
]
Patients = Annotated[
    Path | None, typer.Option("--patients", help="CSV file that says whose each film is.")
]
PatientColumn = Annotated[
    str | None,
    typer.Option("--patient-column", help="Its column of patients; by default found by its name."),
]
PathColumn = Annotated[
    str | None,
    typer.Option("--path-column", help="Its column of paths of films; by default found likewise."),
]
ModelArgument = Annotated[
    str,
    typer.Argument(
        help="A preset, a .keras, .tflite or .onnx file, a SavedModel, a run folder, or the "
        "address of a server."
    ),
]


def row_name(model: str, others: list[str]) -> str:
    """The stem of a model's file, or its path where two would be the same."""
    stem = Path(model).stem
    return stem if [Path(other).stem for other in others].count(stem) == 1 else model


def as_flags(text: str) -> str:
    """`text` with arguments of functions as flags: overwrite=True is --overwrite."""
    text = re.sub(r"\b([a-z_]+)=True\b", lambda said: "--" + said[1].replace("_", "-"), text)
    text = re.sub(r"\b(bits|page)=(\d+)", r"--\1 \2", text)
    return text.replace("value_range", "--range").replace("max_psnr_loss", "--max-psnr-loss")


@contextmanager
def tensorflow() -> Iterator[None]:
    """Hides what TensorFlow prints while it is imported; its log level variable no longer does."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
