"""What is understood of a folder before anything is trained on it: `xraysr films`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from xraysr.errors import UserError
from xraysr.files import refuse_existing, whole_file
from xraysr.films.finder import Film
from xraysr.films.index import FilmIndex, read_films, refuse_shared, split_films, warnings
from xraysr.films.walk import Skipped, has_two_levels, path_text
from xraysr.io import read_frames
from xraysr.io.jsrt import SIDE, is_jsrt
from xraysr.io.safe_decoding import decoding
from xraysr.io.voi import display

TILE, CAPTION, COLUMNS = 160, 14, 8
SHEET_FILMS = 48
SHOWN = 6


@dataclass(frozen=True)
class Survey:
    """A folder of films as every command would read it.

    Args:
        index: Its films with patients, labels and splits.
        views: Films by the view and body part of their DICOM headers.
        sizes: Films by (height, width), where their headers say it.
        warnings: What would be refused, or looks wrong beyond the patients.
    """

    index: FilmIndex
    views: dict[str, int]
    sizes: dict[tuple[int, int], int]
    warnings: tuple[str, ...]

    def text(self) -> str:
        """A page for people."""
        patients = {film.patient for film in self.index.films}
        lines = [f"{len(self.index.films)} films of {len(patients)} patients in {self.index.root}"]
        lines += self.index.splits()
        if self.sizes:
            lines.append(f"sizes: {_most([(f'{h}x{w}', n) for (h, w), n in self.sizes.items()])}")
        if self.views:
            lines.append(f"views: {_most(self.views.items())}")
        lines += self.index.remarks()
        lines += [f"  skipped {each}" for each in self.index.skipped[:SHOWN]]
        if len(self.index.skipped) > SHOWN:
            lines.append(f"  skipped {len(self.index.skipped) - SHOWN} more, which JSON lists")
        return "\n".join([*lines, *(f"warning: {each}" for each in self.warnings)])

    def to_json(self) -> dict[str, Any]:
        """Everything, film by film."""
        root = self.index.root
        return {
            "root": path_text(root),
            "films": [
                {
                    "path": path_text(film.path.relative_to(root)),
                    "name": film.name,
                    "patient": film.patient,
                    "told_by": film.told_by,
                    "label": film.label,
                    "split": film.split or None,
                }
                for film in self.index.films
            ],
            "skipped": [
                {"path": path_text(each.path), "reason": each.reason} for each in self.index.skipped
            ],
            "sizes": {f"{height}x{width}": n for (height, width), n in self.sizes.items()},
            "views": self.views,
            "warnings": [*warnings(self.index.films), *self.warnings],
        }


def survey_films(
    root: Path,
    *,
    resplit: bool = False,
    patients: str | Path | None = None,
    patient_column: str | None = None,
    path_column: str | None = None,
    seen: Callable[[Path], None] = lambda path: None,
    track: Callable[[Sequence[Film]], Iterable[Film]] = iter,
) -> Survey:
    """Looks at the films below `root` as `index_films` does; what that refuses is a warning here.

    Args:
        root: The folder.
        resplit: As `index_films` takes it, and so are the table and its columns.
        patients: CSV file that says whose each film is.
        patient_column: Its column of patients.
        path_column: Its column of paths.
        seen: Called with each path that was looked at.
        track: Wraps the iteration over the films while their headers are read.

    Raises:
        UserError: if `root` is not a folder of films, or the table cannot be used.
    """
    films, skipped = read_films(root, patients, patient_column, path_column, seen)
    found: list[str] = []
    try:
        if not resplit:
            refuse_shared(root, films)
    except UserError as error:
        found.append(str(error))
    try:
        index = split_films(root, films, skipped, resplit)
    except UserError as error:
        found.append(str(error))
        index = FilmIndex(root, tuple(films), tuple(skipped))
    views, sizes, masks = Counter[str](), Counter[tuple[int, int]](), 0
    for film in track(films):
        if film.header is not None:
            if view := f"{film.header.body_part} {film.header.view}".strip():
                views[view] += 1
            if film.header.size:
                sizes[film.header.size] += 1
            continue
        masks += has_two_levels(film.path)
        if size := _size(film.path):
            sizes[size] += 1
    if masks:
        found.append(f"{masks} of {len(films)} films have two grey levels, as masks do")
    return Survey(index, dict(views.most_common()), dict(sizes.most_common()), tuple(found))


def write_contact_sheet(
    path: Path,
    survey: Survey,
    overwrite: bool = False,
    track: Callable[[Sequence[Film]], Iterable[Film]] = iter,
) -> list[Skipped]:
    """Writes small pictures of films, spread over the folder, as one PNG.

    Args:
        path: The file.
        survey: The films.
        overwrite: Whether to replace the file.
        track: Wraps the iteration over the films that are drawn.

    Returns:
        The films that could not be read.

    Raises:
        UserError: if `path` exists and `overwrite` is false, or it cannot be written.
    """
    refuse_existing(path, overwrite)
    films = survey.index.films
    chosen = films[:: max(1, -(-len(films) // SHEET_FILMS))]
    rows = -(-len(chosen) // COLUMNS)
    width = TILE * min(COLUMNS, len(chosen))
    sheet = Image.new("L", (width, (TILE + CAPTION) * rows))
    drawing, skipped = ImageDraw.Draw(sheet), []
    for place, film in enumerate(track(chosen)):
        left, top = TILE * (place % COLUMNS), (TILE + CAPTION) * (place // COLUMNS)
        try:
            pixels = display(next(iter(read_frames(film.path)))).pixels
        except UserError as error:
            skipped.append(Skipped.because(film.path, error))
            continue
        tile = Image.fromarray(np.round(pixels * 255).astype(np.uint8))
        tile.thumbnail((TILE - 4, TILE - 4))
        sheet.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
        text = f"{film.split} {film.patient}"[:26].encode("latin-1", "replace").decode("latin-1")
        drawing.text((left + 3, top + TILE), text, fill=200)
    with whole_file(path) as temporary:
        sheet.save(temporary, "PNG")
    return skipped


def _size(path: Path) -> tuple[int, int] | None:
    if is_jsrt(path):
        return SIDE, SIDE
    try:
        with decoding(path), Image.open(path) as image:
            return image.height, image.width
    except UserError:
        return None


def _most(counts: Iterable[tuple[str, int]]) -> str:
    counts = list(counts)
    shown = ", ".join(f"{n} {name}" for name, n in counts[:SHOWN])
    return shown + (f", and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")
