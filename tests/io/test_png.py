"""A PNG that lacks rows is refused, whatever its kind; a whole one never is."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from xraysr.errors import BadImageError
from xraysr.io import read
from xraysr.io.png import check_rows


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def grey(rows: int, kept: int, interlaced: int = 0, width: int = 9) -> bytes:
    """A PNG of `rows` rows in 16 bits, of whose image data only `kept` bytes are there."""
    header = struct.pack(">IIBBBBB", width, rows, 16, 0, 0, 0, interlaced)
    data = zlib.compress(bytes(kept))
    parts = chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_row_too_few_is_seen():
    row = 1 + 2 * 9
    check_rows(grey(7, 7 * row))
    with pytest.raises(BadImageError, match=f"have {6 * row} of {7 * row} bytes"):
        check_rows(grey(7, 6 * row))


@pytest.mark.parametrize("kept", [8, 20, 28])
def test_a_file_that_ends_in_its_header_is_truncated(kept, tmp_path):
    path = tmp_path / "film.png"
    path.write_bytes(grey(1, 19)[:kept])
    with pytest.raises(BadImageError, match=r"film\.png: truncated \(the PNG has no end\)"):
        read(path)


def test_the_passes_of_an_interlaced_image_add_up():
    """9 x 7 pixels in the seven passes of Adam7, counted by hand from its pattern."""
    pattern = np.array([[1, 6, 4, 6, 2, 6, 4, 6], [7] * 8, [5, 6] * 4, [7] * 8,
                        [3, 6, 4, 6, 3, 6, 4, 6], [7] * 8, [5, 6] * 4, [7] * 8])  # fmt: skip
    image = np.tile(pattern, (1, 2))[:7, :9]
    sizes = []
    for number in range(1, 8):
        rows = [np.count_nonzero(row == number) for row in image]
        sizes += [1 + 2 * count for count in rows if count]
    check_rows(grey(7, sum(sizes), interlaced=1))
    with pytest.raises(BadImageError, match="truncated"):
        check_rows(grey(7, sum(sizes) - 1, interlaced=1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (33, 17), (300, 200)])
def test_what_pillow_writes_is_whole(mode, size):
    dtype = np.uint16 if mode == "I;16" else np.uint8
    pixels = np.random.default_rng(0).integers(256, size=size[::-1], dtype=dtype)
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    (image if mode == "I;16" else image.convert(mode)).save(file, "PNG")
    check_rows(file.getvalue())
