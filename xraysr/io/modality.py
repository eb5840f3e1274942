"""From stored values to modality values (PS3.3 C.11.1), as one table, and back to [0, 1].

A film of at most 16 bits has at most 65536 stored values, so rescaling or a look-up table is
the same thing: the modality value of each of them. Both readers of DICOM headers, `dicom` and
`voi`, take range and polarity from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xraysr.errors import BadImageError

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True, eq=False)
class Modality:
    """The modality transform of one header.

    Args:
        first: The lowest stored value; 0, or negative where pixels are signed.
        table: float64, shape (2 ** BitsStored,): the modality value of `first`, `first + 1`...
        bits: Grey levels of the film are `2 ** bits`.
        inverted: Low values are bright (MONOCHROME1).
    """

    first: int
    table: np.ndarray
    bits: int
    inverted: bool

    @property
    def low(self) -> float:
        """Lowest modality value any stored value can take."""
        return float(self.table.min())

    @property
    def high(self) -> float:
        """Highest modality value any stored value can take."""
        return float(self.table.max())

    def pixels(self, stored: np.ndarray) -> np.ndarray:
        """float32 in [0, 1], bones bright, from stored values of any integer type and shape."""
        unit = ((self.table - self.low) / (self.high - self.low)).astype(np.float32)
        if self.inverted:
            unit = np.float32(1) - unit
        return unit[stored.astype(np.int64) - self.first]

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """Modality values, float64, from pixels in [0, 1]: `pixels` backwards, at any size."""
        unit = pixels.astype(np.float64)
        return self.low + (1.0 - unit if self.inverted else unit) * (self.high - self.low)


def modality_of(header: Dataset) -> Modality:
    """The modality transform that `header` describes.

    Raises:
        BadImageError: if the header contradicts itself.
    """
    bits = bits_stored(header)
    signed = header.get("PixelRepresentation") == 1
    first = -(1 << (bits - 1)) if signed else 0
    stored = np.arange(first, first + (1 << bits))
    if header.get("ModalityLUTSequence"):
        start, entries, bits = look_up_table(header.ModalityLUTSequence[0], header)
        table: np.ndarray = entries[np.clip(stored - start, 0, len(entries) - 1)] * 1.0
    else:
        slope, intercept = rescale_of(header)
        table = stored * slope + intercept
    if not table.min() < table.max():
        raise BadImageError("its modality transform maps all pixels to one value")
    return Modality(first, table, bits, header.get("PhotometricInterpretation") == "MONOCHROME1")


def rescale_of(header: Dataset) -> tuple[float, float]:
    """Slope and intercept of the rescaling; 1 and 0 where `header` has none, or empty ones.

    Raises:
        BadImageError: if one is not finite, or a slope of 0.
    """
    return _rescale(header, "RescaleSlope", 1.0), _rescale(header, "RescaleIntercept", 0.0)


def bits_stored(header: Dataset) -> int:
    """`BitsStored`, checked against `BitsAllocated`.

    Raises:
        BadImageError: if it is missing, more than allocated, or not 1 to 16.
    """
    allocated, stored = header.get("BitsAllocated"), header.get("BitsStored")
    if not isinstance(allocated, int) or not isinstance(stored, int):
        raise BadImageError("BitsAllocated or BitsStored is missing")
    if stored > allocated:
        raise BadImageError(f"BitsStored is {stored}, more than BitsAllocated, {allocated}")
    if not 1 <= stored <= 16:
        raise BadImageError(f"BitsStored is {stored}. Expected 1 to 16")
    return stored


def look_up_table(item: Dataset, header: Dataset) -> tuple[int, np.ndarray, int]:
    """First input value, entries (int64) and bits per entry of a modality or VOI LUT item.

    Raises:
        BadImageError: if something is missing, or fewer entries come than announced.

    Reference: PS3.3 C.11.1.1 and C.11.2.1.1.
    """
    try:
        count, first, bits = (int(number) for number in item.LUTDescriptor)
        data = item.LUTData
    except (AttributeError, TypeError, ValueError) as error:
        raise BadImageError(f"its look-up table is incomplete: {error}") from error
    count = count & 0xFFFF or 1 << 16
    if isinstance(data, bytes):
        packed = len(data) < 2 * count
        little = header.file_meta.TransferSyntaxUID.is_little_endian
        data = np.frombuffer(data, np.uint8 if packed else "<u2" if little else ">u2")
    entries = np.atleast_1d(np.asarray(data)).astype(np.int64) & 0xFFFF
    if not 1 <= bits <= 16 or len(entries) < count:
        raise BadImageError(
            f"its look-up table has {len(entries)} entries of {bits} bits. "
            f"Expected {count} entries of 1 to 16 bits"
        )
    return first, entries[:count], bits


def frame_header(header: Dataset, frame: int) -> Dataset:
    """`header` as it holds for one frame, counted from 1: with what its functional groups say.

    The rescaling and window of a multi-frame film may lie in groups that all frames share, or in
    one of the frame's own (PS3.3 C.7.6.16).
    """
    from pydicom import Dataset

    shared = list(header.get("SharedFunctionalGroupsSequence") or ())[:1]
    own = list(header.get("PerFrameFunctionalGroupsSequence") or ())[frame - 1 :][:1]
    macros = [
        item
        for group in (*shared, *own)
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence")
        for item in list(group.get(name) or ())[:1]
    ]
    if not macros:
        return header
    view = Dataset()
    for dataset in (header, *macros):
        for tag in list(dataset.keys()):
            view[tag] = dataset[tag] if dataset is not header else dataset.get_item(tag)
    view.file_meta = header.file_meta
    return view


def number(header: Dataset, keyword: str) -> float | None:
    """A number, the first of several, whatever its VR; None where it is missing or empty.

    Raises:
        ValueError: if it is not a number.
    """
    value = header.get(keyword)
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace").split("\\")[0]
    elif not isinstance(value, str | int | float) and value is not None:
        value = next(iter(value), None)
    text = str(value if value is not None else "").strip("\0 ")
    return float(text) if text else None


def _rescale(header: Dataset, keyword: str, default: float) -> float:
    value = number(header, keyword)
    if value is None:
        return default
    if not math.isfinite(value) or (keyword == "RescaleSlope" and value == 0):
        raise BadImageError(f"{keyword} is {value:g}")
    return value
