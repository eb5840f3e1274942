"""Films to DICOM files: a header, and native pixel data as it comes (explicit, little endian)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xraysr.errors import BadImageError, UserError
from xraysr.io.derivation import DESCRIPTION, secondary_capture
from xraysr.io.derived import derived, refuse_unfit
from xraysr.io.modality import frame_header
from xraysr.io.radiograph import ascii_line
from xraysr.io.safe_decoding import decoding
from xraysr.io.stored import storage_of
from xraysr.io.strips import Job, Put

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset
    from pydicom.tag import BaseTag

SIDE = 65535  # Rows and Columns have 16 bits
LARGEST = 2**32 - 2  # bytes: the length of an element has 32 bits, is even, and not all ones


@contextmanager
def dicom(path: Path, job: Job) -> Iterator[Put]:
    """A derived image where the film has a DICOM header, else a secondary capture."""
    height, width = job.size
    origin = job.like.source or path
    if max(job.size) > SIDE:
        raise BadImageError(
            f"{origin}: a DICOM image has at most {SIDE} pixels a side. "
            f"Received: {width} x {height}. Write a .tif file instead"
        )
    _need_pydicom()
    refuse_unfit(job)
    with decoding(job.like.source or Path("DICOM header")):
        header = secondary_capture(job) if job.like.header is None else derived(job)
        source = header if job.like.header is None else job.like.header
        number = job.like.frame[0]
        storage = storage_of(
            frame_header(source, number),
            frame_header(header, number if job.frames > 1 else 1),
        )
        length = height * width * job.frames * storage.dtype.itemsize
        start = _encoded(header)
    even = length + length % 2
    if even > LARGEST:
        raise BadImageError(
            f"{origin}: the pixels of a DICOM image have at most 4 GB. "
            f"Received: {length / 1e9:.1f} GB. Write a .tif file instead"
        )
    kind = b"OB" if storage.dtype.itemsize == 1 else b"OW"
    padding = job.like.padding if job.frames == 1 and "PixelPaddingValue" in header else None
    done = 0

    def put(rows: np.ndarray) -> None:
        nonlocal done
        padded = None
        if padding is not None:
            padded = _enlarged(padding, job.size, done, done + len(rows))
        file.write(storage.integers(rows, padded).tobytes())
        done += len(rows)

    with path.open("wb") as file:
        file.write(start + struct.pack("<HH2sHI", 0x7FE0, 0x0010, kind, 0, even))
        yield put
        file.write(bytes(even - length))


def _need_pydicom() -> None:
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise UserError(
            "DICOM output needs pydicom, and that is not installed here. pip install pydicom"
        ) from error


def _enlarged(mask: np.ndarray, size: tuple[int, int], top: int, bottom: int) -> np.ndarray:
    """Rows `top` to `bottom` of `mask` at `size`, each of its pixels a block."""
    rows = np.arange(top, bottom) * len(mask) // size[0]
    columns = np.arange(size[1]) * mask.shape[1] // size[1]
    return mask[rows[:, None], columns]


def _encoded(header: FileDataset) -> bytes:
    """The file up to its pixel data; elements that no writer takes are left out, and named."""
    try:
        return _written(header)
    except Exception:
        lost = sorted(_drop_unwritable(header))
    text = f"{header.DerivationDescription}; left out, as it breaks the standard: {', '.join(lost)}"
    header.DerivationDescription = text[:DESCRIPTION]
    return _written(header)


def _written(header: FileDataset) -> bytes:
    from pydicom import dcmwrite

    file = io.BytesIO()
    dcmwrite(file, header, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return file.getvalue()


def _drop_unwritable(dataset: Dataset) -> set[str]:
    """Mends text that its character set lacks, and removes what still cannot be written."""
    from pydicom.datadict import keyword_for_tag

    lost: set[str] = set()
    for tag in list(dataset.keys()):
        if _is_writable(dataset, tag):
            continue
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                for item in element.value:
                    lost |= _drop_unwritable(item)
            elif isinstance(element.value, str):
                element.value = ascii_line(element.value)
        except Exception:
            pass
        if not _is_writable(dataset, tag):
            del dataset[tag]
            lost.add(keyword_for_tag(tag) or str(tag))
    return lost


def _is_writable(dataset: Dataset, tag: BaseTag) -> bool:
    from pydicom import Dataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = False, True
    single = Dataset()
    single.PixelRepresentation = dataset.get("PixelRepresentation", 0)
    try:
        single[tag] = dataset.get_item(tag)
        write_dataset(file, single)
    except Exception:
        return False
    return True
