"""Encapsulated pixel data: its frames, and what each compressed frame says of itself.

A codestream knows its size, its bits and its sign better than the header around it, which was
written by another program. It is read before a codec makes room for it: a JPEG 2000 stream of
some bytes may claim 4 billion pixels, whatever Rows and Columns say, and codecs believe it.

Reference: PS3.5 A.4 (encapsulation); ITU-T T.81, B.2.2 (JPEG), T.87, C.2.2 (JPEG-LS), T.800,
A.5.1 (JPEG 2000).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from xraysr.errors import BadImageError

JPEG_START = b"\xff\xd8"
J2K_START = b"\xff\x4f\xff\x51"
END = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000 alike
# Start of frame: every SOF but DHT (C4), JPG (C8) and DAC (CC), and that of JPEG-LS (F7).
JPEG_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
# Transfer syntaxes by their start of frame; JPEG 2000 has none.
BASELINE, EXTENDED, LOSSLESS, JPEG_LS = 0xC0, 0xC1, 0xC3, 0xF7
SYNTAXES = {
    BASELINE: "1.2.840.10008.1.2.4.50",
    EXTENDED: "1.2.840.10008.1.2.4.51",
    LOSSLESS: "1.2.840.10008.1.2.4.57",
    JPEG_LS: "1.2.840.10008.1.2.4.80",
}
JPEG_2000 = "1.2.840.10008.1.2.4.90"

ITEM, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


@dataclass(frozen=True)
class Claim:
    """What a codestream says of itself.

    Args:
        rows: Height in pixels.
        columns: Width in pixels.
        components: Samples per pixel.
        bits: Of each sample.
        signed: Samples are signed; JPEG and JPEG-LS do not say.
        syntax: UID of a transfer syntax it belongs to; None for a process that DICOM lacks.
    """

    rows: int
    columns: int
    components: int
    bits: int
    signed: bool
    syntax: str | None


def claim_of(data: bytes) -> Claim | None:
    """What a JPEG, JPEG-LS or JPEG 2000 stream claims; None where it is none, as in RLE.

    Raises:
        struct.error: if the stream ends within its header.
    """
    if data.startswith(JPEG_START):
        return _jpeg(data)
    at = data.find(J2K_START, 0, 1 << 16)
    return None if at < 0 else _j2k(data, at)


def check_end(data: bytes) -> None:
    """Refuses a codestream that does not end, though some padding may follow; codecs fill it up.

    Raises:
        BadImageError: if its end is missing.
    """
    if END not in data[-64:].rstrip(b"\0") + data[-2:]:
        raise BadImageError("truncated (its compressed image has no end)")


def frames_of(data: bytes, count: int, big_endian: bool = False) -> list[bytes]:
    """The frames of encapsulated pixel data, whatever its table of offsets says.

    A table that is empty or wrong, a missing delimiter and frames in several fragments are all
    common. One frame is all fragments; as many frames as fragments are one each; otherwise a
    frame begins where a codestream does, or, for RLE, where the table says so.

    Args:
        data: The value of PixelData.
        count: NumberOfFrames.
        big_endian: Of the items' lengths.

    Raises:
        BadImageError: if the fragments are not `count` frames.
    """
    table, fragments = _fragments(data, big_endian)
    if count == 1:
        return [b"".join(part for _, part in fragments)]
    if len(fragments) == count:
        return [part for _, part in fragments]
    starts = [at for at, (_, part) in enumerate(fragments) if _begins(part)]
    if len(starts) != count:
        places = [place for place, _ in fragments]
        starts = [places.index(offset) for offset in table if offset in places]
    if len(starts) != count or starts[0] != 0:
        raise BadImageError(f"its {len(fragments)} fragments are not {count} frames")
    ends = [*starts[1:], len(fragments)]
    return [
        b"".join(part for _, part in fragments[start:end])
        for start, end in zip(starts, ends, strict=True)
    ]


def _fragments(data: bytes, big_endian: bool) -> tuple[list[int], list[tuple[int, bytes]]]:
    """The table of offsets, and each fragment with its place after the table."""
    order, item = (">", ITEM[1::-1] + ITEM[:1:-1]) if big_endian else ("<", ITEM)
    parts: list[tuple[int, bytes]] = []
    at = 0
    while data[at : at + 4] == item and at + 8 <= len(data):
        (length,) = struct.unpack_from(f"{order}I", data, at + 4)
        parts.append((at, data[at + 8 : at + 8 + length]))
        at += 8 + length
    if not parts:
        raise BadImageError("its compressed pixel data has no fragments")
    table: list[int] = []
    if not _begins(parts[0][1]) and (len(parts) > 1 or not parts[0][1]):
        _, words = parts.pop(0)
        table = list(struct.unpack(f"{order}{len(words) // 4}I", words[: len(words) // 4 * 4]))
    if not parts:
        raise BadImageError("its compressed pixel data has no fragments")
    first = parts[0][0]
    return table, [(place - first, part) for place, part in parts]


def _begins(part: bytes) -> bool:
    """Whether a codestream begins here; RLE cannot be told."""
    return part.startswith((JPEG_START, J2K_START, b"\x00\x00\x00\x0cjP"))


def _jpeg(data: bytes) -> Claim | None:
    at = len(JPEG_START)
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in JPEG_FRAMES:
            bits, rows, columns, components = struct.unpack_from(">BHHB", data, at + 4)
            return Claim(rows, columns, components, bits, False, SYNTAXES.get(marker))
        at += 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])
    return None


def _j2k(data: bytes, at: int) -> Claim:
    right, bottom, left, top, components = struct.unpack_from(">4I16xH", data, at + 8)
    (depth,) = struct.unpack_from(">B", data, at + 42)
    bits, signed = (depth & 0x7F) + 1, bool(depth & 0x80)
    return Claim(bottom - top, right - left, components, bits, signed, JPEG_2000)
