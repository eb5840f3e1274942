"""What Pillow does not tell about a PNG: missing rows, significant bits, 16 bits in colour.

Reference:
    [PNG specification](https://www.w3.org/TR/png-3/), sections 5.3, 7.2, 8, 9 and 11.3.2.7
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xraysr.errors import BadImageError

MARKER = b"\x89PNG\r\n\x1a\n"
END = b"IEND\xaeB`\x82"
HEAD = 29  # bytes of marker and header
PIECE = 1 << 20
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# The passes of an interlaced image (section 8.2): first column and row, steps between them.
PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


@dataclass(frozen=True)
class Head:
    """The first chunk of a PNG.

    Args:
        width: In pixels.
        height: In pixels.
        depth: Bits per sample.
        colour: The colour type, a key of `SAMPLES`.
        interlaced: It comes in seven passes.
    """

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @property
    def samples(self) -> int:
        """Per pixel."""
        return SAMPLES.get(self.colour, 1)


def head_of(data: bytes) -> Head:
    """Raises BadImageError if the file ends before."""
    if len(data) < HEAD:
        raise BadImageError("truncated (the PNG has no end)")
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    return Head(width, height, depth, colour, bool(interlaced))


def check_rows(data: bytes) -> None:
    """Refuses a PNG file that ends before its last row; Pillow fills the rest with black.

    Raises:
        BadImageError: if rows or the end are missing.
    """
    if END not in data:
        raise BadImageError("truncated (the PNG has no end)")
    head = head_of(data)
    bits = head.depth * head.samples
    passes = PASSES if head.interlaced else ((0, 0, 1, 1),)
    expected = sum(
        _bytes(-(-(head.width - x) // dx), -(-(head.height - y) // dy), bits)
        for x, y, dx, dy in passes
    )
    found = sum(len(part) for part in _inflated(data, expected))
    if found < expected:
        raise BadImageError(f"truncated (its rows have {found} of {expected} bytes)")


def significant_bits(data: bytes) -> int | None:
    """What the chunk sBIT says of the first sample; None where there is none or it makes no sense.

    Raises:
        BadImageError: if the file ends before.
    """
    head = head_of(data)
    for kind, chunk in _chunks(data):
        if kind == b"sBIT" and chunk:
            return chunk[0] if 1 <= chunk[0] <= head.depth else None
        if kind == b"IDAT":
            break
    return None


def samples16(data: bytes) -> np.ndarray:
    """uint16 (height, width, samples) of a PNG of 16 bits that is not interlaced.

    Pillow keeps 8 of them where there are several channels. Filters are undone along diagonals,
    where each pixel needs only those of the two diagonals before.

    Raises:
        BadImageError: if it is interlaced.
    """
    head = head_of(data)
    if head.interlaced:
        raise BadImageError("16 bits in colour, interlaced, which is not read. Save it as grey")
    step = 2 * head.samples
    size = head.height * (1 + head.width * step)
    flat = np.frombuffer(b"".join(_inflated(data, size))[:size], np.uint8)
    lines = flat.reshape(head.height, -1)
    filters = lines[:, 0]
    if filters.max() > 4:
        raise BadImageError("truncated or damaged (a row of the PNG has an unknown filter)")
    left_of, above_of = np.zeros((2, head.height, step), np.int16)
    corner_of = np.zeros((head.height, step), np.int16)
    # Row y is one column behind row y - 1, so that the pixel above is there already.
    raw = np.zeros((head.height, head.width, step), np.uint8)
    coded = lines[:, 1:].reshape(raw.shape)
    for diagonal in range(head.width + head.height - 1):
        top = max(0, diagonal - head.width + 1)
        rows = np.arange(top, min(head.height, diagonal + 1))
        columns = diagonal - rows
        inner, below = columns > 0, rows > 0
        left = left_of[: len(rows)]
        above, corner = above_of[: len(rows)], corner_of[: len(rows)]
        left[:], above[:], corner[:] = 0, 0, 0
        left[inner] = raw[rows[inner], columns[inner] - 1]
        above[below] = raw[rows[below] - 1, columns[below]]
        both = inner & below
        corner[both] = raw[rows[both] - 1, columns[both] - 1]
        guess = _guess(filters[rows, None], left, above, corner)
        raw[rows, columns] = (coded[rows, columns] + guess).astype(np.uint8)
    return raw.reshape(head.height, -1).view(">u2").reshape(head.height, head.width, head.samples)


def _guess(
    filters: np.ndarray, left: np.ndarray, above: np.ndarray, corner: np.ndarray
) -> np.ndarray:
    """What each filter adds: none, left, above, their mean, or the nearest (Paeth)."""
    plane = left + above - corner
    to_left, to_above, to_corner = (abs(plane - each) for each in (left, above, corner))
    paeth = np.where(
        (to_left <= to_above) & (to_left <= to_corner),
        left,
        np.where(to_above <= to_corner, above, corner),
    )
    return np.select(
        [filters == 1, filters == 2, filters == 3, filters == 4],
        [left, above, (left + above) // 2, paeth],
        0,
    )


def _bytes(width: int, height: int, bits: int) -> int:
    """Of an image, each row after its filter type."""
    return height * (1 + (width * bits + 7) // 8) if width > 0 and height > 0 else 0


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(MARKER)
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        yield kind, data[place + 8 : place + 8 + length]
        place += 12 + length


def _inflated(data: bytes, enough: int) -> Iterator[bytes]:
    """What the image data inflates to, in pieces, until `enough` bytes came."""
    inflate, size = zlib.decompressobj(), 0
    for kind, part in _chunks(data):
        while kind == b"IDAT" and part and size < enough and not inflate.eof:
            piece = inflate.decompress(part, PIECE)
            size += len(piece)
            yield piece
            part = inflate.unconsumed_tail
