"""The command `compare`: one film by every method, as a picture."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from xraysr.cli.models import row_name
from xraysr.cli.options import FitOption, Overwrite, PairOption, tensorflow

PHANTOM = 1000  # its seed; demos train on the first hundred


def compare(
    model: Annotated[list[Path], typer.Argument(help="Presets or models of one scale.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The PNG to write.")],
    pair: PairOption = "64:256",
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Your film, or a folder: its first test film."),
    ] = None,
    fit: FitOption = "crop",
    overwrite: Overwrite = False,
) -> None:
    """Draw one film by every model beside interpolation: whole, zoomed, and the error.

    Without --data it is a phantom.
    """
    from xraysr.data.phantom import write_phantoms
    from xraysr.data.scan import Film, find_films
    from xraysr.files import refuse_existing

    refuse_existing(out, overwrite)
    with tempfile.TemporaryDirectory() as folder:
        if data is None:
            data = Path(folder)
            write_phantoms(data, 1, seed=PHANTOM)
        if data.is_file():
            films = [Film(data, data.stem, data.stem, None, "test")]
        else:
            films = sorted(find_films(data)[0], key=lambda film: film.split != "test")
        with tensorflow():
            from xraysr.evaluation.picture import draw_comparison
            from xraysr.upscale import load

            upscalers = {row_name(path, model): load(path) for path in model}
        draw_comparison(out, upscalers, films, pair, fit)
    print(f"The picture: {out}")
