"""What a DICOM file made by xraysr says about how it came to be.

Reference: PS3.3 C.7.6.1.1.3 (derivation), C.12.1.1.5 (contributing equipment); codes of PS3.16.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from hashlib import sha256
from typing import TYPE_CHECKING

from xraysr.io.radiograph import Provenance, ascii_line
from xraysr.io.strips import Job
from xraysr.version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset

RESAMPLED = ("113085", "Spatial resampling")
SOURCE_IMAGE = ("121322", "Source image for image processing operation")
EQUIPMENT = ("109102", "Processing Equipment")

# Classes whose ImageType has a third value: it may be empty, but must be there.
THREE_IMAGE_TYPES = (
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.2",
    "1.2.840.10008.5.1.4.1.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.1.3",
    "1.2.840.10008.5.1.4.1.1.1.3.1",
)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# Type 2 of a secondary capture: they must be there, and may be empty.
UNKNOWN = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "Laterality",
    "PatientOrientation",
)  # fmt: skip
DESCRIPTION, LONG_STRING = 1024, 64  # the longest ST and LO, in characters
SERIES, MOST = 1000, 2**31 - 1  # added to a SeriesNumber, and the largest IS


def describe(header: Dataset, job: Job, scale: int) -> None:
    """Makes `header` that of a new, derived image, and says what made it.

    Its UIDs follow from source, model and options, so that the same work done again gives the
    same object, and all films of one series that the same model enlarges share a derived series,
    which sorts behind theirs.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    film, provenance = job.like, job.like.provenance
    text = _text(provenance, scale)
    made = [text, str(job.size), str(job.frames), str(film.frame[0])]
    source = str(header.get("SOPInstanceUID") or "")
    if provenance is None or not source:
        source += sha256(film.pixels.tobytes()).hexdigest()
    header.SeriesInstanceUID = generate_uid(
        entropy_srcs=["series", str(header.get("SeriesInstanceUID") or source), text]
    )
    header.SOPInstanceUID = generate_uid(entropy_srcs=["instance", source, *made])
    if not header.get("StudyInstanceUID"):
        header.StudyInstanceUID = generate_uid(entropy_srcs=["study", source])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = header.SOPClassUID
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta = meta

    three = header.SOPClassUID in THREE_IMAGE_TYPES
    header.ImageType = ["DERIVED", "SECONDARY", *([""] if three else [])]
    now = datetime.now(_zone(header))
    header.InstanceCreationDate = now.strftime("%Y%m%d")
    header.InstanceCreationTime = now.strftime("%H%M%S")
    header.pop("InstanceCreatorUID", None)
    suffix = f" (xraysr SR x{scale})" if scale > 1 else " (xraysr)"
    old = str(header.get("SeriesDescription") or "")
    header.SeriesDescription = (old[: LONG_STRING - len(suffix)] + suffix).strip()
    header.SeriesNumber = _series_number(header)
    if film.notices:
        text += f"; noticed: {', '.join(dict.fromkeys(notice.code for notice in film.notices))}"
    old = str(header.get("DerivationDescription") or "")
    before = f"{old[: max(0, DESCRIPTION - len(text) - 2)]}; " if old else ""
    header.DerivationDescription = (before + text)[:DESCRIPTION]
    append(header, "ContributingEquipmentSequence", _equipment(provenance, text, now))
    if scale > 1:
        append(header, "DerivationCodeSequence", code(*RESAMPLED))
        header.SyntheticData = "YES"


def secondary_capture(job: Job) -> Dataset:
    """The header for a film of `job.size` that was no DICOM file: a secondary capture.

    The patient, the study and the modality are not known, and are left empty or "other" (OT).
    """
    from pydicom import Dataset
    from pydicom.valuerep import DSfloat

    header = Dataset()
    header.SOPClassUID = SECONDARY_CAPTURE
    for keyword in UNKNOWN:
        setattr(header, keyword, None)
    header.Modality, header.ConversionType = "OT", "WSD"
    header.InstanceNumber = 1
    header.Rows, header.Columns = job.size
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsStored = job.like.bits
    header.BitsAllocated = 8 if job.like.bits <= 8 else 16
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = 0
    scale = max(1, job.size[0] // job.like.size[0])
    if job.like.spacing is not None:
        header.NominalScannedPixelSpacing = [
            DSfloat(length / scale, True) for length in job.like.spacing
        ]
    if job.like.lossy:
        header.LossyImageCompression = "01"
        header.LossyImageCompressionMethod = "ISO_10918_1"
    made = job.like.provenance
    describe(header, job, made.scale if made else scale)
    return header


def append(header: Dataset, keyword: str, item: Dataset) -> None:
    """Adds `item` to the sequence `keyword`, which need not be there yet."""
    from pydicom import Dataset

    before = [each for each in header.get(keyword) or () if isinstance(each, Dataset)]
    header.pop(keyword, None)  # with a VR that may be wrong
    setattr(header, keyword, [*before, item])


def code(value: str, meaning: str) -> Dataset:
    """An item that holds one code of DICOM's own terminology."""
    from pydicom import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _series_number(header: Dataset) -> int:
    """Behind the source's, and behind all others of a study of less than a thousand series."""
    try:
        return min(int(header.get("SeriesNumber") or 0) + SERIES, MOST)
    except (TypeError, ValueError):
        return SERIES


def _text(provenance: Provenance | None, scale: int) -> str:
    if provenance is not None:
        return provenance.text[:DESCRIPTION]
    enlarged = f", x{scale}: detail may be synthetic" if scale > 1 else ""
    return f"xraysr {__version__}{enlarged}"


def _equipment(provenance: Provenance | None, text: str, now: datetime) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code(*EQUIPMENT)]
    item.Manufacturer = "xraysr"
    if provenance is not None:
        model = ascii_line(provenance.model).replace("\\", "/")
        item.ManufacturerModelName = model[:LONG_STRING]
    item.SoftwareVersions = __version__ if provenance is None else provenance.version
    item.ContributionDateTime = now.strftime("%Y%m%d%H%M%S%z")
    item.ContributionDescription = text if provenance is None else provenance.record[:DESCRIPTION]
    return item


def _zone(header: Dataset) -> tzinfo | None:
    """The time zone that the header's times are in; None for this machine's."""
    try:
        return datetime.strptime(str(header.get("TimezoneOffsetFromUTC")), "%z").tzinfo
    except ValueError:
        return datetime.now().astimezone().tzinfo
