"""Every transfer syntax that can be encoded here comes back, and every file of pydicom's own."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import dcmread
from pydicom.pixels import pixel_array

from xraysr.errors import BadImageError
from xraysr.io import read
from xraysr.io.modality import modality_of

gdcm = pytest.importorskip("gdcm", reason="needs the extra `dicom`: pip install xraysr[dicom]")

SaveDicom = Callable[..., Path]
LOSSLESS = (
    "ImplicitVRLittleEndian", "ExplicitVRLittleEndian", "ExplicitVRBigEndian",
    "DeflatedExplicitVRLittleEndian", "RLELossless", "JPEGLosslessProcess14",
    "JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "JPEG2000",
)  # fmt: skip


def encode(path: Path, syntax: str) -> Path:
    """The same film in another transfer syntax, by GDCM."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), None
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    out = path.with_name(f"{syntax}.dcm")
    writer.SetFileName(str(out))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return out


def film(bits: int, signed: bool = False, size: tuple[int, int] = (33, 24)) -> np.ndarray:
    """A smooth film with noise in its last bits, over the whole range."""
    wave = np.sin(np.arange(size[0])[:, None] / 7) * np.cos(np.arange(size[1]) / 5)
    noise = np.random.default_rng(bits).integers(0, 4, size)
    stored = np.clip(((wave + 1) / 2 * ((1 << bits) - 1)).round() + noise, 0, (1 << bits) - 1)
    kind = ("i" if signed else "u") + ("1" if bits == 8 else "2")
    return (stored - (1 << (bits - 1)) * signed).astype(kind)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless(save_dicom: SaveDicom, syntax: str, bits: int, signed: bool) -> None:
    stored = film(bits, signed)
    if syntax == "ExplicitVRBigEndian":
        path = save_dicom(stored, pydicom.uid.ExplicitVRBigEndian, BitsStored=bits)
    else:
        path = encode(save_dicom(stored, BitsStored=bits), syntax)
    radiograph = read(path)
    name = radiograph.header.file_meta.TransferSyntaxUID.keyword
    assert name.startswith(syntax.split("Process")[0])
    assert radiograph.bits == bits
    np.testing.assert_array_equal(
        radiograph.stored(), stored.astype(int) + (1 << (bits - 1)) * signed
    )
    assert radiograph.lossy == (syntax == "JPEG2000")  # which may be, and does not say


@pytest.mark.parametrize(
    ("syntax", "bits", "loss"),
    [
        ("JPEGBaselineProcess1", 8, 4),
        ("JPEGExtendedProcess2_4", 8, 4),
        ("JPEGLSNearLossless", 8, 3),
        ("JPEGLSNearLossless", 12, 3),
        ("JPEGLSNearLossless", 16, 3),
    ],
)
def test_lossy(save_dicom: SaveDicom, syntax: str, bits: int, loss: int) -> None:
    stored = film(bits)
    radiograph = read(encode(save_dicom(stored, BitsStored=bits), syntax))
    assert radiograph.lossy and radiograph.bits == bits
    assert np.abs(radiograph.stored().astype(int) - stored).max() <= loss


@pytest.mark.parametrize("end", ["201", "202", "203"])
def test_high_throughput_jpeg_2000(save_dicom: SaveDicom, end: str) -> None:
    """Nothing here encodes its blocks; the frame around them, and the codec, are JPEG 2000's."""
    stored = film(12)
    path = encode(save_dicom(stored), "JPEG2000Lossless")
    renamed = dcmread(path)
    renamed.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.4.{end}"
    renamed.save_as(path)
    radiograph = read(path)
    np.testing.assert_array_equal(radiograph.stored(), stored)
    assert radiograph.lossy == (end == "203")


@pytest.mark.parametrize(
    "syntax", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"]
)
def test_a_frame_that_claims_another_size_is_refused_before_it_is_decoded(
    save_dicom: SaveDicom, syntax: str
) -> None:
    path = encode(save_dicom(film(12)), syntax)
    data = path.read_bytes()
    old, new = struct.pack(">HH", 33, 24), struct.pack(">HH", 60000, 60000)
    if syntax == "JPEG2000Lossless":
        old, new = struct.pack(">II", 24, 33), struct.pack(">II", 60000, 60000)
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    with pytest.raises(BadImageError, match=r"is 60000 x 60000 .* header says 24 x 33"):
        read(path)


def wheel_files() -> list[Path]:
    """Every DICOM file that comes with pydicom, with pixels or without."""
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and _is_dicom(p)]


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def test_pydicoms_own_files() -> None:
    reasons = (
        "holds no pixel data", "three channels are not equal", "frames. Expected one film",
        "BitsStored is 32", "SamplesPerPixel is missing", "holds floating-point pixels",
        "holds a ", ") cannot be decoded", "its compressed image is 3722445056",
        "truncated (its compressed image has no end)",
    )  # fmt: skip
    named: dict[str, int] = {}
    decoded: dict[str, int] = {}
    for path in wheel_files():
        try:
            radiograph = read(path)
        except BadImageError as error:
            assert str(path) in str(error)
            found = [reason for reason in reasons if reason in str(error)]
            assert len(found) == 1, error
            (reason,) = found
            named[reason] = named.get(reason, 0) + 1
            continue
        source = dcmread(path)
        name = source.file_meta.TransferSyntaxUID.keyword
        decoded[name] = decoded.get(name, 0) + 1
        values = modality_of(radiograph.header)
        if name == "JPEGExtended12Bit":  # which pydicom has no codec for
            continue
        with warnings.catch_warnings(action="ignore"):
            expected = values.pixels(pixel_array(source))
        padding = radiograph.padding
        expected[padding if padding is not None else np.zeros(expected.shape, bool)] = 0
        np.testing.assert_array_equal(radiograph.pixels, expected)
    assert named["three channels are not equal"] > 20
    assert set(decoded) >= {
        "ExplicitVRLittleEndian", "ExplicitVRBigEndian", "ImplicitVRLittleEndian", "RLELossless",
        "DeflatedExplicitVRLittleEndian", "JPEG2000Lossless", "JPEG2000", "JPEGLSLossless",
        "JPEGLSNearLossless",
    }  # fmt: skip
    assert sum(decoded.values()) >= 40
