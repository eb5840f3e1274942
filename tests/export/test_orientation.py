"""The orientation tag against Pillow, in sound files and in damaged ones."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from xraysr.export.orientation import orientation_of, upright

FILM = np.arange(35, dtype=np.uint8).reshape(5, 7)


def file(orientation: int | None, format: str = "JPEG", endian: str = "<", **options) -> bytes:
    tags = Image.Exif()
    tags.endian = endian
    tags[305] = "some software"
    if orientation is not None:
        tags[274] = orientation
    out = io.BytesIO()
    Image.fromarray(FILM).save(out, format, exif=tags, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def read():
    graph = tf.function(orientation_of, input_signature=[tf.TensorSpec((), tf.string)])
    return lambda data: int(graph(tf.constant(data)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_pillow_turns_it(orientation):
    image = Image.fromarray(FILM)
    image.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    turned = upright(tf.constant(FILM[..., None]), tf.constant(orientation, tf.int64))
    np.testing.assert_array_equal(turned[..., 0], expected)


@pytest.mark.parametrize("endian", "<>")
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_the_tag_is_found(read, format, endian):
    for orientation in range(1, 9):
        assert read(file(orientation, format, endian)) == orientation
    for other in (0, 9, 300, None):
        assert read(file(other, format, endian)) == 1


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">HH", marker, len(content) + 2) + content


def test_segments_before_it_are_skipped_and_fill_bytes_too(read):
    data = file(6)
    before = segment(0xFFE1, b"http://ns.adobe.com/xap/1.0/\0") + segment(0xFFED, bytes(60_000))
    assert read(data[:2] + before + b"\xff\xff\xff" + data[2:]) == 6


def test_a_chunk_behind_the_pixels_is_found(read):
    data = file(8, "PNG")
    start = data.index(b"eXIf") - 4
    length = 12 + int.from_bytes(data[start : start + 4], "big")
    chunk, rest = data[start : start + length], data[:start] + data[start + length :]
    assert read(rest) == 1
    assert read(rest[:-12] + chunk + rest[-12:]) == 8


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_damage_never_fails_the_call(read, format):
    data, random = file(6, format), np.random.default_rng(0)
    start = data.index(b"II*\0")
    for _ in range(60):
        spoilt = bytearray(data)
        for place in random.integers(2, start + 60, 3):
            spoilt[place] = random.integers(256)
        assert 1 <= read(bytes(spoilt)) <= 8
    for length in range(0, start + 60, 7):
        assert 1 <= read(data[:length]) <= 8


def test_a_file_of_nothing_but_segments_ends(read):
    assert read(b"\xff\xd8" + segment(0xFFE0, b"") * 30_000) == 1
