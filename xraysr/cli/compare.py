"""The command `compare`: one film by every method, as a picture."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xraysr.cli.options import FitOption, Overwrite, PairOption, row_name, tensorflow
from xraysr.errors import UserError

if TYPE_CHECKING:
    from xraysr.films.finder import Film

PHANTOM = 1000  # its seed; demos train on the first hundred


def compare(
    model: Annotated[list[str], typer.Argument(help="Presets or models of one scale.")],
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
    from xraysr.files import refuse_existing
    from xraysr.phantom.film import write_phantoms

    refuse_existing(out, overwrite)
    with tempfile.TemporaryDirectory() as folder:
        if data is None:
            data = Path(folder)
            write_phantoms(data, 1, seed=PHANTOM)
        films = _films(data)
        with tensorflow():
            from xraysr.evaluation.picture import draw_comparison
            from xraysr.upscale import load

            upscalers = {row_name(each, model): load(each) for each in model}
        draw_comparison(out, upscalers, films, pair, fit)
    print(f"The picture: {out}")


def _films(data: Path) -> list[Film]:
    """The film at `data`, or those of the folder, test films first."""
    from xraysr.films.finder import Film, find_films

    if not data.exists():
        raise UserError(f"--data must be a film or a folder of films. No such path: {data}")
    if data.is_file():
        return [Film(data, data.stem, data.stem, None, "test")]
    films, others = find_films(data)
    if not films:
        seen = "; ".join(map(str, others[:5])) or "it is empty"
        raise UserError(f"No films in {data}: {seen}")
    return sorted(films, key=lambda film: film.split != "test")
