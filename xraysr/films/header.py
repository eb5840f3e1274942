"""What a DICOM header says of a film before its pixels are read: whose it is, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xraysr.errors import BadImageError
from xraysr.io.dicom import read_elements
from xraysr.io.safe_decoding import decoding

KEYWORDS = (
    "SOPClassUID", "Modality", "PatientID", "StudyInstanceUID", "ViewPosition",
    "BodyPartExamined", "Rows", "Columns",
)  # fmt: skip
CLASSES = "1.2.840.10008.5.1.4.1.1."
# Below `CLASSES`, PS3.6 annex A. Secondary Capture is not among them: many films are stored so.
NO_FILMS = {
    "2.": "CT", "4.": "MR", "6.": "ultrasound", "3.": "ultrasound", "9.": "a waveform",
    "11.": "a presentation state", "20.": "nuclear medicine", "30.": "a parametric map",
    "66.": "a segmentation or registration", "77.": "visible light", "88.": "a report",
    "104.1.": "a PDF document", "104.": "a document", "128.": "PET", "130.": "PET",
    "481.": "radiotherapy",
}  # fmt: skip
MODALITIES = {
    "CT": "CT", "MR": "MR", "US": "ultrasound", "IVUS": "ultrasound", "PT": "PET",
    "NM": "nuclear medicine", "SR": "a report", "DOC": "a document", "PR": "a presentation state",
    "KO": "a selection of key images", "SEG": "a segmentation", "REG": "a registration",
    "RTSTRUCT": "radiotherapy", "RTPLAN": "radiotherapy", "RTDOSE": "radiotherapy",
    "RTIMAGE": "radiotherapy", "RTRECORD": "radiotherapy", "ECG": "a waveform",
    "HD": "a waveform", "EPS": "a waveform", "ES": "endoscopy", "XC": "a photograph",
    "GM": "microscopy", "SM": "microscopy", "OP": "eye imaging", "OPT": "eye imaging",
    "OCT": "optical coherence tomography", "M3D": "a 3D model",
}  # fmt: skip
DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class Header:
    """Parts of a DICOM header; what is absent or empty is an empty string, or None.

    Args:
        sop_class: SOPClassUID.
        modality: Such as "DX".
        patient: PatientID.
        study: StudyInstanceUID.
        view: ViewPosition, such as "PA".
        body_part: BodyPartExamined.
        size: (rows, columns).
    """

    sop_class: str = ""
    modality: str = ""
    patient: str = ""
    study: str = ""
    view: str = ""
    body_part: str = ""
    size: tuple[int, int] | None = None

    def not_a_film(self) -> str | None:
        """Why the file is not a radiograph; None where it may be one."""
        if self.sop_class == DIRECTORY:
            return "a DICOM directory"
        below = self.sop_class.removeprefix(CLASSES) + "."
        kinds = [kind for start, kind in NO_FILMS.items() if below.startswith(start)]
        kind = MODALITIES.get(self.modality) or (kinds[0] if kinds else None)
        if kind is not None:
            return f"DICOM, but no radiograph: {kind}"
        return None if self.size else "DICOM, but it holds no image"


def read_header(path: Path) -> Header | None:
    """The header of the DICOM file at `path`; None where it is damaged, as its reader will say."""
    try:
        elements = read_elements(path, KEYWORDS)
        with decoding(path):
            texts = [str(elements.get(each) or "").strip(" \0") for each in KEYWORDS[:-2]]
            rows, columns = (elements.get(each) for each in KEYWORDS[-2:])
            size = (int(rows), int(columns)) if rows and columns else None
            sop_class, modality, patient, study, view, body_part = texts
            if not sop_class:
                sop_class = str(elements.file_meta.get("MediaStorageSOPClassUID") or "")
                if size is None and sop_class != DIRECTORY:  # cut off before it says anything
                    return None
            return Header(sop_class, modality, patient, study, view, body_part, size)
    except BadImageError:
        return None
