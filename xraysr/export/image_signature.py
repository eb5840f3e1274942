"""The signature `image_bytes`: image files in, sharpened image files out, all in the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from xraysr.export.orientation import PNG_MARKER, orientation_of, upright

Run = Callable[[tf.Tensor], tf.Tensor]

STEP = 512  # LR pixels of a tile: little memory for a server, large against the overlap

# Of the enlarged image: 16384 x 16384, from 4096 x 4096 for a scale of 4, about what the largest
# detectors have. A header of a few bytes can ask for any size, and memory grows with it.
MAX_PIXELS = 2**28

PNG_SIZE, PNG_DEPTH = 16, 24
# ITU-R BT.601-7, section 2.5.1, as in xraysr.io.raster.
LUMA_RED, LUMA_BLUE = 0.299, 0.114  # and 0.587 of green


def image_signature(upscale: Run, scale: int, radius: int) -> Any:
    """Makes a `tf.function` of `upscale` that takes and gives files, in built-in operations.

    Its input `image_bytes`, string (batch,), holds PNG files of up to 16 bits and JPEG files, of
    any sizes; the batch may be empty. Its output `sr_bytes`, string (batch,), holds a grey PNG
    for each, of 16 bits for a PNG of 16 bits, else of 8, rounded to the nearest level. The images
    pass one after another, and large ones in tiles, so that memory stays small.

    Pixels are read as `xraysr.io.read_raster` reads them: equal channels as they are, other
    colour by Rec. 601 luma, transparency dropped, the orientation tag of EXIF honoured. It
    differs in three things: an orientation in XMP alone is ignored, colour of 16 bits is read in
    full depth, and of an animated PNG the first frame counts.

    A call fails with INVALID_ARGUMENT that names the place in the batch ("image_bytes[2] is not
    a PNG or JPEG image that can be decoded") when a file is of another kind, cut off or damaged.
    So it does, without decoding it, when the enlarged image would have more than `MAX_PIXELS`.

    Args:
        upscale: Maps float32 (1, height, width, 1) in [0, 1] to the same, `scale` times as large.
        scale: HR pixels per LR pixel.
        radius: LR pixels around a pixel that can change its SR block.
    """
    most = MAX_PIXELS // scale**2

    def sharpen_one(item):
        place, data = item
        grey, top, area = _try_decode(data, most)
        with tf.control_dependencies(_checks(place, area, most)):
            # The encoder ends the whole process when it is given no pixels: it must wait.
            grey = tf.identity(grey)
        upscale_all = in_tiles(lambda lr: _rounded(upscale(lr), top), scale, radius)
        return _encode(upscale_all(grey[None])[0], top)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def sharpen(image_bytes):
        items = (tf.range(tf.size(image_bytes)), image_bytes)
        files = tf.map_fn(sharpen_one, items, fn_output_signature=tf.string, parallel_iterations=1)
        return {"sr_bytes": files}

    return sharpen


def _try_decode(data: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Grey pixels (height, width, 1) in [0, 1], the highest level, the pixels of the header.

    No pixels where there are more than `most`, nor where decoding fails; there the last is 0.

    A failing operation ends the call with a message that names no image; tf.data is where a
    graph can pass over it.
    """
    nothing = tf.data.Dataset.from_tensors((tf.zeros((0, 0, 1)), 0, tf.zeros((), tf.int64)))
    decoded = tf.data.Dataset.from_tensors(data).map(lambda each: _decode(each, most))
    return decoded.ignore_errors().concatenate(nothing).take(1).get_single_element()


def _decode(data: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    is_png = tf.strings.substr(data, 0, len(PNG_MARKER)) == PNG_MARKER
    area, depth = tf.cond(is_png, lambda: _png_header(data), lambda: _jpeg_header(data))
    rgb = tf.case(
        [
            (area > most, lambda: tf.zeros((0, 0, 3), tf.uint16)),
            (depth == 16, lambda: tf.io.decode_png(data, 3, tf.uint16)),
            (is_png, lambda: tf.cast(tf.io.decode_png(data, 3), tf.uint16)),
        ],
        default=lambda: tf.cast(_decode_jpeg(data), tf.uint16),
    )
    top = tf.where(depth == 16, 65535, 255)
    grey = upright(_grey(rgb), orientation_of(data))
    return grey / tf.cast(top, tf.float32), top, area


def _png_header(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    size = tf.io.decode_raw(tf.strings.substr(data, PNG_SIZE, 8), tf.int32, little_endian=False)
    depth = tf.io.decode_raw(tf.strings.substr(data, PNG_DEPTH, 1), tf.uint8)
    return _area(size), depth[0]


def _jpeg_header(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Fails for other kinds; the decoder would go on to take a GIF."""
    return _area(tf.io.extract_jpeg_shape(data)[:2]), tf.constant(8, tf.uint8)


def _area(size: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(tf.cast(size, tf.int64))


def _decode_jpeg(data: tf.Tensor) -> tf.Tensor:
    """By the accurate transform, as Pillow; TensorFlow's default is some grey levels away."""
    return tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE")


def _grey(rgb: tf.Tensor) -> tf.Tensor:
    """(height, width, 3) to (height, width, 1), float32. Equal channels stay what they are."""
    red, green, blue = tf.split(tf.cast(rgb, tf.float32), 3, axis=-1)
    return green + LUMA_RED * (red - green) + LUMA_BLUE * (blue - green)


def _checks(place: tf.Tensor, area: tf.Tensor, most: int) -> list[tf.Operation]:
    """Operations that fail unless the image at `place` was decoded."""
    name = tf.strings.format("image_bytes[{}]", place)
    broken = name + " is not a PNG or JPEG image that can be decoded"
    large = name + tf.strings.format(f" has {{}} pixels, expected at most {most}", area)
    return [
        tf.debugging.Assert(area > 0, [broken]),
        tf.debugging.Assert(area <= most, [large]),
    ]


def _rounded(sr: tf.Tensor, top: tf.Tensor) -> tf.Tensor:
    """[0, 1] to the nearest whole level up to `top`, as uint16."""
    exact = tf.cast(tf.clip_by_value(sr, 0.0, 1.0), tf.float64) * tf.cast(top, tf.float64)
    return tf.cast(tf.round(exact), tf.uint16)


def _encode(levels: tf.Tensor, top: tf.Tensor) -> tf.Tensor:
    """A PNG of (height, width, 1) uint16; of 8 bits where `top` is 255."""
    return tf.cond(
        top > 255,
        lambda: tf.io.encode_png(levels),
        lambda: tf.io.encode_png(tf.cast(levels, tf.uint8)),
    )


def in_tiles(run: Run, scale: int, overlap: int, step: int = STEP) -> Run:
    """Gives `run` an image in tiles, one after another, so that memory stays small.

    The result is that of `run` when `overlap` covers the receptive radius of what runs.

    Args:
        run: Maps (n, height, width, 1) to (n, scale height, scale width, 1).
        scale: Output pixels per input pixel.
        overlap: Pixels computed beyond what is taken from a tile.
        step: Pixels taken from a tile on each side; `run` sees `step + 2 overlap` at most.
    """
    return _along(1, _along(2, run, scale, overlap, step), scale, overlap, step)


def _along(axis: int, run: Run, scale: int, overlap: int, step: int) -> Run:
    """`run` in windows of one axis."""

    def cut(image, first, last):
        return image[(slice(None),) * axis + (slice(first, last),)]

    def window(image, index, count):
        """What the window `index` of `count` gives: pixels `first` to before `last`."""
        side = tf.shape(image)[axis]
        length = tf.minimum(side, step + 2 * overlap)
        start = tf.minimum(index * step, side - length)
        first = tf.where(index == 0, 0, index * step + overlap)
        last = tf.where(index == count - 1, side, (index + 1) * step + overlap)
        out = run(cut(image, start, start + length))
        return cut(out, (first - start) * scale, (last - start) * scale)

    def tiled(image):
        count = tf.maximum(1, -(-(tf.shape(image)[axis] - 2 * overlap) // step))
        _, whole = tf.while_loop(
            lambda index, _: index < count,
            lambda index, done: (index + 1, tf.concat([done, window(image, index, count)], axis)),
            (tf.constant(1), window(image, tf.constant(0), count)),
            shape_invariants=(tf.TensorShape(()), tf.TensorShape((None, None, None, 1))),
            parallel_iterations=1,
        )
        return whole

    return tiled
