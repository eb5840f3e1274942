"""Pixels to PNG, JPEG and TIFF.

PNG and TIFF hold 8 bits up to `bits == 8`, and else 16, over which lower depths are spread so that
every viewer shows them; dividing brings each grey level back exactly. JPEG holds 8.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from xraysr.errors import UserError
from xraysr.io.strips import Job, Put, integers
from xraysr.io.voi import viewing
from xraysr.version import __version__

JPEG_SIDE = 65500  # libjpeg's largest, in pixels
BIG_TIFF = 4_000_000_000  # bytes of pixels from which offsets need 64 bits
TIFF_STRIP = 1 << 20  # bytes


@contextmanager
def png(path: Path, job: Job) -> Iterator[Put]:
    """A picture to look at: through the window of the film's header, where it has one."""
    with _collected(job, *_depth(job)) as (pixels, put):
        yield put
    said = PngInfo()
    if job.like.provenance is not None:
        said.add_text("Description", job.like.provenance.record)
    _save(path, pixels, "PNG", pnginfo=said)


@contextmanager
def jpeg(path: Path, job: Job) -> Iterator[Put]:
    """As `png`, in 8 bits, with a loss too small to see."""
    if max(job.size) > JPEG_SIDE:
        raise UserError(
            f"A JPEG has at most {JPEG_SIDE} pixels a side. "
            f"Received: {job.size[1]} x {job.size[0]}. Write a .tif file instead"
        )
    with _collected(job, 255, np.uint8) as (pixels, put):
        yield put
    said = b"" if job.like.provenance is None else job.like.provenance.record.encode("ascii")
    _save(path, pixels, "JPEG", quality=95, comment=said)


@contextmanager
def tiff(path: Path, job: Job) -> Iterator[Put]:
    """The pixels as they are, uncompressed, each strip as it comes; BigTIFF where it must be."""
    try:
        from tifffile import TiffWriter
    except ImportError as error:
        raise UserError(
            "TIFF output needs tifffile, and that is not installed here. pip install tifffile"
        ) from error
    levels, dtype = _depth(job)
    row = job.size[1] * np.dtype(dtype).itemsize
    with TiffWriter(path, byteorder="<", bigtiff=row * job.size[0] > BIG_TIFF) as writer:
        place = writer.write(
            shape=job.size,
            dtype=dtype,
            photometric="minisblack",
            rowsperstrip=min(job.size[0], max(1, TIFF_STRIP // row)),
            description="" if job.like.provenance is None else job.like.provenance.record,
            software=f"xraysr {__version__}",
            metadata=None,
            returnoffset=True,
        )
    assert place is not None  # as returnoffset says
    little = np.dtype(dtype).newbyteorder("<")
    with path.open("r+b") as file:
        file.seek(place[0])
        yield lambda rows: file.write(integers(rows, levels, dtype).astype(little).tobytes())


def _depth(job: Job) -> tuple[int, type]:
    """Grey levels but one, and the dtype of a file that holds them."""
    return (255, np.uint8) if job.like.bits <= 8 else (65535, np.uint16)


@contextmanager
def _collected(job: Job, levels: int, dtype: type) -> Iterator[tuple[np.ndarray, Put]]:
    """The picture as it fills, and what takes one strip."""
    pixels: np.ndarray = np.zeros(job.size, dtype)
    shown = viewing(job.like)
    done = 0

    def put(rows: np.ndarray) -> None:
        nonlocal done
        seen = rows if shown is None else shown(rows)
        pixels[done : done + len(rows)] = integers(seen, levels, dtype)
        done += len(rows)

    yield pixels, put


def _save(path: Path, pixels: np.ndarray, format: str, **options: object) -> None:
    # Into memory first: Pillow's own words for a full disk are "encoder error -2".
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format, **options)
    path.write_bytes(encoded.getbuffer())
