"""Files in, files out: many films through one `Upscaler`, and no bad one stops the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xraysr.errors import BadImageError, UserError
from xraysr.files import make_folder, refuse_existing
from xraysr.io import IMAGE_SUFFIXES, read, write
from xraysr.progress import track
from xraysr.upscale.upscaler import Upscaler


def upscale_files(
    upscaler: Upscaler, sources: Sequence[Path], out: Path, *, overwrite: bool = False
) -> list[str]:
    """Enlarges films on disk.

    Args:
        upscaler: The model.
        sources: Files, or folders whose films are taken at any depth.
        out: For one file, the file to write (its suffix says the format) or a folder; otherwise
            a folder, where each film becomes NAME.png under the path it had.
        overwrite: Replace existing outputs.

    Returns:
        The reason for each film that was skipped.

    Raises:
        UserError: if nothing can be enlarged at all, or an output exists.
    """
    jobs = _plan(sources, Path(out))
    for _, target in jobs:
        refuse_existing(target, overwrite)
    skipped = []
    for source, target in track(jobs, "Upscaling", len(jobs)):
        try:
            write(target, upscaler(read(source)), overwrite=overwrite)
        except BadImageError as error:
            skipped.append(str(error))
    if len(skipped) == len(jobs):
        raise UserError("Nothing was enlarged: " + "; ".join(skipped))
    return skipped


def _plan(sources: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """(source, target) of every film; no two share a target."""
    sources = [Path(source) for source in sources]
    missing = [str(source) for source in sources if not source.exists()]
    if missing:
        raise UserError(f"No such file or folder: {', '.join(missing)}")
    if len(sources) == 1 and sources[0].is_file() and out.suffix.lower() in IMAGE_SUFFIXES:
        return [(sources[0], out)]
    if out.is_file() or out.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(f"Several films need a folder to go to. Received: -o {out}")
    make_folder(out)
    jobs: dict[Path, Path] = {}
    for source in sources:
        films = _films_below(source) if source.is_dir() else [source]
        for film in films:
            name = film.relative_to(source) if source.is_dir() else Path(film.name)
            target = out / name.with_suffix(".png")
            if target in jobs:
                target = out / name.with_name(f"{name.name}.png")
            if target in jobs:
                raise UserError(
                    f"{film} and {jobs[target]} would both be written to {target}. "
                    "Take one folder at a time."
                )
            jobs[target] = film
    if not jobs:
        raise UserError(f"No films in {', '.join(map(str, sources))}")
    return [(film, target) for target, film in jobs.items()]


def _films_below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
