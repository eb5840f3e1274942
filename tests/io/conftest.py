"""DICOM films made for the occasion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

SaveDicom = Callable[..., Path]


@pytest.fixture
def save_dicom(tmp_path: Path) -> SaveDicom:
    """Writes `stored` (height, width) as `film.dcm`; keywords set attributes, None removes them."""

    def save(stored: np.ndarray, syntax: str = ExplicitVRLittleEndian, **tags: object) -> Path:
        path = tmp_path / "film.dcm"
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = syntax
        meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        little, implicit = meta.TransferSyntaxUID.is_little_endian, syntax == ImplicitVRLittleEndian
        film = FileDataset(path, {}, bytes(128), meta, implicit, little)
        wide = stored.dtype.itemsize > 1
        defaults = {
            "SOPClassUID": ComputedRadiographyImageStorage,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "Modality": "CR",
            "PatientID": "P1",
            "Rows": stored.shape[0],
            "Columns": stored.shape[1],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16 if wide else 8,
            "BitsStored": 12 if wide else 8,
            "PixelRepresentation": int(stored.dtype.kind == "i"),
        }
        tags = defaults | tags
        tags.setdefault("HighBit", tags["BitsStored"] - 1)
        for keyword, value in tags.items():
            if value is not None:
                setattr(film, keyword, value)
        data = stored.astype(stored.dtype.newbyteorder("<" if little else ">")).tobytes()
        if "PixelData" not in tags:
            film.PixelData = data + b"\x00" * (len(data) % 2)
            film["PixelData"].VR = "OW"
        film.save_as(path, enforce_file_format=True)
        return path

    return save
