"""Which reader and which writer: by content when reading, by suffix when writing."""

from __future__ import annotations

import codecs
from pathlib import Path

from xraysr.errors import BadImageError, UserError
from xraysr.files import refuse_existing, whole_file
from xraysr.io import dicom, raster, voi
from xraysr.io.guard import content
from xraysr.io.radiograph import Radiograph

DICOM_SUFFIXES = (".dcm", ".dicom")
IMAGE_SUFFIXES = (*raster.WRITERS, *DICOM_SUFFIXES)
DISPLAY_SUFFIXES = (".png", ".jpg", ".jpeg")

DICOM_MARKER = slice(128, 132)
RASTER_MARKERS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
)


def read(path: str | Path) -> Radiograph:
    """Reads one film; pixels float32 (height, width) in [0, 1], bones bright.

    The format is told by the file's first bytes, so a DICOM file needs no suffix and a wrong
    suffix does no harm.

    Raises:
        UserError: if there is no such file.
        BadImageError: if the file is none of PNG, JPEG, TIFF and DICOM, or cannot be used; the
            message names the file and the reason.
    """
    path = Path(path)
    start = content(path, 512)
    if start[DICOM_MARKER] == b"DICM":  # before the others: its first 128 bytes may be a TIFF
        return dicom.read_dicom(path)
    if start.startswith(RASTER_MARKERS):
        return raster.read_raster(path)
    kind = "text" if _is_text(start) else "neither PNG, JPEG, TIFF nor DICOM"
    raise BadImageError(f"{path} is not an image this program reads: its content is {kind}")


def write(path: str | Path, radiograph: Radiograph, *, overwrite: bool = False) -> None:
    """Writes one film, whole or not at all, in the format of the suffix.

    PNG and TIFF hold 8 bits up to `bits == 8`, else 16; JPEG always holds 8. PNG and JPEG are
    for looking at, so a film with a DICOM header goes through `voi.display` first; TIFF keeps
    the pixels as they are.

    Raises:
        UserError: if `path` exists and `overwrite` is false, if it cannot be written, or if the
            suffix is none of .png, .jpg, .jpeg, .tif, .tiff.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in DICOM_SUFFIXES:
        raise UserError(
            f"{path}: DICOM output is not supported yet. Write a .png or .tif file instead."
        )
    if suffix not in raster.WRITERS:
        raise UserError(
            f"The suffix of an output must be one of {', '.join(raster.WRITERS)}. Received: {path}"
        )
    refuse_existing(path, overwrite)
    if suffix in DISPLAY_SUFFIXES:
        radiograph = voi.display(radiograph)
    try:
        with whole_file(path) as temporary:
            raster.WRITERS[suffix](temporary, radiograph)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}") from error


def _is_text(start: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # may end inside a letter
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)
