"""DICOM files to data sets, also such as break the standard in ways that other programs forgive.

No preamble, no transfer syntax, no end of the pixel data, bytes after the end, elements of group
0: each is common, and none leaves a doubt about what was meant. pydicom is imported on first use.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

from xraysr.errors import BadImageError
from xraysr.io.codestream import ITEM, SEQUENCE_END
from xraysr.io.safe_decoding import SAFE_PIXELS

if TYPE_CHECKING:
    from pydicom import FileDataset

MARKER = slice(128, 132)
PREAMBLE = 132
# What a deflated file may become: 16 bits for as many pixels as any file may have, and the header.
LARGEST_INFLATED = 2 * SAFE_PIXELS + (1 << 24)
CHUNK = 1 << 20
ZLIB = tuple(bytes([0x78, level]) for level in (0x01, 0x5E, 0x9C, 0xDA))  # its heads
PIXELS = 0x7FE00010
PIXEL_DATA = struct.pack("<HH", 0x7FE0, 0x0010)
# Groups with which a data set without preamble begins.
FIRST_GROUPS = (0x0002, 0x0008)
VRS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN "
    b"UR US UT UV".split()
)
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


def is_dicom(start: bytes) -> bool:
    """Whether a file that begins with `start`, 512 bytes of it, is DICOM."""
    return start[MARKER] == b"DICM" or _begins_bare(start)


def parse(file: BinaryIO, **options: Any) -> FileDataset:
    """The data set of a DICOM file, with a TransferSyntaxUID whatever the file says.

    Args:
        file: Open at its start.
        options: As `pydicom.dcmread` takes them.

    Raises:
        BadImageError: if it is not a DICOM file, or inflates to too much.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise BadImageError(
            "a DICOM film, which needs pydicom, and that is not installed here. pip install pydicom"
        ) from error
    start = file.read(512)
    file.seek(0)
    if not is_dicom(start):
        raise BadImageError("not a DICOM file, as there is no DICM at byte 128")
    file = _inflatable(file)
    film = _read(file, options)
    _name_syntax(film)
    tags = list(film.keys())
    if PIXELS in tags:  # what was read behind them and lies before is not an element
        for tag in tags[tags.index(PIXELS) :]:
            if tag < PIXELS:
                del film[tag]
    for tag in list(film.keys()):
        if tag.group < 8 and tag.group != 4:  # trailing zeros, and what a network command holds
            del film[tag]
    return film


def _read(file: BinaryIO, options: dict[str, Any]) -> FileDataset:
    """As pydicom reads it, without what follows the pixel data where that is not an element."""
    from pydicom import dcmread

    wants_pixels = not options.get("stop_before_pixels")
    try:
        film = dcmread(file, force=True, **options)
        if "PixelData" in film or not wants_pixels:
            return film
    except Exception:
        if not wants_pixels:
            raise
    file.seek(0)
    return dcmread(io.BytesIO(_cut(file)), force=True, **options)


def _cut(file: BinaryIO) -> bytes:
    """The file up to the end of its pixel data, with a delimiter where that lacks one."""
    from pydicom import dcmread

    film = dcmread(file, force=True, stop_before_pixels=True)
    at = file.tell()
    file.seek(0)
    data = file.read()
    if data[at : at + 4] != PIXEL_DATA:
        return data
    implicit = film.original_encoding[0]
    begin = at + (8 if implicit else 12)
    (length,) = struct.unpack_from("<I", data, begin - 4)
    if length != 0xFFFFFFFF:
        return data[: begin + length]
    end = begin
    while data[end : end + 4] == ITEM and end + 8 <= len(data):
        end += 8 + struct.unpack_from("<I", data, end + 4)[0]
    return data[:end] + SEQUENCE_END + bytes(4)


def _name_syntax(film: FileDataset) -> None:
    """Sets the transfer syntax that a file leaves out, as its first element was encoded."""
    from pydicom import uid

    if film.file_meta.get("TransferSyntaxUID"):
        return
    implicit, little = film.original_encoding
    plain = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
    film.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else plain


def _begins_bare(start: bytes) -> bool:
    """Whether a data set begins here: two elements that follow each other, in any encoding."""
    for order in "<>":
        first = _element(start, 0, order)
        if first is None or first[0] not in FIRST_GROUPS:
            continue
        second = _element(start, first[2], order)
        if first[2] >= len(start) or (second is not None and first[:2] < second[:2]):
            return True
    return False


def _element(data: bytes, at: int, order: str) -> tuple[int, int, int] | None:
    """Group, element and end of an element; None where none can be."""
    if at + 12 > len(data):
        return None
    group, element, vr, length = struct.unpack_from(f"{order}HH2sH", data, at)
    end = at + 8 + length
    if vr in LONG_VRS:
        end = at + 12 + struct.unpack_from(f"{order}I", data, at + 8)[0]
    elif vr not in VRS:
        if order == ">":
            return None
        end = at + 8 + struct.unpack_from("<I", data, at + 4)[0]
    return (group, element, end) if 0 < group < 0x7FE1 and end - at < 1 << 16 else None


def _inflatable(file: BinaryIO) -> BinaryIO:
    """The file from its start, unless it is deflated and becomes too large.

    Some writers begin what they deflated with the two bytes of zlib, which the standard leaves
    out, and so does the file that comes back. A file whose first elements cannot be understood
    passes: reading it says what is wrong.
    """
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    try:
        read_preamble(file, force=False)
        meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
        deflated = meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
        at = file.tell()
        if deflated and file.read(2) in ZLIB:
            file.seek(0)
            data = file.read()
            file = io.BytesIO(data[:at] + data[at + 2 :])
        file.seek(at)
        size = _inflated(file) if deflated else 0
    except Exception:
        size = 0
    if size > LARGEST_INFLATED:
        raise BadImageError(
            "too large to open safely, as it may be a decompression bomb: deflated, and more than "
            f"{LARGEST_INFLATED >> 20} MB"
        )
    file.seek(0)
    return file


def _inflated(file: BinaryIO) -> int:
    """Bytes that the rest of `file` inflates to, counted no further than just over the limit."""
    inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while not inflate.eof and (deflated := file.read(CHUNK)):
        while deflated and size <= LARGEST_INFLATED:
            size += len(inflate.decompress(deflated, CHUNK))
            deflated = inflate.unconsumed_tail
    return size
