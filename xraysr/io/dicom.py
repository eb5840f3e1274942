"""DICOM films: stored values to pixels, in the order of PS3.4 N.2, up to the modality.

Windows (VOI) are left in the header, because they throw away grey levels; `voi.display`
applies them when a picture is written. pydicom is imported on first use.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from xraysr.errors import BadImageError, UserError
from xraysr.io.modality import Modality, modality_of, stored_bits
from xraysr.io.pixel_data import check_inflated, decode
from xraysr.io.radiograph import Radiograph
from xraysr.io.safe_decoding import content, decoding

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

GREY = ("MONOCHROME1", "MONOCHROME2")
# From the patient's plane to the detector's to the scanned film's.
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
# Transfer syntaxes that lose grey levels: JPEG 8 and 12 bit, JPEG-LS near-lossless; and those
# that may, JPEG 2000 and its high-throughput form, unless the header says otherwise.
LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81")
PERHAPS_LOSSY = ("1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203")


def read_dicom(path: str | Path, frame: int | None = None) -> Radiograph:
    """Reads a DICOM film; pixels float32 (height, width) in [0, 1], bones bright.

    0 and 1 are the ends of what `BitsStored` can hold, taken through the rescale slope and
    intercept or the modality LUT, so the range never depends on the pixels. Padding is black,
    and `padding` says where it is.

    Args:
        path: The file.
        frame: Which film of a multi-frame file, counted from 1; None for a file of one.

    Raises:
        UserError: if there is no such file, or no such frame in it.
        BadImageError: if the file is damaged, is no grey image, contradicts itself, holds several
            frames and none is named, or needs a codec that is not installed.
    """
    path = Path(path)
    film, header, frames = _open(path)
    if frame is None and frames > 1:
        raise BadImageError(
            f"{path}: holds {frames} frames. Expected one film, or one of them named: "
            f"frame 1 to {frames}"
        )
    if frame is not None and not 1 <= frame <= frames:
        raise UserError(f"{path}: frame must be 1 to {frames}. Received: {frame}")
    return _film(path, film, header, frame or 1, frames)


def read_dicom_frames(path: str | Path) -> Iterator[Radiograph]:
    """Every film of a DICOM file in order, each read when it is asked for, as `read_dicom` does.

    Raises:
        UserError: if there is no such file.
        BadImageError: if the file, or one of its frames, cannot be used.
    """
    path = Path(path)
    film, header, frames = _open(path)
    return (_film(path, film, header, frame, frames) for frame in range(1, frames + 1))


def read_elements(path: str | Path, keywords: Sequence[str]) -> FileDataset:
    """The elements `keywords` of the header of a DICOM file; its pixels are not read.

    Raises:
        UserError: if there is no such file.
        BadImageError: if it is not a DICOM file or its header is damaged.
    """
    path = Path(path)
    content(path, 1)
    with decoding(path), path.open("rb") as file:
        return _parse(file, stop_before_pixels=True, specific_tags=list(keywords))


def spacing_holders(header: Dataset) -> Iterator[Dataset]:
    """The data sets that may hold spacings: the header, and the groups of multi-frame films."""
    yield header
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in header.get(name) or ():
            yield from group.get("PixelMeasuresSequence") or ()


def _open(path: Path) -> tuple[FileDataset, FileDataset, int]:
    """The checked file, its header without pixels, and how many frames it announces."""
    content(path, 1)
    with decoding(path), path.open("rb") as file:
        film = _parse(file)
        frames = _check(film)
        pixels = film.pop("PixelData")
        header = copy.deepcopy(film)
        film["PixelData"] = pixels
        return film, header, frames


def _film(
    path: Path, film: FileDataset, header: FileDataset, frame: int, frames: int
) -> Radiograph:
    with decoding(path):
        modality = modality_of(film)
        stored = decode(film, frame, frames)
        padded = _padding(film, stored)
        pixels = _pixels(modality, stored, stored_bits(film))
        if padded is not None:
            pixels[padded] = 0
        return Radiograph(
            pixels,
            modality.bits,
            _spacing(header),
            header,
            path,
            padding=padded,
            lossy=_lossy(header),
            frame=(frame, frames),
        )


def _parse(file: BinaryIO, **options: Any) -> FileDataset:
    try:
        from pydicom import dcmread
        from pydicom.errors import InvalidDicomError
    except ImportError as error:
        raise BadImageError(
            "a DICOM film, which needs pydicom, and that is not installed here. pip install pydicom"
        ) from error
    check_inflated(file)
    try:
        return dcmread(file, **options)
    except InvalidDicomError as error:
        raise BadImageError("not a DICOM file, as there is no DICM at byte 128") from error


def _check(header: FileDataset) -> int:
    """The number of frames of a header that describes a grey image."""
    if "PixelData" not in header or not header.PixelData:
        raise BadImageError(f"holds no pixel data (modality {header.get('Modality', 'unknown')})")
    if not header.file_meta.get("TransferSyntaxUID"):
        raise BadImageError("TransferSyntaxUID is missing, so its pixel data cannot be decoded")
    if (samples := header.get("SamplesPerPixel")) != 1:
        found = "missing" if samples is None else samples
        raise BadImageError(f"SamplesPerPixel is {found}. Expected 1, a grey film")
    if header.get("PhotometricInterpretation") not in GREY:
        raise BadImageError(
            f"PhotometricInterpretation is {header.get('PhotometricInterpretation', 'missing')}. "
            f"Expected {' or '.join(GREY)}"
        )
    for keyword in ("Rows", "Columns"):
        side = header.get(keyword)
        if not isinstance(side, int) or side < 1:
            raise BadImageError(f"{keyword} is {'missing' if side is None else side}")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames < 1 or (frames > 1 and frames > len(header.PixelData)):
        raise BadImageError(f"NumberOfFrames is {frames}, for {len(header.PixelData)} bytes")
    return frames


def _pixels(modality: Modality, stored: np.ndarray, bits: int) -> np.ndarray:
    """Pixels of `modality`, some rows at a time, as indices need four times the memory."""
    pixels = np.empty(stored.shape, np.float32)
    step = max(1, (1 << 20) // stored.shape[1])
    for top in range(0, len(stored), step):
        rows = slice(top, top + step)
        pixels[rows] = modality.pixels(_used_bits(stored[rows], bits))
    return pixels


def _padding(header: FileDataset, stored: np.ndarray) -> np.ndarray | None:
    """Where `stored` lies in the padding value or range (PS3.3 C.7.5.1.1.2); None for nowhere."""
    ends = padding_range(header)
    if ends is None:
        return None
    padded = (stored >= ends[0]) & (stored <= ends[1])
    return padded if padded.any() else None


def padding_range(header: Dataset) -> tuple[int, int] | None:
    """The least and the largest stored value that is padding; None where none is."""
    ends = [header.get(f"PixelPadding{name}") for name in ("Value", "RangeLimit")]
    ends = [end for end in ends if isinstance(end, int)]
    if not ends or "PixelPaddingValue" not in header:
        return None
    return min(ends), max(ends)


def _used_bits(stored: np.ndarray, bits: int) -> np.ndarray:
    """The low `bits` of each value, its sign kept; old films hide overlays in the high bits."""
    spare = 8 * stored.dtype.itemsize - bits
    return (stored << spare) >> spare


def _lossy(header: FileDataset) -> bool:
    said = header.get("LossyImageCompression")
    syntax = header.file_meta.TransferSyntaxUID
    return said == "01" or syntax in LOSSY or (syntax in PERHAPS_LOSSY and said != "00")


def _spacing(header: FileDataset) -> tuple[float, float] | None:
    """Rows first, as PS3.3 10.7.1.3 orders them; None where no tag holds two lengths."""
    for holder in spacing_holders(header):
        for keyword in SPACINGS:
            try:
                row, column = (float(number) for number in holder.get(keyword) or ())
            except (TypeError, ValueError):
                continue
            if all(math.isfinite(length) and length > 0 for length in (row, column)):
                return row, column
    return None
