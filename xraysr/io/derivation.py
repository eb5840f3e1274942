"""What a DICOM file made by xraysr says about how it came to be.

Reference: PS3.3 C.7.6.1.1.3 (derivation), C.12.1.1.5 (contributing equipment); codes of PS3.16.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from xraysr.io.radiograph import Provenance, ascii_line
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
DESCRIPTION, LONG_STRING = 1024, 64  # the longest ST and LO, in characters


def describe(header: Dataset, provenance: Provenance | None, scale: int) -> None:
    """Makes `header` that of a new, derived image, and says what made it.

    The instance is new. The series is one for all films of the old series that the same model
    enlarges, so that they stay together.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    text = _text(provenance, scale)
    series = header.get("SeriesInstanceUID")
    header.SOPInstanceUID = generate_uid()
    header.SeriesInstanceUID = generate_uid(entropy_srcs=[series, text] if series else None)
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
    suffix = f" (xraysr x{scale})" if scale > 1 else " (xraysr)"
    old = str(header.get("SeriesDescription") or "")
    header.SeriesDescription = (old[: LONG_STRING - len(suffix)] + suffix).strip()
    old = str(header.get("DerivationDescription") or "")
    before = f"{old[: DESCRIPTION - len(text) - 2]}; " if old else ""
    header.DerivationDescription = before + text
    append(header, "ContributingEquipmentSequence", _equipment(provenance, text, now))
    if scale > 1:
        append(header, "DerivationCodeSequence", code(*RESAMPLED))
        header.SyntheticData = "YES"


def append(header: Dataset, keyword: str, item: Dataset) -> None:
    """Adds `item` to the sequence `keyword`, which need not be there yet."""
    setattr(header, keyword, [*(header.get(keyword) or ()), item])


def code(value: str, meaning: str) -> Dataset:
    """An item that holds one code of DICOM's own terminology."""
    from pydicom import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


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
