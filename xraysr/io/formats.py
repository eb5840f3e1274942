"""Which reader and which writer: by content when reading, by suffix when writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

from xraysr.errors import BadImageError, UserError
from xraysr.files import refuse_existing, whole_file
from xraysr.io import dicom, dicom_write, raster, raster_write
from xraysr.io.kind import READABLE, kind_of
from xraysr.io.levels import Wanted
from xraysr.io.radiograph import Radiograph
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


def read(
    path: str | Path,
    *,
    frame: int | None = None,
    page: int | None = None,
    bits: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> Radiograph:
    """Reads one film; pixels float32 (height, width) in [0, 1], bones bright.

    The format is told by the file's first bytes, so a DICOM file needs no suffix and a wrong
    suffix does no harm.

    Args:
        path: The file.
        frame: Which film of a multi-frame DICOM file, counted from 1; None for a file of one.
        page: Which page of a TIFF, counted from 1; None for the first of full size.
        bits: Bits that the values of a PNG or TIFF of more than 8 bits have, where the file does
            not say so, or not rightly. Other files say it themselves.
        value_range: The values of a PNG or TIFF that become 0 and 1; None for the whole range of
            whole numbers, and for 0 and 1 of floats.

    Raises:
        UserError: if there is no such file, or no such frame in it.
        BadImageError: if the file is none of PNG, JPEG, TIFF and DICOM, or cannot be used, or
            holds several films and none is named; the message names the file and the reason.
    """
    path, wanted = Path(path), _wanted(page, bits, value_range)
    if _is_dicom(path, wanted):
        return dicom.read_dicom(path, frame)
    if frame not in (None, 1):
        raise UserError(f"{path}: frame must be 1, as it holds one film. Received: {frame}")
    return raster.read_raster(path, wanted)


def read_frames(
    path: str | Path,
    *,
    page: int | None = None,
    bits: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> Iterator[Radiograph]:
    """Every film of a file in order: one, or those of a multi-frame DICOM file.

    Each is read when it is asked for; its `frame` is (number from 1, how many there are). The
    arguments are those of `read`.

    Raises:
        UserError: if there is no such file.
        BadImageError: as `read`, and while going on if a later frame cannot be used.
    """
    path, wanted = Path(path), _wanted(page, bits, value_range)
    if _is_dicom(path, wanted):
        return dicom.read_dicom_frames(path)
    return iter([raster.read_raster(path, wanted)])


def write(path: str | Path, radiograph: Radiograph, *, overwrite: bool = False) -> None:
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
    with strip_writer(path, radiograph.size, radiograph, overwrite=overwrite) as writer:
        writer.write(radiograph.pixels)


@contextmanager
def strip_writer(
    path: str | Path,
    size: tuple[int, int],
    like: Radiograph,
    *,
    frames: int = 1,
    overwrite: bool = False,
) -> Iterator[StripWriter]:
    """Writes a film as its rows come; the file appears whole when the block ends, or not at all.

    TIFF and DICOM take each strip to the disk at once; PNG and JPEG are collected first, in 8 or
    16 bits. Everything else is as in `write`.

    Args:
        path: The file.
        size: (height, width) in pixels of what is written.
        like: The film it is made from, at any size: its bits, spacing, header, padding
            and provenance count.
        frames: How many films of that size follow each other; more than one needs DICOM, and
            `like` is the first of a file with as many.
        overwrite: Replace the file if it exists.

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
    job = Job(size, like, frames)
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


def _is_dicom(path: Path, wanted: Wanted) -> bool:
    """Whether `path` is DICOM, and not another format that `raster` reads."""
    kind = kind_of(path)
    if kind not in READABLE:
        found = "neither PNG, JPEG, TIFF nor DICOM" if kind == "unknown" else kind
        raise BadImageError(f"{path} is not an image this program reads: its content is {found}")
    if wanted.page not in (None, 1) and kind != "TIFF":
        raise UserError(f"{path}: page must be 1, as it has no pages. Received: {wanted.page}")
    return kind == "DICOM"


def _wanted(page: int | None, bits: int | None, value_range: tuple[float, float] | None) -> Wanted:
    if bits is not None and not 1 <= bits <= 16:
        raise UserError(f"bits must be 1 to 16. Received: {bits}")
    if value_range is not None and not -inf < value_range[0] < value_range[1] < inf:
        raise UserError(
            f"value_range must be two numbers, the lower one first. Received: {value_range}"
        )
    return Wanted(page, bits, value_range)
