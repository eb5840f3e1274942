"""The orientation tag of image files, read and obeyed in a graph by TensorFlow's operations."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

PNG_MARKER = b"\x89PNG\r\n\x1a\n"
EXIF = int.from_bytes(b"Exif\0\0", "big")
PNG_EXIF, PNG_END = int.from_bytes(b"eXIf", "big"), int.from_bytes(b"IEND", "big")
JPEG_FILL, JPEG_APP1, JPEG_SCAN = 0xFFFF, 0xFFE1, 0xFFDA
LITTLE, BIG = 0x4949, 0x4D4D
TAG, SHORT = 0x0112, 3
MOST_PARTS = 10_000  # of a file that are looked at, and entries of its directory

Step = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def orientation_of(data: tf.Tensor) -> tf.Tensor:
    """1 to 8, as EXIF numbers it: 1 where a JPEG or PNG has no such tag that can be read.

    Args:
        data: The file, a scalar string.

    Reference:
        CIPA DC-008 (Exif 2.32), section 4.6.4; PNG third edition, section 11.3.4.5
    """
    file = tf.io.decode_raw(data + b"\0", tf.uint8)  # never empty
    is_png = tf.strings.substr(data, 0, len(PNG_MARKER)) == PNG_MARKER

    def png_chunk(place):
        length, kind = _number(file, place, 4), _number(file, place + 4, 4)
        start = tf.where(kind == PNG_EXIF, place + 8, -1)
        return tf.where(kind == PNG_END, _size(file), place + 12 + length), start

    def jpeg_segment(place):
        marker, length = _number(file, place, 2), _number(file, place + 2, 2)
        is_exif = (marker == JPEG_APP1) & (_number(file, place + 4, 6) == EXIF)
        no_more = (marker < 0xFF01) | (marker == JPEG_SCAN)
        after = tf.where(marker == JPEG_FILL, place + 1, place + 2 + tf.maximum(length, 2))
        return tf.where(no_more, _size(file), after), tf.where(is_exif, place + 4, -1)

    start = tf.cond(
        is_png,
        lambda: _first_exif(file, len(PNG_MARKER), png_chunk),
        lambda: _first_exif(file, 2, jpeg_segment),
    )
    return tf.where(start >= 0, _tag(file, start), 1)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """(height, width, channels) as it is to be seen; sides change places for 5 to 8."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    for axis, turned in ((1, (2, 3, 6, 7)), (0, (3, 4, 7, 8))):
        flipped = tf.reverse(image, (axis,))
        image = tf.where(tf.reduce_any(orientation == turned), flipped, image)
    return image


def _first_exif(file: tf.Tensor, place: int, step: Step) -> tf.Tensor:
    """Where the first EXIF block begins; -1 if there is none."""

    def body(place, _):
        return step(place)

    _, start = tf.while_loop(
        lambda place, start: (start < 0) & (place < _size(file)),
        body,
        (tf.constant(place, tf.int64), tf.constant(-1, tf.int64)),
        maximum_iterations=MOST_PARTS,
        parallel_iterations=1,
    )
    return start


def _tag(file: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """The tag in the first directory of the TIFF that begins at `start`, or else 1."""
    start += 6 * tf.cast(_number(file, start, 6) == EXIF, tf.int64)
    order = _number(file, start, 2)
    little = order == LITTLE
    directory = start + _number(file, start + 4, 4, little)
    count = tf.minimum(_number(file, directory, 2, little), MOST_PARTS)
    entries = directory + 2 + 12 * tf.range(count)
    value = _number(file, entries + 8, 2, little)
    good = (_number(file, entries, 2, little) == TAG) & (value >= 1) & (value <= 8)
    good &= (_number(file, entries + 2, 2, little) == SHORT) & (little | (order == BIG))
    return tf.maximum(
        tf.reduce_max(tf.where(good, value, 1)), 1
    )  # of no entries: the least integer


def _number(
    file: tf.Tensor, place: tf.Tensor, count: int, little: tf.Tensor | bool = False
) -> tf.Tensor:
    """`count` bytes from each `place`, int64, as a whole number; bytes beyond the end are 0."""
    places = place[..., None] + tf.range(count, dtype=tf.int64)
    inside = (places >= 0) & (places < _size(file))
    found = tf.gather(file, tf.where(inside, places, 0))
    powers = 256 ** tf.range(count, dtype=tf.int64)
    powers = tf.where(little, powers, powers[::-1])
    return tf.reduce_sum(tf.where(inside, tf.cast(found, tf.int64), 0) * powers, axis=-1)


def _size(file: tf.Tensor) -> tf.Tensor:
    return tf.size(file, tf.int64)
