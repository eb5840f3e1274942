"""The header of a DICOM image made from a PNG, JPEG or TIFF: a secondary capture.

The patient, the study and the modality are not known, and are left empty or "other" (OT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xraysr.io.derivation import describe
from xraysr.io.strips import Job

if TYPE_CHECKING:
    from pydicom import Dataset

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# Type 2: they must be there, and may be empty.
UNKNOWN = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "Laterality",
    "PatientOrientation",
)  # fmt: skip


def secondary_capture(job: Job) -> Dataset:
    """The header for a film of `job.size` without one; its study is new."""
    from pydicom import Dataset
    from pydicom.uid import generate_uid
    from pydicom.valuerep import DSfloat

    header = Dataset()
    header.SOPClassUID = SECONDARY_CAPTURE
    for keyword in UNKNOWN:
        setattr(header, keyword, None)
    header.StudyInstanceUID = generate_uid()
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
    describe(header, made, made.scale if made else scale)
    return header
