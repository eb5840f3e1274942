"""Which films are enlarged, and where each of them goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from xraysr.errors import UserError
from xraysr.io import IMAGE_SUFFIXES
from xraysr.io.formats import DICOM_SUFFIXES

KNOWN = ", ".join(f"*{suffix}" for suffix in IMAGE_SUFFIXES)
DICOM_DIRECTORY = "DICOMDIR"


class Job(NamedTuple):
    """A film and the file that is to be written."""

    source: Path
    target: Path


def plan(sources: Sequence[Path], out: Path) -> list[Job]:
    """What is to be done for `sources`; no two share a target.

    Args:
        sources: Files, or folders whose films are taken at any depth: those with a known suffix,
            and DICOM files without.
        out: For one file, the file to write (its suffix says the format) or a folder; otherwise
            a folder, where each film goes under the path it had: DICOM as NAME.dcm, others as
            NAME.png.

    Raises:
        UserError: if a source is missing or without films, or two films have one target.
    """
    if missing := [str(source) for source in sources if not source.exists()]:
        raise UserError(f"No such file or folder: {', '.join(missing)}")
    if len(sources) == 1 and sources[0].is_file() and out.suffix and not out.is_dir():
        return [Job(sources[0], out)]
    if out.is_file() or out.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(f"Several films need a folder to go to. Received: -o {out}")
    jobs: dict[Path, Path] = {}
    for source in sources:
        for film, name in _films(source, out):
            suffix = ".dcm" if is_dicom(film) else ".png"
            target = out / _renamed(name, suffix)
            if target in jobs:
                target = out / f"{name}{suffix}"
            if target in jobs:
                raise UserError(
                    f"{film} and {jobs[target]} would both be written to {target}. "
                    "Take one folder at a time."
                )
            jobs[target] = film
    if not jobs:
        raise UserError(f"No films in {', '.join(map(str, sources))}. Films are named {KNOWN}.")
    return [Job(film, target) for target, film in jobs.items()]


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM, by its suffix or its first bytes."""
    if path.suffix.lower() in DICOM_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


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
        if not path.is_file() or any(part.startswith(".") for part in name.parts):
            continue
        known = path.suffix.lower() in IMAGE_SUFFIXES
        if known or (path.name != DICOM_DIRECTORY and is_dicom(path)):
            films.append((path, name))
    return films


def _renamed(name: Path, suffix: str) -> Path:
    """NAME with `suffix`; a DICOM file without suffix, such as 1.2.840.7, keeps all of its name."""
    known = name.suffix.lower() in IMAGE_SUFFIXES
    return name.with_suffix(suffix) if known else name.with_name(f"{name.name}{suffix}")
