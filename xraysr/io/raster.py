"""PNG, JPEG and TIFF files, in 8 and 16 bits, to one grey channel.

A file whose depth Pillow would cut without a word (16 bits in colour) is refused by name.
Resolution tags are ignored: on exported films they describe a printer, not the detector.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from xraysr.errors import BadImageError
from xraysr.io.png_rows import check_rows
from xraysr.io.radiograph import Radiograph
from xraysr.io.safe_decoding import content, decoding

FORMATS = ("PNG", "JPEG", "TIFF")
# ITU-R BT.601-7, section 2.5.1: luma from red, green and blue.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

PNG_MARKER = b"\x89PNG\r\n\x1a\n"
PNG_DEPTH, PNG_COLOUR = 24, 25
PNG_END = b"IEND\xaeB`\x82"
TIFF_HEIGHT, TIFF_BITS_PER_SAMPLE, TIFF_PHOTOMETRIC = 257, 258, 262
TIFF_STRIP_OFFSETS, TIFF_ROWS_PER_STRIP = 273, 278
WHITE_IS_ZERO = 0
LOSSY_TIFF = ("jpeg", "tiff_jpeg")


def read_raster(path: str | Path) -> Radiograph:
    """Reads a PNG, JPEG or TIFF; pixels float32 (height, width) in [0, 1].

    Colour becomes grey: equal channels are taken as they are, others by Rec. 601 luma, with
    `bits` 8. Transparency carries no density and is dropped. The orientation tag is honoured.

    Raises:
        UserError: if there is no such file.
        BadImageError: if the file is damaged, holds several frames, floating-point values or
            more than 16 bits, 16 bits in colour, or so many pixels that it may be a bomb.
    """
    path = Path(path)
    data = content(path)
    with decoding(path):
        _check_png(data)
        pixels, bits, lossy = _decode(data)
    return Radiograph(pixels, bits=bits, source=path, lossy=lossy)


def _check_png(data: bytes) -> None:
    if not data.startswith(PNG_MARKER):
        return
    if PNG_END not in data:
        raise BadImageError("truncated (the PNG has no end)")
    if data[PNG_DEPTH] == 16 and data[PNG_COLOUR] != 0:
        raise _lost_depth()


def _check_strips(tags: Mapping[int, Any]) -> None:
    """Refuses a TIFF whose strips do not reach its last row; Pillow leaves the rest black."""
    if TIFF_STRIP_OFFSETS in tags and TIFF_ROWS_PER_STRIP in tags:
        rows = len(tags[TIFF_STRIP_OFFSETS]) * tags[TIFF_ROWS_PER_STRIP]
        if rows < tags[TIFF_HEIGHT]:
            raise BadImageError(f"truncated (its strips hold {rows} of {tags[TIFF_HEIGHT]} rows)")


def _lost_depth() -> BadImageError:
    return BadImageError(
        "16 bits per channel in colour or with transparency, which cannot be read in full depth. "
        "Expected one grey channel: save it as 16-bit greyscale"
    )


def _decode(data: bytes) -> tuple[np.ndarray, int, bool]:
    """Pixels, bits, and whether the compression loses grey levels."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if data.startswith(PNG_MARKER):  # once it is sure that it is no bomb
            check_rows(data)
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise BadImageError(f"holds {frames} frames. Expected one film per file")
        tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
        sample_bits = max(tags.get(TIFF_BITS_PER_SAMPLE, (8,)))
        if sample_bits > 8 and not image.mode.startswith(("I", "F")):
            raise _lost_depth()
        _check_strips(tags)
        lossy = image.format == "JPEG" or image.info.get("compression") in LOSSY_TIFF
        image.load()
        upright = ImageOps.exif_transpose(image)
    if not upright.mode.startswith(("I", "F")):
        return _grey8(upright), 8, lossy
    bits = 12 if sample_bits == 12 else 16
    # Pillow turns WhiteIsZero films round in 8 bits, but not in 16.
    return _grey16(upright, bits, tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO), bits, lossy


def _grey8(image: Image.Image) -> np.ndarray:
    if image.mode in ("1", "L", "LA"):
        grey = np.asarray(image.convert("L"), np.float32)
    else:
        rgb = np.asarray(image.convert("RGB"))
        red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
        if np.array_equal(red, green) and np.array_equal(green, blue):
            grey = red.astype(np.float32)
        else:
            grey = rgb.astype(np.float32) @ LUMA
    return np.minimum(grey / np.float32(255), np.float32(1))


def _grey16(image: Image.Image, bits: int, white_is_zero: bool) -> np.ndarray:
    if image.mode == "F":
        raise BadImageError(
            "holds floating-point values, whose range is not known. "
            "Expected whole numbers of 8 or 16 bits"
        )
    levels = (1 << bits) - 1
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > levels:
        raise BadImageError(
            f"holds values from {low} to {high}. Expected 16 bits, so 0 to {levels}"
        )
    pixels = values.astype(np.float32) / np.float32(levels)
    return np.float32(1) - pixels if white_is_zero else pixels
