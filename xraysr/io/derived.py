"""The header of a DICOM image made from another: the same patient, study and class, new pixels.

What describes the old pixels is brought to the new ones, or goes.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from xraysr.errors import BadImageError, UserError
from xraysr.io.derivation import SECONDARY_CAPTURE, SOURCE_IMAGE, append, code, describe
from xraysr.io.dicom import SPACINGS, spacing_holders
from xraysr.io.modality import modality_of
from xraysr.io.safe_decoding import decoding
from xraysr.io.strips import Job

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

# CR, DX, mammography and intraoral (for presentation, for processing), secondary capture, and
# its multi-frame classes of bytes and words.
RADIOGRAPHS = (
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.2",
    "1.2.840.10008.5.1.4.1.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.1.3",
    "1.2.840.10008.5.1.4.1.1.1.3.1",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.7.2",
    "1.2.840.10008.5.1.4.1.1.7.3",
)
BYTES, WORDS, TRUE_COLOUR = (f"1.2.840.10008.5.1.4.1.1.7.{end}" for end in (2, 3, 4))
CLASSES = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "IO": "1.2.840.10008.5.1.4.1.1.1.3",
}
STALE = (
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane",
    "LargestImagePixelValueInPlane",
    "IconImageSequence",
    "HistogramSequence",
    "PixelDataProviderURL",
)
# MAC parameters, pixel data, signatures and what may trail a data set.
STALE_GROUPS = (0x4FFE, 0x7FE0, 0xFFFA, 0xFFFC)
# Curves and overlays, which have repeating groups.
REPEATING = (0x5000, 0x6000)

# Positions and lengths in pixels, in each case for "Shutter" and for "Collimator".
ROW_EDGES = ("{}UpperHorizontalEdge", "{}LowerHorizontalEdge")
COLUMN_EDGES = ("{}LeftVerticalEdge", "{}RightVerticalEdge")
POINTS = ("CenterOfCircular{}", "VerticesOfThePolygonal{}")
RADIUS = "RadiusOfCircular{}"

FRAME_TAGS = (
    "FrameIncrementPointer", "FrameTime", "FrameTimeVector", "PageNumberVector",
    "FrameLabelVector", "FramePrimaryAngleVector", "FrameSecondaryAngleVector",
    "SliceLocationVector", "DisplayWindowLabelVector",
)  # fmt: skip
METHODS = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.91": "ISO_15444_1",
    "1.2.840.10008.1.2.4.203": "ISO_15444_15",
}


def refuse_unfit(job: Job) -> None:
    """Refuses a film that cannot become a derived DICOM image.

    Raises:
        BadImageError: if its header is damaged, of another class than a radiograph's, or of
            pixels of one bit.
        UserError: if its size is not a multiple of its source's, or not the one of the provenance.
    """
    header, provenance = job.like.header, job.like.provenance
    if header is None:
        return
    source = job.like.source or Path("DICOM header")
    with decoding(source):
        kind, size = _class_of(header), (header.Rows, header.Columns)
        if kind not in RADIOGRAPHS:
            raise BadImageError(
                f"is of the class {kind.name}. DICOM output is for "
                "radiographs (CR, DX, MG, IO) and secondary captures: write a .png or .tif file"
            )
        if header.BitsAllocated == 1:
            raise BadImageError(
                "has one bit per pixel, too few for an enlarged film. Write a .png or .tif file"
            )
    scale = max(1, job.size[0] // size[0])
    if job.size != (scale * size[0], scale * size[1]):
        raise UserError(
            f"A DICOM image made from {source} must be a whole number of times its "
            f"{size[1]} x {size[0]} pixels. Received: {job.size[1]} x {job.size[0]}"
        )
    if provenance is not None and provenance.scale != scale:
        raise UserError(
            f"The provenance says x{provenance.scale}, but {source} was enlarged x{scale}"
        )
    if job.frames not in (1, job.like.frame[1]):
        raise UserError(f"{source} has {job.like.frame[1]} frames. Received: {job.frames}")


def derived(job: Job) -> Dataset:
    """The header for a film of `job.size` made from `job.like`, as `refuse_unfit` lets it pass."""
    header = copy.deepcopy(job.like.header)
    assert header is not None
    scale = job.size[0] // header.Rows
    header.SOPClassUID = _class_of(header)
    if header.original_encoding[1] is False:
        _swap_words(header)
    _forget(header)
    for keyword in STALE:
        header.pop(keyword, None)
    reference = _reference(header)
    if job.frames == 1 and job.like.frame[1] > 1:
        _one_frame(header, job.like.frame[0])
        if reference is not None:
            reference.ReferencedFrameNumber = job.like.frame[0]
    if reference is not None:
        append(header, "SourceImageSequence", reference)
    if "NumberOfFrames" in header:
        header.NumberOfFrames = job.frames
    _bits(header)
    _loss(header, job.like.lossy)
    _grid(header, job.size, scale)
    describe(header, job, scale)
    return header


def _class_of(header: Dataset) -> UID:
    """The SOP class, where it is missing that of the file's own header or of the modality.

    A film that had three equal channels is of a class of one.
    """
    from pydicom.uid import UID

    meta = header.file_meta.get("MediaStorageSOPClassUID") if "file_meta" in vars(header) else None
    by_modality = CLASSES.get(str(header.get("Modality")), SECONDARY_CAPTURE)
    kind = header.get("SOPClassUID") or meta or by_modality
    if kind == TRUE_COLOUR:
        kind = BYTES if header.BitsAllocated == 8 else WORDS
    return UID(str(kind))


def _swap_words(header: Dataset) -> None:
    """Words that were read as bytes from big endian; pydicom leaves their order alone."""
    widths = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
    for element in header.iterall():
        width = widths.get(element.VR)
        if width is not None and isinstance(element.value, bytes):
            count = len(element.value) // width
            element.value = b"".join(
                element.value[width * at : width * (at + 1)][::-1] for at in range(count)
            )


def _forget(dataset: Dataset) -> None:
    """Removes private elements, signatures, pixel data, curves and overlays at every depth.

    Elements that stay are not decoded, so that their text is written byte for byte.
    """
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    for tag in list(dataset.keys()):
        if (
            tag.is_private
            or tag.group in STALE_GROUPS
            or any(first <= tag.group <= first + 0xFF for first in REPEATING)
        ):
            del dataset[tag]
            continue
        kind = dataset.get_item(tag).VR
        if kind is None and dictionary_has_tag(tag):
            kind = dictionary_VR(tag)
        if kind == "SQ":
            for item in dataset[tag].value:
                _forget(item)


def _reference(header: Dataset) -> Dataset | None:
    """The item that names the old image; None where it has no name."""
    from pydicom import Dataset

    if not header.get("SOPInstanceUID"):
        return None
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [code(*SOURCE_IMAGE)]
    return item


def _one_frame(header: Dataset, frame: int) -> None:
    """Drops what describes the other frames."""
    for keyword in FRAME_TAGS:
        header.pop(keyword, None)
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if groups:
        header.PerFrameFunctionalGroupsSequence = [groups[frame - 1]]


def _bits(header: Dataset) -> None:
    """Bits as the source's; modality values of a LUT become the stored values themselves.

    A LUT has no way back, so that it is replaced by the rescaling that changes nothing; windows
    and VOI LUTs take modality values and stay. Padding has no modality value and goes.
    """
    if header.get("ModalityLUTSequence"):
        item = header.ModalityLUTSequence[0]
        header.BitsStored = modality_of(header).bits
        header.HighBit = header.BitsStored - 1
        header.PixelRepresentation = 0
        header.RescaleSlope, header.RescaleIntercept = "1", "0"
        header.RescaleType = item.get("ModalityLUTType") or "US"
        for keyword in ("ModalityLUTSequence", "PixelPaddingValue", "PixelPaddingRangeLimit"):
            header.pop(keyword, None)
    if header.BitsAllocated != 8 or header.BitsStored > 8:
        header.BitsAllocated = 16
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = header.get("PixelRepresentation") or 0


def _loss(header: Dataset, lossy: bool) -> None:
    """Once lossy, always lossy (PS3.3 C.7.6.1.1.5); ratio and method stay where they are."""
    if lossy:
        header.LossyImageCompression = "01"
        method = METHODS.get(str(header.file_meta.TransferSyntaxUID))
        if method is not None and not header.get("LossyImageCompressionMethod"):
            header.LossyImageCompressionMethod = method


def _grid(header: Dataset, size: tuple[int, int], scale: int) -> None:
    """What is counted in pixels, or measured between them."""
    from pydicom.valuerep import DSfloat

    for holder in spacing_holders(header):
        for keyword in SPACINGS:
            if holder.get(keyword) is not None:
                try:
                    lengths = [DSfloat(each / scale, True) for each in _values(holder, keyword)]
                except (TypeError, ValueError):  # no numbers
                    del holder[keyword]
                else:
                    setattr(holder, keyword, lengths)
    header.Rows, header.Columns = size
    for kind in ("Shutter", "Collimator"):
        for names, sides in ((ROW_EDGES, size[:1]), (COLUMN_EDGES, size[1:]), (POINTS, size)):
            for name in names:
                _move(header, name.format(kind), sides, scale)
        radius = RADIUS.format(kind)
        if header.get(radius) is not None:
            setattr(header, radius, header[radius].value * scale)


def _move(header: Dataset, keyword: str, sides: tuple[int, ...], scale: int) -> None:
    """Positions of pixel centres, counted from 1, at the new size; 0 and side + 1 are outside."""
    if header.get(keyword) is None:
        return
    places = [
        min(max(round((place - 0.5) * scale + 0.5), 0), sides[at % len(sides)] + 1)
        for at, place in enumerate(_values(header, keyword))
    ]
    setattr(header, keyword, places if len(places) > 1 else places[0])


def _values(dataset: Dataset, keyword: str) -> list:
    from pydicom.multival import MultiValue

    value = dataset[keyword].value
    return list(value) if isinstance(value, MultiValue | list) else [value]
