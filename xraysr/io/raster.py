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
from xraysr.io.codestream import claim_of
from xraysr.io.levels import NOTHING, Wanted, grey, unit
from xraysr.io.radiograph import Notice, Radiograph, synthetic_source
from xraysr.io.safe_decoding import check_size, content, decoding


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
    _check_size(data, is_png)
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


def _check_size(data: bytes, is_png: bool) -> None:
    if is_png:
        head = png.head_of(data)
        check_size(head.width, head.height, head.samples * head.depth / 8, len(data))
        return
    claim = claim_of(data)
    if claim is not None:
        check_size(claim.columns, claim.rows, claim.components * claim.bits / 8, len(data))


def _sixteen(data: bytes, upright: Image.Image, turn: int) -> np.ndarray:
    """Samples of a PNG of 16 bits, grey or with equal channels."""
    channels = png.head_of(data).samples
    if channels == 1:
        return np.asarray(upright).astype(np.uint16)
    samples = png.samples16(data)
    return tiff.turned(grey(samples) if channels > 2 else samples[..., 0], turn)
