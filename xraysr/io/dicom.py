"""DICOM films: stored values to pixels, in the order of PS3.4 N.2, up to the modality.

Windows (VOI) are left in the header, because they throw away grey levels; `voi.display`
applies them when a picture is written. pydicom is imported on first use.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from xraysr.errors import BadImageError
from xraysr.io.guard import content, decoding
from xraysr.io.modality import modality_of, stored_bits
from xraysr.io.radiograph import Radiograph

if TYPE_CHECKING:
    from pydicom import FileDataset

GREY = ("MONOCHROME1", "MONOCHROME2")
# From the patient's plane to the detector's to the scanned film's.
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


def read_dicom(path: str | Path) -> Radiograph:
    """Reads a DICOM film; pixels float32 (height, width) in [0, 1], bones bright.

    0 and 1 are the ends of what `BitsStored` can hold, taken through the rescale slope and
    intercept or the modality LUT, so the range never depends on the pixels. Padding is black.

    Raises:
        UserError: if there is no such file.
        BadImageError: if the file is damaged, is no single grey image, contradicts itself, or
            needs a codec that is not installed.
    """
    path = Path(path)
    content(path, 1)
    with decoding(path), path.open("rb") as file:
        header = _parse(file)
        _check(header)
        modality = modality_of(header)
        stored = _decode(header)
        padded = _padding(header, stored)
        pixels = modality.pixels(_used_bits(stored, stored_bits(header)))
        pixels[padded] = 0
        spacing = _spacing(header)
        del header.PixelData
    return Radiograph(pixels, modality.bits, spacing, header, path)


def patient_of_dicom(path: str | Path) -> str | None:
    """The patient's id, from the header alone; None where it is absent or empty.

    Raises:
        UserError: if there is no such file.
        BadImageError: if it is not a DICOM file or its header is damaged.
    """
    path = Path(path)
    content(path, 1)
    with decoding(path), path.open("rb") as file:
        header = _parse(file, stop_before_pixels=True, specific_tags=["PatientID"])
        return str(header.get("PatientID") or "").strip() or None


def _parse(file: BinaryIO, **options: Any) -> FileDataset:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return dcmread(file, **options)
    except InvalidDicomError as error:
        raise BadImageError("not a DICOM file, as there is no DICM at byte 128") from error


def _check(header: FileDataset) -> None:
    if "PixelData" not in header or not header.PixelData:
        raise BadImageError(f"holds no pixel data (modality {header.get('Modality', 'unknown')})")
    if not header.file_meta.get("TransferSyntaxUID"):
        raise BadImageError("TransferSyntaxUID is missing, so its pixel data cannot be decoded")
    if header.get("SamplesPerPixel", 1) != 1:
        raise BadImageError(f"SamplesPerPixel is {header.SamplesPerPixel}. Expected 1, a grey film")
    if header.get("PhotometricInterpretation") not in GREY:
        raise BadImageError(
            f"PhotometricInterpretation is {header.get('PhotometricInterpretation', 'missing')}. "
            f"Expected {' or '.join(GREY)}"
        )
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise BadImageError(f"holds {header.NumberOfFrames} frames. Expected one film per file")


def _decode(header: FileDataset) -> np.ndarray:
    """Stored values of shape (rows, columns), with whatever lies in the unused high bits."""
    from pydicom.pixels import get_decoder, pixel_array

    syntax = header.file_meta.TransferSyntaxUID
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise BadImageError(
            f"no installed codec decodes its pixel data ({syntax.name}). "
            "pip install xraysr[dicom] adds the codecs"
        )
    try:
        stored = pixel_array(header, correct_unused_bits=False)
    except Exception as error:
        raise BadImageError(f"its pixel data ({syntax.name}) cannot be decoded: {error}") from error
    if stored.ndim != 2:
        raise BadImageError(f"its pixel data is enough for {len(stored)} frames. Expected one")
    return stored


def _padding(header: FileDataset, stored: np.ndarray) -> np.ndarray:
    """Where `stored` lies in the padding value or range (PS3.3 C.7.5.1.1.2), as a mask."""
    ends = [header.get(f"PixelPadding{name}") for name in ("Value", "RangeLimit")]
    ends = [end for end in ends if isinstance(end, int)]
    if not ends or "PixelPaddingValue" not in header:
        return np.zeros(stored.shape, bool)
    return (stored >= min(ends)) & (stored <= max(ends))


def _used_bits(stored: np.ndarray, bits: int) -> np.ndarray:
    """The low `bits` of each value, its sign kept; old films hide overlays in the high bits."""
    spare = 8 * stored.dtype.itemsize - bits
    return (stored << spare) >> spare


def _spacing(header: FileDataset) -> tuple[float, float] | None:
    """Rows first, as PS3.3 10.7.1.3 orders them; None where no tag holds two lengths."""
    for keyword in SPACINGS:
        try:
            row, column = (float(number) for number in header.get(keyword) or ())
        except (TypeError, ValueError):
            continue
        if all(math.isfinite(length) and length > 0 for length in (row, column)):
            return row, column
    return None
