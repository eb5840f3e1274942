"""Whether a PNG has all its rows; Pillow fills those that are missing with black."""

from __future__ import annotations

import struct
import zlib

from xraysr.errors import BadImageError

SIGNATURE = 8  # bytes
HEADER = 16  # where width and height begin
CHUNK = 1 << 20
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# The passes of an interlaced image (PNG, section 8.2): first column and row, steps between them.
PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def check_rows(data: bytes) -> None:
    """Refuses a PNG file whose image data ends before its last row.

    Reference:
        [PNG specification](https://www.w3.org/TR/png-3/), sections 5.3, 7.2 and 8
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, HEADER)
    bits = depth * SAMPLES.get(colour, 1)
    passes = PASSES if interlaced else ((0, 0, 1, 1),)
    expected = sum(
        _bytes(-(-(width - x) // dx), -(-(height - y) // dy), bits) for x, y, dx, dy in passes
    )
    found = _inflated(data, expected)
    if found < expected:
        raise BadImageError(f"truncated (its rows have {found} of {expected} bytes)")


def _bytes(width: int, height: int, bits: int) -> int:
    """Of an image, each row after its filter type."""
    return height * (1 + (width * bits + 7) // 8) if width > 0 and height > 0 else 0


def _inflated(data: bytes, enough: int) -> int:
    """Bytes that the image data inflates to, counted no further than `enough`."""
    inflate, size, place = zlib.decompressobj(), 0, SIGNATURE
    while place + 8 <= len(data) and size < enough:
        length, kind = struct.unpack_from(">I4s", data, place)
        part = data[place + 8 : place + 8 + length] if kind == b"IDAT" else b""
        while part and size < enough and not inflate.eof:
            size += len(inflate.decompress(part, CHUNK))
            part = inflate.unconsumed_tail
        place += 12 + length
    return size
