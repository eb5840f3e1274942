"""TIFF files: pages, sample formats, photometrics and compressions, to one grey channel.

tifffile reads the tags and most pages; Pillow those that tifffile leaves to a codec which is
not installed, and colour spaces other than RGB.
"""

from __future__ import annotations

import io
from dataclasses import replace
from math import isfinite, nan, prod
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from xraysr.errors import BadImageError, UserError
from xraysr.io.levels import Wanted, grey, unit
from xraysr.io.radiograph import Notice, Radiograph, synthetic_source
from xraysr.io.safe_decoding import check_size

if TYPE_CHECKING:
    from tifffile import TiffPage

DESCRIPTION, ORIENTATION, MOST, FLOAT_LEAST, FLOAT_MOST = 270, 274, 281, 340, 341  # tags
REDUCED, MASK = 1, 4  # bits of NewSubfileType
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)
OLD_JPEG = 6
# JPEG in its three forms, lossy JPEG of DNG, JPEG 2000, WebP, JPEG XR and XL: may all lose.
LOSSY = (6, 7, 33007, 34892, 33003, 33004, 33005, 34712, 50001, 34927, 22610, 34934, 50002, 52546)
SMALL = 2  # a page whose sides are less than this part of the largest page's is a thumbnail


def decode(data: bytes, wanted: Wanted) -> Radiograph:
    """One page, by default the first of full size.

    Raises:
        UserError: if there is no such page.
        BadImageError: as `read_raster`.
    """
    try:
        from tifffile import TiffFile
    except ImportError as error:
        raise BadImageError(
            "a TIFF, which needs tifffile, and that is not installed here. pip install tifffile"
        ) from error
    with TiffFile(io.BytesIO(data)) as file:
        number, notices = _choose(file.pages, wanted.page)
        page: TiffPage = file.pages[number]  # type: ignore[assignment]
        _check(page, len(data))
        samples = _samples(page, data, number)
        depth = 8 if samples.dtype == np.uint8 else int(page.bitspersample)
        tags = {tag.code: tag.value for tag in page.tags}
        lossy = int(page.compression) in LOSSY
    samples = samples if samples.ndim == 2 else grey(samples)
    if wanted.value_range is None and samples.dtype.kind == "f" and depth > 8:
        wanted = replace(wanted, value_range=_float_range(tags))
    pixels, bits, doubts = unit(samples, depth, _marked(tags), wanted)
    notices += (*synthetic_source(tags.get(DESCRIPTION)), *doubts)
    if page.photometric == WHITE_IS_ZERO:
        pixels = np.float32(1) - pixels
    return Radiograph(turned(pixels, tags.get(ORIENTATION, 1)), bits, lossy=lossy, notices=notices)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """`pixels` upright, as the orientation tag 274 of TIFF and EXIF says (TIFF 6.0, section 8)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _choose(pages: Any, page: int | None) -> tuple[int, tuple[Notice, ...]]:
    """The index of `page`, by default of the first of full size, and what to say about it."""
    count = len(pages)
    if page is not None:
        if not 1 <= page <= count:
            raise UserError(f"page must be 1 to {count}. Received: {page}")
        return page - 1, ()
    if count == 1:
        return 0, ()
    sizes = [(each.imagelength, each.imagewidth) for each in pages]
    whole = [at for at in range(count) if not int(pages[at].subfiletype) & (REDUCED | MASK)]
    whole = whole or list(range(count))
    largest = [max(sizes[at][side] for at in whole) for side in (0, 1)]
    first = next(
        at
        for at in whole
        if all(SMALL * sizes[at][side] >= largest[side] for side in (0, 1)) or at == whole[-1]
    )
    other = next(at for at in range(count) if at != first) + 1
    said = (
        f"The file holds {count} pages; page {first + 1}, the first of full size, was read. "
        f"page={other} reads another."
    )
    return first, (Notice("several-pages", said),)


def _check(page: TiffPage, length: int) -> None:
    """Refuses a page that is too large, or whose strips or tiles do not all lie in the file."""
    if page.imagedepth != 1 or page.dtype is None or page.dtype.kind == "c":
        raise BadImageError(
            f"holds {page.dtype or 'unknown'} values of {page.imagedepth} layers. "
            "Expected whole numbers or floats in one layer"
        )
    width, height = page.imagewidth, page.imagelength
    check_size(width, height, page.samplesperpixel * page.bitspersample / 8, length)
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    there = sum(1 for at, size in segments if at > 0 and size > 0 and at + size <= length)
    expected = prod(page.chunked) if page.chunked else 1
    if there < expected:
        if page.rowsperstrip and not page.is_tiled:
            rows = min(height, there * page.rowsperstrip)
            raise BadImageError(f"truncated (its strips hold {rows} of {height} rows)")
        raise BadImageError(f"truncated ({there} of {expected} tiles are there)")


def _samples(page: TiffPage, data: bytes, number: int) -> np.ndarray:
    """(height, width), or (height, width, n) of colour."""
    grey_or_rgb = page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE)
    if not grey_or_rgb or page.compression == OLD_JPEG:
        return _by_pillow(data, number)
    try:
        samples = page.asarray()
    except Exception:
        if page.bitspersample > 8 and (page.samplesperpixel > 1 or page.predictor > 2):
            raise
        return _by_pillow(data, number)
    if page.samplesperpixel > 1 and page.planarconfig == 2:
        samples = np.moveaxis(samples, 0, -1)
    if page.photometric == PALETTE:
        return _coloured(page.colormap, samples)
    if samples.dtype == bool or page.bitspersample < 8:
        return (samples * np.uint8(255 // ((1 << page.bitspersample) - 1))).astype(np.uint8)
    if samples.ndim == 3 and page.photometric != RGB:  # alpha, or what else comes along
        return samples[..., 0]
    return samples


def _coloured(colours: np.ndarray | None, samples: np.ndarray) -> np.ndarray:
    """Palette entries have 16 bits, mostly made from 8."""
    if colours is None:
        raise BadImageError("a palette without colours")
    entries = np.moveaxis(np.asarray(colours, np.uint16), 0, -1)
    if (entries % 257 == 0).all() or (entries % 256 == 0).all() or samples.itemsize == 1:
        entries = (entries >> 8).astype(np.uint8)
    return entries[samples]


def _by_pillow(data: bytes, number: int) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        image.seek(number)
        image.load()
        if image.mode.startswith(("I", "F")):
            return np.asarray(image)
        return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def _marked(tags: dict[int, Any]) -> int | None:
    """Bits of the largest value, where MaxSampleValue gives it."""
    most = tags.get(MOST)
    most = max(most) if isinstance(most, tuple) and most else most
    return most.bit_length() if isinstance(most, int) and most > 0 else None


def _float_range(tags: dict[int, Any]) -> tuple[float, float] | None:
    """SMinSampleValue and SMaxSampleValue, where they are a range."""
    ends = [tags.get(tag) for tag in (FLOAT_LEAST, FLOAT_MOST)]
    ends = [end[0] if isinstance(end, tuple) and end else end for end in ends]
    low, high = (float(end) if isinstance(end, int | float) else nan for end in ends)
    return (low, high) if isfinite(high - low) and low < high else None
