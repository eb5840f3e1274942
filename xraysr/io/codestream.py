"""The size that a compressed frame itself claims, read before a codec makes room for it.

A JPEG 2000 stream of some bytes may claim 4 billion pixels, whatever Rows and Columns say, and
codecs believe it.

Reference: ITU-T T.81, B.2.2 (JPEG), T.87, C.2.2 (JPEG-LS), T.800, A.5.1 (JPEG 2000).
"""

from __future__ import annotations

import struct

JPEG_START = b"\xff\xd8"
# Start of frame: every SOF but DHT (C4), JPG (C8) and DAC (CC), and that of JPEG-LS (F7).
JPEG_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
J2K_START = b"\xff\x4f\xff\x51"


def claimed_shape(data: bytes) -> tuple[int, int, int] | None:
    """(height, width, components) of a JPEG, JPEG-LS or JPEG 2000 stream; None where it has none.

    Raises:
        struct.error: if the stream ends within its header.
    """
    if data.startswith(JPEG_START):
        return _jpeg(data)
    at = data.find(J2K_START)
    return None if at < 0 else _j2k(data, at)


def _jpeg(data: bytes) -> tuple[int, int, int] | None:
    at = len(JPEG_START)
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in JPEG_FRAMES:
            return struct.unpack_from(">HHB", data, at + 5)
        at += 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])
    return None


def _j2k(data: bytes, at: int) -> tuple[int, int, int]:
    right, bottom, left, top, components = struct.unpack_from(">4I16xH", data, at + 8)
    return bottom - top, right - left, components
