"""Folders of tiny films, and what an index says of them, as functions."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from xraysr.films.index import FilmIndex

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
DX = "1.2.840.10008.5.1.4.1.1.1.1"


def _touch(root: Path, *names: str) -> Path:
    """Writes an 8 x 8 film of noise at each name, PNG unless the suffix says otherwise."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in (".txt", ".csv") or not path.name.strip("."):
            path.write_text("text\n")
            continue
        grey = np.random.default_rng(zlib.crc32(name.encode())).integers(0, 255, (8, 8), np.uint8)
        Image.fromarray(grey).save(path, FORMATS.get(path.suffix.lower(), "PNG"))
    return root


def _write_mask(path: Path, size: int = 64) -> Path:
    """Writes a white square on black."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : size // 2, size // 4 : size // 2] = 255
    Image.fromarray(mask).save(path, "PNG")
    return path


def _write_dicom(path: Path, sop_class: str = DX, pixels: bool = True, **elements) -> Path:
    """Writes an 8 x 8 DICOM film, or an object without pixels, with `elements` in its header."""
    number = f"1.2.826.0.1.{zlib.crc32(str(path).encode())}"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, number
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    film.SOPClassUID, film.SOPInstanceUID = sop_class, number
    if pixels:
        film.Rows = film.Columns = 8
        film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
        film.BitsAllocated, film.BitsStored, film.HighBit = 16, 12, 11
        film.PixelRepresentation = 0
        film.PixelData = np.arange(64, dtype=np.uint16).tobytes()
    for keyword, value in elements.items():
        setattr(film, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    film.save_as(path)
    return path


def _by_path(index: FilmIndex) -> dict[str, tuple[str, str | None, str]]:
    """(patient, label, split) of each film by its path below the root."""
    return {
        film.path.relative_to(index.root).as_posix(): (film.patient, film.label, film.split)
        for film in index.films
    }


def _reasons(index: FilmIndex) -> dict[str, str]:
    """Why each file was skipped, by its path below the root."""
    return {s.path.relative_to(index.root).as_posix(): s.reason for s in index.skipped}


@pytest.fixture(scope="session")
def touch():
    return _touch


@pytest.fixture(scope="session")
def write_mask():
    return _write_mask


@pytest.fixture(scope="session")
def write_dicom():
    return _write_dicom


@pytest.fixture(scope="session")
def by_path():
    return _by_path


@pytest.fixture(scope="session")
def reasons():
    return _reasons
