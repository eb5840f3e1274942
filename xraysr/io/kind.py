"""What a file is, told by its first bytes and never by its name."""

from __future__ import annotations

import codecs
from pathlib import Path

from xraysr.io.dicom_parse import is_dicom
from xraysr.io.jsrt import is_jsrt
from xraysr.io.safe_decoding import content

READABLE = ("DICOM", "JPEG", "JSRT", "PNG", "TIFF")
# What a file is, where the bytes that say so begin, and those bytes.
MARKERS = (
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("TIFF", 0, b"II*\x00"),
    ("TIFF", 0, b"MM\x00*"),
    ("TIFF", 0, b"II+\x00"),
    ("TIFF", 0, b"MM\x00+"),
    ("JPEG 2000", 0, b"\x00\x00\x00\x0cjP  \r\n\x87\n"),
    ("JPEG 2000", 0, b"\xff\x4f\xff\x51"),
    ("JPEG XL", 0, b"\x00\x00\x00\x0cJXL \r\n\x87\n"),
    ("JPEG XL", 0, b"\xff\x0a"),
    ("JPEG XR", 0, b"II\xbc"),
    ("AVIF", 4, b"ftypavif"),
    ("HEIC", 4, b"ftyphei"),
    ("HEIC", 4, b"ftypmif1"),
    ("MP4", 4, b"ftyp"),
    ("BMP", 0, b"BM"),
    ("GIF", 0, b"GIF8"),
    ("OpenEXR", 0, b"\x76\x2f\x31\x01"),
    ("PSD", 0, b"8BPS"),
    ("FITS", 0, b"SIMPLE  ="),
    ("NIfTI", 344, b"n+1\x00"),
    ("NIfTI", 344, b"ni1\x00"),
    ("NIfTI", 4, b"n+2\x00\r\n"),
    ("NRRD", 0, b"NRRD000"),
    ("MetaImage", 0, b"ObjectType"),
    ("HDF5", 0, b"\x89HDF\r\n\x1a\n"),
    ("MATLAB", 0, b"MATLAB"),
    ("NumPy", 0, b"\x93NUMPY"),
    ("PDF", 0, b"%PDF-"),
    ("PostScript", 0, b"%!PS"),
    ("ZIP", 0, b"PK\x03\x04"),
    ("gzip", 0, b"\x1f\x8b"),
    ("bzip2", 0, b"BZh"),
    ("xz", 0, b"\xfd7zXZ\x00"),
    ("Zstandard", 0, b"\x28\xb5\x2f\xfd"),
    ("7-Zip", 0, b"7z\xbc\xaf\x27\x1c"),
    ("program", 0, b"\x7fELF"),
    ("SQLite", 0, b"SQLite format 3\x00"),
    ("PGM", 0, b"P5\n"),
    ("PGM", 0, b"P5 "),
    ("Analyze", 0, b"\x5c\x01\x00\x00"),
    ("Analyze", 0, b"\x00\x00\x01\x5c"),
)


def kind_of(path: str | Path) -> str:
    """What a file is, told by its first bytes: a name for people, such as "PNG" or "WebP".

    `READABLE` holds those that `read` takes; "unknown" is what has no name here.

    Raises:
        UserError: if there is no such file.
        BadImageError: if it cannot be read, or is empty.
    """
    start = content(Path(path), 512)
    if is_jsrt(Path(path)):  # the one kind whose bytes do not say it
        return "JSRT"
    if is_dicom(start):  # before the others: its first 128 bytes may be a TIFF
        return "DICOM"
    for kind, at, marker in MARKERS:
        if start[at:].startswith(marker):
            return kind
    if start.startswith(b"RIFF"):
        return {b"WEBP": "WebP", b"AVI ": "AVI", b"WAVE": "WAV"}.get(start[8:12], "RIFF")
    return "text" if _is_text(start) else "unknown"


def _is_text(start: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # may end inside a letter
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)
