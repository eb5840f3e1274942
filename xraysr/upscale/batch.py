"""Files in, files out: many films through one `Upscaler`, and no bad one stops the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xraysr.errors import BadImageError, UserError
from xraysr.files import refuse_existing
from xraysr.io import IMAGE_SUFFIXES, read, write
from xraysr.progress import track
from xraysr.upscale.upscaler import Upscaler

KNOWN = ", ".join(f"*{suffix}" for suffix in IMAGE_SUFFIXES)


def upscale_files(
    upscaler: Upscaler, sources: Sequence[Path], out: Path, *, overwrite: bool = False
) -> list[str]:
    """Enlarges films on disk.

    Args:
        upscaler: The model.
        sources: Files, or folders whose films are taken at any depth.
        out: For one file, the file to write (its suffix says the format) or a folder; otherwise
            a folder, where each film becomes NAME.png under the path it had.
        overwrite: Replace existing outputs, but never a source.

    Returns:
        The reason for each film that was skipped.

    Raises:
        UserError: if nothing can be enlarged at all, or an output exists or is a source.
    """
    jobs = _plan([Path(source) for source in sources], Path(out))
    originals = {source.resolve() for source, _ in jobs}
    for _, target in jobs:
        if target.resolve() in originals:
            raise UserError(f"{target} would replace an original film. Name another output.")
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


def _plan(sources: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """(source, target) of every film; no two share a target."""
    missing = [str(source) for source in sources if not source.exists()]
    if missing:
        raise UserError(f"No such file or folder: {', '.join(missing)}")
    if len(sources) == 1 and sources[0].is_file() and out.suffix and not out.is_dir():
        return [(sources[0], out)]
    if out.is_file() or out.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(f"Several films need a folder to go to. Received: -o {out}")
    jobs: dict[Path, Path] = {}
    for source in sources:
        for film, name in _films(source, out):
            target = out / _as_png(name)
            if target in jobs:
                target = out / f"{name}.png"
            if target in jobs:
                raise UserError(
                    f"{film} and {jobs[target]} would both be written to {target}. "
                    "Take one folder at a time."
                )
            jobs[target] = film
    if not jobs:
        raise UserError(f"No films in {', '.join(map(str, sources))}. Films are named {KNOWN}.")
    return [(film, target) for target, film in jobs.items()]


def _films(source: Path, out: Path) -> list[tuple[Path, Path]]:
    """Each film of a file or folder with the path it has there; hidden ones are left alone."""
    if source.is_file():
        return [(source, Path(source.name))]
    if out.resolve().is_relative_to(source.resolve()):
        raise UserError(
            "The output must not lie in the folder of films, where it would be taken for more of "
            f"them. Received: -o {out} for the films in {source}"
        )
    films = []
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not hidden:
            films.append((path, name))
    return films


def _as_png(name: Path) -> Path:
    """NAME.png; a DICOM file without suffix, such as 1.2.840.7, keeps all of its name."""
    known = name.suffix.lower() in IMAGE_SUFFIXES
    return name.with_suffix(".png") if known else name.with_name(f"{name.name}.png")
