"""The size a compressed frame claims, against the libraries that wrote it."""

from __future__ import annotations

import io
import struct
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from xraysr.io.codestream import claim_of

JPEG_OPTIONS = [{}, {"progressive": True}, {"comment": b"c" * 300}, {"optimize": True}]


def claimed_shape(data: bytes) -> tuple[int, int, int] | None:
    claim = claim_of(data)
    return claim and (claim.rows, claim.columns, claim.components)


def encoded(shape: tuple[int, ...], format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros(shape, np.uint8)).save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("options", JPEG_OPTIONS)
@pytest.mark.parametrize("shape", [(17, 300), (17, 300, 3)])
def test_jpeg(shape: tuple[int, ...], options: dict[str, object]) -> None:
    assert claimed_shape(encoded(shape, "JPEG", **options)) == (*shape, 1)[:3]


def test_jpeg_with_fill_bytes() -> None:
    """Any marker may come after more than one 0xFF (T.81, B.1.1.2)."""
    data = encoded((17, 300), "JPEG")
    assert claimed_shape(data[:2] + b"\xff\xff" + data[2:]) == (17, 300, 1)


@pytest.mark.parametrize("container", [True, False])
@pytest.mark.parametrize("shape", [(17, 300), (300, 17, 3)])
def test_jpeg_2000(shape: tuple[int, ...], container: bool) -> None:
    data = encoded(shape, "JPEG2000", no_jp2=not container)
    assert claimed_shape(data) == (*shape, 1)[:3]


def test_jpeg_2000_with_an_offset() -> None:
    data = encoded((10, 20), "JPEG2000", no_jp2=True, offset=(0, 0))
    at = data.index(b"\xff\x51") + 6
    moved = data[:at] + struct.pack(">4I", 25, 13, 5, 3) + data[at + 16 :]
    assert claimed_shape(moved) == (10, 20, 1)


def test_jpeg_ls() -> None:
    jpeg_ls = pytest.importorskip("jpeg_ls")
    data = bytes(jpeg_ls.encode(np.zeros((17, 30), np.uint16)))
    assert claimed_shape(data) == (17, 30, 1)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xff", b"RLE", b"\xff\xd8abcdef"])
def test_none_where_none_is(data: bytes) -> None:
    assert claimed_shape(data) is None


@pytest.mark.parametrize("format", ["JPEG", "JPEG2000"])
def test_cut_anywhere(format: str) -> None:
    data = encoded((17, 30), format)
    for size in range(len(data)):
        with suppress(struct.error):
            assert claimed_shape(data[:size]) in (None, (17, 30, 1))
