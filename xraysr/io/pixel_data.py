"""Pixel data of a DICOM file to stored values, whatever its transfer syntax, within bounds."""

from __future__ import annotations

import zlib
from math import ceil
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from xraysr.errors import BadImageError
from xraysr.io.codestream import claimed_shape
from xraysr.io.decoding_process import GDCM, decode_apart

if TYPE_CHECKING:
    from pydicom import FileDataset

# What a deflated file may become: 16 bits for as many pixels as Pillow opens, and the header.
LARGEST_INFLATED = 2 * (Image.MAX_IMAGE_PIXELS or 1 << 27) + (1 << 24)
CHUNK = 1 << 20


def decode(film: FileDataset, frame: int, frames: int) -> np.ndarray:
    """Stored values (rows, columns) of one frame, counted from 1; whatever is in the high bits.

    Raises:
        BadImageError: if no codec is installed for it, or it is damaged or contradicts the header.
    """
    from pydicom.pixels import get_decoder

    syntax = film.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
        available, plugins = decoder.is_available, decoder.available_plugins
    except NotImplementedError:
        available, plugins = False, ()
    if not available:
        raise BadImageError(
            f"no installed codec decodes its pixel data ({syntax.name}). "
            "pip install xraysr[dicom] adds the codecs"
        )
    if syntax.is_encapsulated:
        _check_claim(film, frame, frames)
    elif frames > 1:
        _check_count(film, frames)
    try:
        stored = _decoded(film, frame, frames, plugins)
    except Exception as error:
        raise BadImageError(f"its pixel data ({syntax.name}) cannot be decoded: {error}") from error
    if stored.ndim != 2:
        raise BadImageError(f"its pixel data is enough for {len(stored)} frames. Expected one")
    return stored


def _decoded(film: FileDataset, frame: int, frames: int, plugins: tuple[str, ...]) -> np.ndarray:
    """What the first codec that can gives; GDCM in a process of its own, and when none else is."""
    from pydicom.encaps import get_frame
    from pydicom.pixels import pixel_array

    index = frame - 1 if frames > 1 else None  # with None, frames too many are found
    if not plugins:
        return pixel_array(film, index=index, correct_unused_bits=False)
    others = [plugin for plugin in plugins if plugin != GDCM]
    failure: Exception | None = None
    for plugin in others:
        try:
            return pixel_array(film, index=index, correct_unused_bits=False, decoding_plugin=plugin)
        except Exception as error:
            failure = failure or error
    if failure is not None and GDCM not in plugins:
        raise failure
    return decode_apart(film, get_frame(film.PixelData, frame - 1, number_of_frames=frames))


def _check_count(film: FileDataset, frames: int) -> None:
    """Refuses native pixel data that holds more frames than announced."""
    bits = film.Rows * film.Columns * film.BitsAllocated
    there = 8 * len(film.PixelData) // bits if bits else 0
    if there > frames:
        raise BadImageError(f"its pixel data is enough for {there} frames. Expected {frames}")


def _check_claim(film: FileDataset, frame: int, frames: int) -> None:
    """Refuses a compressed frame that is too large to open, or of another size than announced."""
    from pydicom.encaps import get_frame

    rows, columns = film.Rows, film.Columns
    pixels = rows * columns
    if Image.MAX_IMAGE_PIXELS is not None and pixels > Image.MAX_IMAGE_PIXELS:
        raise BadImageError(
            f"too large to open safely, as a decompression bomb is: {columns} x {rows} pixels, "
            f"compressed. Expected at most {Image.MAX_IMAGE_PIXELS} pixels"
        )
    data = get_frame(film.PixelData, frame - 1, number_of_frames=frames)
    claim = claimed_shape(data)
    if claim is not None and claim != (rows, columns, 1):
        height, width, components = claim
        raise BadImageError(
            f"its compressed image is {width} x {height} with {components} components, but its "
            f"header says {columns} x {rows} with 1"
        )
    expected = ceil(pixels * film.BitsAllocated / 8)
    if len(data) > 2 * expected + CHUNK:
        raise BadImageError(f"its compressed pixel data has {len(data)} bytes for {pixels} pixels")


def check_inflated(file: BinaryIO) -> None:
    """Refuses a deflated DICOM file that becomes too large; `file` comes back at its start.

    A file whose first elements cannot be understood passes: reading it says what is wrong.

    Raises:
        BadImageError: if it becomes too large.
    """
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    try:
        read_preamble(file, force=False)
        meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
        deflated = meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
        size = _inflated(file) if deflated else 0
    except Exception:
        size = 0
    if size > LARGEST_INFLATED:
        raise BadImageError(
            "too large to open safely, as a decompression bomb is: deflated, and more than "
            f"{LARGEST_INFLATED >> 20} MB"
        )
    file.seek(0)


def _inflated(file: BinaryIO) -> int:
    """Bytes that the rest of `file` inflates to, counted no further than just over the limit."""
    inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while not inflate.eof and (deflated := file.read(CHUNK)):
        while deflated and size <= LARGEST_INFLATED:
            size += len(inflate.decompress(deflated, CHUNK))
            deflated = inflate.unconsumed_tail
    return size
