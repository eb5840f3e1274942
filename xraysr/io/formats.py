"""Which reader and which writer: by content when reading, by suffix when writing."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xraysr.errors import BadImageError, UserError
from xraysr.files import refuse_existing, whole_file
from xraysr.io import dicom, dicom_write, raster, raster_write
from xraysr.io.provenance import Provenance
from xraysr.io.radiograph import Radiograph
from xraysr.io.safe_decoding import content
from xraysr.io.strips import Job, Sink, StripWriter, cannot_write

DICOM_SUFFIXES = (".dcm", ".dicom")
SINKS: dict[str, Sink] = {
    ".png": raster_write.png,
    ".jpg": raster_write.jpeg,
    ".jpeg": raster_write.jpeg,
    ".tif": raster_write.tiff,
    ".tiff": raster_write.tiff,
    ".dcm": dicom_write.dicom,
    ".dicom": dicom_write.dicom,
}
IMAGE_SUFFIXES = tuple(SINKS)

DICOM_MARKER = slice(128, 132)
RASTER_MARKERS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
)


def read(path: str | Path, frame: int | None = None) -> Radiograph:
    """Reads one film; pixels float32 (height, width) in [0, 1], bones bright.

    The format is told by the file's first bytes, so a DICOM file needs no suffix and a wrong
    suffix does no harm.

    Args:
        path: The file.
        frame: Which film of a multi-frame DICOM file, counted from 1; None for a file of one.

    Raises:
        UserError: if there is no such file, or no such frame in it.
        BadImageError: if the file is none of PNG, JPEG, TIFF and DICOM, or cannot be used, or
            holds several films and none is named; the message names the file and the reason.
    """
    path = Path(path)
    if _is_dicom(path):
        return dicom.read_dicom(path, frame)
    if frame not in (None, 1):
        raise UserError(f"{path}: frame must be 1, as it holds one film. Received: {frame}")
    return raster.read_raster(path)


def read_frames(path: str | Path) -> Iterator[Radiograph]:
    """Every film of a file in order: one, or those of a multi-frame DICOM file.

    Each is read when it is asked for; its `frame` is (number from 1, how many there are).

    Raises:
        UserError: if there is no such file.
        BadImageError: as `read`, and while going on if a later frame cannot be used.
    """
    path = Path(path)
    if _is_dicom(path):
        return dicom.read_dicom_frames(path)
    return iter([raster.read_raster(path)])


def write(
    path: str | Path,
    radiograph: Radiograph,
    *,
    overwrite: bool = False,
    provenance: Provenance | None = None,
) -> None:
    """Writes one film, whole or not at all, in the format of the suffix.

    PNG and TIFF hold 8 bits up to `bits == 8`, else 16; JPEG always holds 8. PNG and JPEG are
    for looking at, so a film with a DICOM header goes through its window first; TIFF keeps the
    pixels as they are. DICOM keeps the stored bits: a film with a header becomes a derived image
    of the same class and study, one without becomes a secondary capture.

    Raises:
        UserError: if `path` exists and `overwrite` is false, if it cannot be written, if the
            suffix is none of .png, .jpg, .jpeg, .tif, .tiff, .dcm, .dicom, or if the film does
            not fit the format.
        BadImageError: if the header of the film is damaged.
    """
    with strip_writer(
        path, radiograph.size, radiograph, overwrite=overwrite, provenance=provenance
    ) as writer:
        writer.write(radiograph.pixels)


@contextmanager
def strip_writer(
    path: str | Path,
    size: tuple[int, int],
    like: Radiograph,
    *,
    frames: int = 1,
    overwrite: bool = False,
    provenance: Provenance | None = None,
) -> Iterator[StripWriter]:
    """Writes a film as its rows come; the file appears whole when the block ends, or not at all.

    TIFF and DICOM take each strip to the disk at once; PNG and JPEG are collected first, in 8 or
    16 bits. Everything else is as in `write`.

    Args:
        path: The file.
        size: (height, width) in pixels of what is written.
        like: The film it is made from, at any size: its bits, spacing, header and padding count.
        frames: How many films of that size follow each other; more than one needs DICOM, and
            `like` is the first of a file with as many.
        overwrite: Replace the file if it exists.
        provenance: What made it.

    Raises:
        UserError: as `write`.
        BadImageError: as `write`.

    Example:
        >>> films = read_frames("lr.dcm")
        >>> first = next(films)
        >>> with strip_writer("sr.dcm", size, first, frames=first.frame[1]) as writer:
        ...     for film in (first, *films):
        ...         for rows in enlarged(film):     # float32, (n, width), from the top
        ...             writer.write(rows)
    """
    path = Path(path)
    job = Job(size, like, frames, provenance)
    sink = _sink(path, job)
    refuse_existing(path, overwrite)
    caller: BaseException | None = None
    try:
        with whole_file(path) as temporary, sink(temporary, job) as put:
            writer = StripWriter(path, job, put)
            try:
                yield writer
            except BaseException as error:
                caller = error
                raise
            writer.check_complete()
    except OSError as error:
        if caller is not None:  # what came second is the file that could not be closed either
            raise caller from None
        raise cannot_write(path, error) from error


def _sink(path: Path, job: Job) -> Sink:
    suffix = path.suffix.lower()
    if suffix not in SINKS:
        raise UserError(
            f"The suffix of an output must be one of {', '.join(SINKS)}. Received: {path}"
        )
    if job.frames > 1 and suffix not in DICOM_SUFFIXES:
        raise UserError(
            f"{path} would hold one film. Received: {job.frames} frames. "
            "Write a .dcm file, or take one frame"
        )
    return SINKS[suffix]


def _is_dicom(path: Path) -> bool:
    """Whether `path` is DICOM, and not another format that `raster` reads."""
    start = content(path, 512)
    if start[DICOM_MARKER] == b"DICM":  # before the others: its first 128 bytes may be a TIFF
        return True
    if start.startswith(RASTER_MARKERS):
        return False
    kind = "text" if _is_text(start) else "neither PNG, JPEG, TIFF nor DICOM"
    raise BadImageError(f"{path} is not an image this program reads: its content is {kind}")


def _is_text(start: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # may end inside a letter
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)
