"""DICOM films: stored values to pixels, in the order of PS3.4 N.2, up to the modality.

Windows (VOI) are left in the header, because they throw away grey levels; `voi.display`
applies them when a picture is written. pydicom is imported on first use.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xraysr.errors import BadImageError, UserError
from xraysr.io.agreement import COLOURS, GREY, PALETTE, agree
from xraysr.io.dicom_parse import parse
from xraysr.io.modality import Modality, bits_stored, frame_header, modality_of
from xraysr.io.pixel_data import decode
from xraysr.io.radiograph import Notice, Radiograph, synthetic_source
from xraysr.io.safe_decoding import content, decoding
from xraysr.io.voi import notices_of

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

# From the patient's plane to the detector's to the scanned film's.
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
# Transfer syntaxes that lose grey levels: JPEG 8 and 12 bit, JPEG-LS near-lossless; and those
# that may, JPEG 2000 and its high-throughput form, unless the header says otherwise.
LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81")
PERHAPS_LOSSY = ("1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203")
# Whole numbers that decide how pixels are read, whatever VR a file gives them.
WHOLE = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "SamplesPerPixel", "NumberOfFrames", "PlanarConfiguration",
)  # fmt: skip
OTHER_PIXELS = {
    "FloatPixelData": "floating-point pixels",
    "DoubleFloatPixelData": "floating-point pixels",
    "PixelDataProviderURL": "its pixels elsewhere (PixelDataProviderURL)",
    "SpectroscopyData": "a spectrum",
    "EncapsulatedDocument": "a document",
    "WaveformSequence": "a waveform",
    "DirectoryRecordSequence": "a directory of other files (DICOMDIR)",
    "ContentSequence": "a report",
}
# What the presets learned: chests, at pixels that a person would call fine.
CHEST = ("", "CHEST", "THORAX", "LUNG", "LUNGS", "RIB", "RIBS", "CHESTABDOMEN", "PORT CHEST")
COARSEST = 2.0  # mm


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
        BadImageError: if the file is damaged, is not grey, contradicts itself, holds several frames
            and none is named, or needs a codec that is not installed.
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
        return parse(file, stop_before_pixels=True, specific_tags=list(keywords))


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
        film = parse(file)
        frames = _check(film)
        pixels = film.pop("PixelData")
        header = copy.deepcopy(film)
        film["PixelData"] = pixels
        return film, header, frames


def _film(
    path: Path, film: FileDataset, header: FileDataset, frame: int, frames: int
) -> Radiograph:
    with decoding(path):
        decoded = decode(film, frame, frames)
        padded = _padding(film, decoded.values)
        if padded is not None:
            decoded = replace(decoded, values=np.where(padded, 0, decoded.values))
        agreed = agree(film, decoded)
        if agreed.changes:
            header = copy.copy(header)
            for keyword, value in agreed.changes.items():
                if value is None:
                    header.pop(keyword, None)
                else:
                    setattr(header, keyword, value)
        modality = modality_of(frame_header(header, frame))
        pixels = _pixels(modality, agreed.values)
        if padded is not None:
            pixels[padded] = 0
        radiograph = Radiograph(
            pixels,
            modality.bits,
            _spacing(header),
            header,
            path,
            padding=padded,
            lossy=_lossy(header),
            frame=(frame, frames),
            notices=agreed.notices,
        )
        return radiograph.with_notices(*notices_of(radiograph), *_remarks(radiograph))


def _remarks(film: Radiograph) -> Iterator[Notice]:
    """What the header says that a reader of an enlarged film should know."""
    header, spacing = film.header, film.spacing
    assert header is not None
    part = str(header.get("BodyPartExamined") or "").strip().upper()
    if part not in CHEST:
        said = f"The film shows {part}, and the presets learned from chest films."
        yield Notice("unlike-training", said)
    elif header.get("Modality") == "MG":
        said = "The film is a mammogram, and the presets learned from chest films."
        yield Notice("unlike-training", said)
    if spacing is not None and max(spacing) > COARSEST:
        said = f"Pixels are {max(spacing):g} mm apart, coarser than any radiograph."
        yield Notice("unlike-training", said)
    if header.get("SyntheticData") == "YES":
        said = "SyntheticData is YES: the film was enlarged or made by a program before."
        yield Notice("synthetic-source", said)
    else:
        yield from synthetic_source(header.get("DerivationDescription"))


def _check(film: FileDataset) -> int:
    """The number of frames of a header that describes an image, whose critical elements are mended.

    Raises:
        BadImageError: if it describes none that could be a film.
    """
    for keyword in WHOLE:
        value = _whole(film.get(keyword))
        if value is not None:
            setattr(film, keyword, value)
        elif not film.get(keyword):
            film.pop(keyword, None)
    if not film.get("PixelData"):
        there = (what for keyword, what in OTHER_PIXELS.items() if keyword in film)
        found = next(there, f"no pixel data (modality {film.get('Modality') or 'unknown'})")
        raise BadImageError(f"holds {found}")
    said = str(film.get("PhotometricInterpretation") or "")
    photometric = re.sub(r"[^A-Z0-9_ ]", "", said.upper()).strip()
    photometric = photometric.replace(" ", "") if photometric != PALETTE else photometric
    if "SamplesPerPixel" not in film and photometric in GREY:
        film.SamplesPerPixel = 1
    samples = film.get("SamplesPerPixel")
    if (samples, photometric in COLOURS) not in ((1, False), (3, True)):
        found = "missing" if samples is None else samples
        raise BadImageError(
            f"SamplesPerPixel is {found} and PhotometricInterpretation "
            f"{said or 'missing'}. Expected 1 and {' or '.join(GREY)}, a grey film"
        )
    if photometric not in (*GREY, *COLOURS, PALETTE):
        raise BadImageError(
            f"PhotometricInterpretation is {said or 'missing'}. Expected {' or '.join(GREY)}"
        )
    if photometric == PALETTE and "RedPaletteColorLookupTableDescriptor" not in film:
        raise BadImageError(f"PhotometricInterpretation is {PALETTE}, and it has no palette")
    if said != photometric:
        film.PhotometricInterpretation = photometric
    if "PixelRepresentation" not in film:
        film.PixelRepresentation = 0
    for keyword in ("Rows", "Columns"):
        side = film.get(keyword)
        if not isinstance(side, int) or side < 1:
            raise BadImageError(f"{keyword} is {'missing' if side is None else side}")
    bits_stored(film)
    if samples == 3 and "PlanarConfiguration" not in film:
        film.PlanarConfiguration = 0
    frames = int(film.get("NumberOfFrames") or 1)
    if frames < 1 or (frames > 1 and frames > len(film.PixelData)):
        raise BadImageError(f"NumberOfFrames is {frames}, for {len(film.PixelData)} bytes")
    return frames


def _whole(value: object) -> int | None:
    """A whole number, whatever its VR; None where there is none."""
    if isinstance(value, bytes) and len(value) == 2:
        return int.from_bytes(value, "little")
    if not isinstance(value, bytes | str | int | float) and value is not None:
        value = next(iter(value), None)  # type: ignore[call-overload]
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    try:
        return int(float(text.strip("\0 ")))
    except (ValueError, OverflowError):
        return None


def _pixels(modality: Modality, stored: np.ndarray) -> np.ndarray:
    """Pixels of `modality`, some rows at a time, as indices need four times the memory."""
    pixels = np.empty(stored.shape, np.float32)
    step = max(1, (1 << 20) // stored.shape[1])
    for top in range(0, len(stored), step):
        rows = slice(top, top + step)
        pixels[rows] = modality.pixels(stored[rows])
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
