"""PNG and JPEG files, in 8 and 16 bits, to one grey channel; TIFF is in `tiff`.

Resolution tags are ignored: on exported films they describe a printer, not the detector.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from xraysr.errors import BadImageError
from xraysr.io import jsrt, png, tiff
from xraysr.io.codestream import JPEG_LS, LOSSLESS, SYNTAXES, Claim, check_end, claim_of
from xraysr.io.levels import NOTHING, Wanted, grey, unit
from xraysr.io.radiograph import Notice, Radiograph, synthetic_source
from xraysr.io.safe_decoding import check_size, content, decoding

BEYOND_PILLOW = (SYNTAXES[LOSSLESS], SYNTAXES[JPEG_LS])


def read_raster(path: str | Path, wanted: Wanted = NOTHING) -> Radiograph:
    """Reads a PNG, JPEG or TIFF; pixels float32 (height, width) in [0, 1].

    Colour becomes grey: equal channels are taken as they are, others, in 8 bits, by Rec. 601
    luma. Transparency carries no density and is dropped. The orientation tag is honoured.

    Args:
        path: The file.
        wanted: What the caller knows about it.

    Raises:
        UserError: if there is no such file, or no such page in it.
        BadImageError: if the file is damaged, is an animation, holds values out of range or 16
            bits in colour, or so many pixels that it may be a bomb.
    """
    path = Path(path)
    data = content(path)
    with decoding(path):
        if jsrt.is_jsrt(path):
            return replace(jsrt.decode(data), source=path)
        read = tiff.decode if data[:2] in (b"II", b"MM") else _decode
        return replace(read(data, wanted), source=path)


def _decode(data: bytes, wanted: Wanted) -> Radiograph:
    """A PNG or JPEG."""
    is_png = data.startswith(png.MARKER)
    claim = _check_size(data, is_png)
    if claim is not None and (claim.bits > 8 or claim.syntax in BEYOND_PILLOW):
        return _by_imagecodecs(data, claim, wanted)
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
        if is_png:
            png.check_rows(data)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":
            raise BadImageError(f"holds {frames} frames. Expected one film per file")
        image.load()
        notices = synthetic_source(image.info.get("Description" if is_png else "comment"))
        upright = ImageOps.exif_transpose(image)
        turn = image.getexif().get(0x0112, 1)
    if frames > 1:
        said = f"The file holds {frames} pictures; the first was read."
        notices += (Notice("several-pages", said),)
    depth, marked = 8, None
    if is_png and png.head_of(data).depth == 16:
        depth, marked = 16, png.significant_bits(data)
        samples = _sixteen(data, upright, turn)
    elif upright.mode in ("1", "L", "LA"):
        samples = np.asarray(upright.convert("L"))
    else:
        samples = grey(np.asarray(upright.convert("RGB")))
    pixels, bits, doubts = unit(samples, depth, marked, wanted)
    return Radiograph(pixels, bits, lossy=not is_png, notices=(*notices, *doubts))


def _by_imagecodecs(data: bytes, claim: Claim, wanted: Wanted) -> Radiograph:
    """A JPEG of 12 bits or more, a lossless one, or JPEG-LS."""
    try:
        from imagecodecs import jpeg_decode, jpegls_decode
    except ImportError as error:
        raise BadImageError(
            f"a JPEG of {claim.bits} bits or without loss, which needs imagecodecs, and that is "
            "not installed here. pip install xraysr[dicom]"
        ) from error
    check_end(data)
    samples = (jpegls_decode if claim.syntax == SYNTAXES[JPEG_LS] else jpeg_decode)(data)
    samples = samples if samples.ndim == 2 else grey(samples)
    pixels, bits, notices = unit(samples, claim.bits, None, wanted)
    return Radiograph(pixels, bits, lossy=claim.syntax not in BEYOND_PILLOW, notices=notices)


def _check_size(data: bytes, is_png: bool) -> Claim | None:
    """Refuses what is too large; returns what a JPEG claims."""
    if is_png:
        head = png.head_of(data)
        check_size(head.width, head.height, head.samples * head.depth / 8, len(data))
        return None
    claim = claim_of(data)
    if claim is not None:
        check_size(claim.columns, claim.rows, claim.components * claim.bits / 8, len(data))
    return claim


def _sixteen(data: bytes, upright: Image.Image, turn: int) -> np.ndarray:
    """Samples of a PNG of 16 bits, grey or with equal channels."""
    channels = png.head_of(data).samples
    if channels == 1:
        return np.asarray(upright).astype(np.uint16)
    samples = png.samples16(data)
    return tiff.turned(grey(samples) if channels > 2 else samples[..., 0], turn)
