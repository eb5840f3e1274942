"""DICOM films made for the occasion, and a full disk."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
    """Writes `stored` as `film.dcm`; keywords set attributes, None removes them.

    Its shape is (height, width), or (frames, height, width).
    """

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
            "Rows": stored.shape[-2],
            "Columns": stored.shape[-1],
            "NumberOfFrames": len(stored) if stored.ndim == 3 else None,
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
            film["PixelData"].VR = "OW" if wide else "OB"
        film.save_as(path, enforce_file_format=True)
        return path

    return save


@pytest.fixture
def largest_file() -> Callable[[int], AbstractContextManager[None]]:
    """`with largest_file(size)`: writing beyond `size` bytes fails, as on a full disk."""

    @contextmanager
    def largest_file(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return largest_file
