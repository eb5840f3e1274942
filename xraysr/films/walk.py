"""The one finder: which files below a folder are films, told by content, and what the others are.

Train, evaluate, prepare, tfds, upscale and watch all find their films here. A name counts for
nothing: `IM000001`, `DX.1.2.3`, `A.IMA` and `a.png` are films when their first bytes say so. Of
DICOM files the header is read; pipes and devices are never opened.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from xraysr.errors import BadImageError, UserError
from xraysr.films.header import Header, read_header
from xraysr.io import READABLE, kind_of
from xraysr.io.safe_decoding import decoding

SYSTEM = {
    "__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found",
    "system volume information",
}  # fmt: skip
MASK = re.compile(r"masks?(?![a-z])|(?<![a-z])(seg|segm|segmentations?)(?![a-z])", re.IGNORECASE)
MASK_BYTES, MASK_PIXELS = 256, 1 << 25  # beyond these a two-level image is not looked for
SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,5}")


@dataclass(frozen=True)
class Skipped:
    """A file or folder that could not be used, and why.

    Args:
        path: The file or folder.
        reason: Why, without the path.
        transient: Whether it may be read another time: the disk or memory failed, not the file.
    """

    path: Path
    reason: str
    transient: bool = False

    @classmethod
    def because(cls, path: Path, error: Exception) -> Skipped:
        """The file at `path`, left out because of `error`."""
        reason = str(error).removeprefix(str(path)).lstrip(": ")
        return cls(path, reason, not isinstance(error, BadImageError) or _transient(error))

    def __str__(self) -> str:
        return f"{path_text(self.path)}: {self.reason}"


@dataclass(frozen=True)
class FoundFilm:
    """A file that holds a film.

    Args:
        path: The file.
        kind: What it is by content: one of `xraysr.io.READABLE`.
        header: What a DICOM header says of it; None for other kinds and damaged headers.
    """

    path: Path
    kind: str
    header: Header | None = None


def walk_films(
    root: str | Path,
    *,
    apart: Collection[str] = (),
    seen: Callable[[Path], None] = lambda path: None,
) -> tuple[list[FoundFilm], list[Skipped]]:
    """The films below the folder `root` at any depth, sorted by path, and all else with a reason.

    Links are followed, each folder is read once. Segmentation masks beside films are not films.

    Args:
        root: The folder.
        apart: Names of folders right below `root` that are not looked into.
        seen: Called with each path that was looked at, for a progress display.

    Raises:
        UserError: if `root` is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"The folder of films must be an existing folder. Received: {root}")
    films: list[FoundFilm] = []
    skipped: list[Skipped] = []
    for path in _files(root, apart, skipped):
        found = examine(path, path.relative_to(root).parts)
        (films if isinstance(found, FoundFilm) else skipped).append(found)  # type: ignore[arg-type]
        seen(path)
    rasters = [film.path for film in films if film.kind in ("PNG", "TIFF")]
    masks = set(filter(has_two_levels, rasters))
    if len(masks) < len(films):  # nothing but two levels: they are what the user has
        films = [film for film in films if film.path not in masks]
        skipped += [Skipped(path, "an image of two grey levels, as masks are") for path in masks]
    films.sort(key=lambda film: film.path.parts)
    skipped.sort(key=lambda each: each.path.parts)
    return films, skipped


def examine(path: Path, parts: tuple[str, ...] | None = None) -> FoundFilm | Skipped:
    """What the file at `path` is: a film, or the reason why it is not.

    Args:
        path: The file; it is only opened if it is a regular one.
        parts: Those of its path that may say what it is; by default its name alone.
    """
    parts = parts or (path.name,)
    try:
        if reason := no_film_by_name(parts) or _by_status(path):
            return Skipped(path, reason)
        kind = kind_of(path)
        if reason := no_film_by_kind(kind):
            return Skipped(path, reason)
        header = read_header(path) if kind == "DICOM" else None
    except UserError as error:
        return Skipped.because(path, error)
    if header is not None and (reason := header.not_a_film()):
        return Skipped(path, reason)
    if any(map(MASK.search, (*parts[:-1], stem_of(parts[-1])))):
        return Skipped(path, "a segmentation mask by its name")
    return FoundFilm(path, kind, header)


def no_film_by_name(parts: tuple[str, ...]) -> str | None:
    """Why a file with these parts of a path is not a film, whatever it holds; else None."""
    if any(part.startswith(".") or part.lower() in SYSTEM for part in parts):
        return "a hidden or system file"
    try:
        "".join(parts).encode("utf-8")
    except UnicodeEncodeError:
        return "its path is not UTF-8 text"
    return "a DICOM directory" if parts[-1].upper() == "DICOMDIR" else None


def no_film_by_kind(kind: str) -> str | None:
    """Why a file of this `xraysr.io.kind_of` is not a film; else None."""
    if kind in READABLE:
        return None
    return "not an image" if kind == "unknown" else f"{kind}, which is not read"


def path_text(path: Path | PurePath) -> str:
    """`path` as text that can be printed and stored, whatever bytes its name has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def stem_of(name: str) -> str:
    """A file's name without its suffix; `DX.1.2.3` and `1.2.840.7` have none."""
    suffix = PurePath(name).suffix
    return name.removesuffix(suffix) if SUFFIX.fullmatch(suffix) else name


def has_two_levels(path: Path) -> bool:
    """Whether a PNG or TIFF is black and white, as masks are; only small files are decoded."""
    try:
        with decoding(path), Image.open(path) as image:
            pixels = image.width * image.height
            if path.stat().st_size > MASK_BYTES + pixels // 6 or pixels > MASK_PIXELS:
                return False
            values = np.asarray(image.convert("RGB") if image.mode in ("P", "RGBA") else image)
            if values.ndim == 3:  # one number for each colour
                values = values.astype(np.int32) @ (1, 256, 65536)
            low, high = values.min(), values.max()
            return bool(low < high and ((values == low) | (values == high)).all())
    except (UserError, OSError):
        return False


def _files(root: Path, apart: Collection[str], skipped: list[Skipped]) -> Iterator[Path]:
    """Files below `root`, real folders before links to folders, and never in circles."""
    read = set()

    def unreadable(error: OSError) -> None:
        skipped.append(
            Skipped(Path(error.filename), f"a folder that cannot be read: {_why(error)}")
        )

    for folder, folders, files in os.walk(root, followlinks=True, onerror=unreadable):
        here, status = Path(folder), os.stat(folder)
        if (status.st_dev, status.st_ino) in read:
            skipped.append(Skipped(here, "a link to a folder that is read already"))
            folders.clear()
            continue
        read.add((status.st_dev, status.st_ino))
        folders[:] = sorted(
            (name for name in folders if here != root or name not in apart),
            key=lambda name: ((here / name).is_symlink(), name),
        )
        yield from (here / name for name in sorted(files))


def _by_status(path: Path) -> str | None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "a link that leads nowhere" if path.is_symlink() else "it is gone"
    except OSError as error:
        return f"cannot be read: {_why(error)}"
    return None if stat.S_ISREG(mode) else "a pipe, socket or device"


def _transient(error: BaseException | None) -> bool:
    """Whether the system's failure is behind `error`; decoders raise OSErrors without a number."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            return True
        error = error.__cause__
    return False


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
