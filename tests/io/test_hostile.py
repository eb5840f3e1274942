"""Files made to exhaust memory, or to say two things at once."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from xraysr.errors import BadImageError, UserError
from xraysr.io import read, read_frames, write
from xraysr.io.dicom import read_elements

SaveDicom = Callable[..., Path]

STORED = np.random.default_rng(0).integers(0, 4096, (8, 9)).astype(np.uint16)

READ = """
import sys
from xraysr.io import read
from xraysr.errors import UserError
from xraysr.upscale.memory import peak_bytes
import pydicom, pydicom.pixels
before = peak_bytes()
try:
    read(sys.argv[1])
except UserError as error:
    print(error)
print((peak_bytes() - before) >> 20)
"""


def refused(path: Path) -> tuple[str, int]:
    """What reading says in a new process, and the megabytes that it took."""
    words = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    message, megabytes = done.stdout.strip().rsplit("\n", 1)
    return message, int(megabytes)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless, JPEGBaseline8Bit])
def test_large_sides_with_little_compressed_data(save_dicom: SaveDicom, syntax: str) -> None:
    data = encapsulate([b"\x01\x00\x00\x00" + bytes(60)])
    path = save_dicom(STORED, syntax, Rows=65535, Columns=65535, PixelData=data)
    message, megabytes = refused(path)
    assert "too large to open safely, as it may be a decompression bomb: 65535 x 65535" in message
    assert megabytes < 100


@pytest.mark.parametrize("frames", ["1", "999999999"])
def test_large_sides_with_little_native_data(save_dicom: SaveDicom, frames: str) -> None:
    path = save_dicom(STORED, Rows=65535, Columns=65535, NumberOfFrames=frames)
    reason = "less than expected" if frames == "1" else "NumberOfFrames is 999999999, for"
    with pytest.raises(BadImageError, match=rf"film\.dcm: .*{reason}"):
        next(read_frames(path))


def test_a_codec_is_not_asked_for_what_a_small_frame_claims(save_dicom: SaveDicom) -> None:
    """A JPEG 2000 stream of 100 bytes for 60000 x 60000 pixels, in a film of 8 x 9."""
    size = struct.pack(">HHIIIIIIIIH", 41, 0, 60000, 60000, 0, 0, 60000, 60000, 0, 0, 1)
    stream = b"\xff\x4f\xff\x51" + size + b"\x0f\x01\x01" + bytes(50)
    path = save_dicom(STORED, JPEG2000Lossless, PixelData=encapsulate([stream]))
    message, megabytes = refused(path)
    assert "its compressed image is 60000 x 60000" in message and "8" in message
    assert megabytes < 100


def test_far_more_compressed_data_than_pixels(save_dicom: SaveDicom) -> None:
    data = encapsulate([bytes(4 << 20)])
    with pytest.raises(BadImageError, match="has 4194304 bytes for 72 pixels"):
        read(save_dicom(STORED, RLELossless, PixelData=data))


def test_a_deflated_file_that_grows_without_end(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED)
    film = dcmread(path)
    film.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    film.save_as(path)
    assert read(path).size == (8, 9)
    data = path.read_bytes()
    meta = data[: 132 + 12 + struct.unpack_from("<I", data, 140)[0]]
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    grown = b"".join(deflate.compress(bytes(1 << 24)) for _ in range(40)) + deflate.flush()
    path.write_bytes(meta + grown)
    assert path.stat().st_size < 1_000_000
    message, megabytes = refused(path)
    assert "too large to open safely" in message and "deflated" in message
    assert megabytes < 100
    with pytest.raises(BadImageError, match="too large to open safely"):
        read_elements(path, ["PatientID"])


def nested(depth: int) -> bytes:
    """`depth` sequences of undefined length within each other (PS3.5 7.5)."""
    start = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    start += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return start * depth + end * depth


@pytest.mark.parametrize(("depth", "fits"), [(20, True), (5000, False), (100_000, False)])
def test_sequences_within_sequences(save_dicom: SaveDicom, depth: int, fits: bool) -> None:
    path = save_dicom(STORED, PatientName="N")
    data = path.read_bytes()
    at = data.index(struct.pack("<HH2sH", 0x7FE0, 0x0010, b"OW", 0))
    path.write_bytes(data[:at] + nested(depth) + data[at:])
    if fits:
        film = read(path)
        assert film.header.ContentSequence[0].ContentSequence
        write(path.with_name("out.dcm"), film)
        assert dcmread(path.with_name("out.dcm")).ContentSequence == film.header.ContentSequence
    else:
        with pytest.raises(BadImageError, match=r"film\.dcm: truncated or damaged"):
            read(path)


@pytest.mark.parametrize("length", [0xFFFFFFFE, 0x7FFFFFFF, 1 << 24])
@pytest.mark.parametrize("group", [0x0010, 0x7FE0])
def test_elements_that_claim_more_bytes_than_there_are(
    save_dicom: SaveDicom, group: int, length: int
) -> None:
    path = save_dicom(STORED)
    data = path.read_bytes()
    at = data.index(struct.pack("<HH2sH", 0x7FE0, 0x0010, b"OW", 0))
    claim = struct.pack("<HH2sHI", group, 0x0010, b"OW", 0, length)
    path.write_bytes(data[:at] + claim + data[at + 12 : -2])
    message, megabytes = refused(path)
    assert message.startswith(str(path)) and megabytes < 100


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"BitsStored": 12, "BitsAllocated": 8, "HighBit": 11}, "more than BitsAllocated"),
        ({"BitsStored": 0, "HighBit": 0}, "BitsStored is 0"),
        ({"BitsAllocated": 12}, "cannot be decoded"),
        ({"BitsAllocated": 32, "BitsStored": 16}, "less than expected"),
        ({"BitsAllocated": 8, "BitsStored": 8}, "enough for 2 frames"),
        ({"Rows": 0}, "Rows is 0"),
        ({"Columns": None}, "Columns is missing"),
        ({"SamplesPerPixel": 0}, "SamplesPerPixel is 0"),
        ({"PixelRepresentation": 7}, "cannot be decoded"),
    ],
)
def test_tags_that_contradict_the_pixels(
    save_dicom: SaveDicom, tags: dict[str, object], reason: str
) -> None:
    with pytest.raises(BadImageError, match=rf"film\.dcm: .*{reason}"):
        read(save_dicom(STORED, **tags))


def test_fewer_bits_stored_than_the_pixels_have(save_dicom: SaveDicom) -> None:
    """Values beyond BitsStored are taken for overlays in the high bits, as the standard has it."""
    film = read(save_dicom(STORED, BitsStored=8))
    assert film.bits == 8
    np.testing.assert_array_equal(film.stored(), STORED & 0xFF)


def test_spacings_that_contradict_each_other(save_dicom: SaveDicom) -> None:
    """The patient's plane counts, which is calibrated; both are kept, and both are divided."""
    tags = {"PixelSpacing": [0.1, 0.1], "ImagerPixelSpacing": [0.2, 0.2]}
    film = read(save_dicom(STORED, **tags))
    assert film.spacing == (0.1, 0.1)
    write(film.source.with_name("out.dcm"), film)
    after = dcmread(film.source.with_name("out.dcm"))
    assert {keyword: list(after[keyword].value) for keyword in tags} == tags


def test_both_a_modality_lut_and_a_rescaling(save_dicom: SaveDicom) -> None:
    """The LUT counts; the standard forbids both."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 16])
    item.add_new("LUTData", "US", (np.arange(4096) * 2).tolist())
    tags = {"ModalityLUTSequence": [item], "RescaleSlope": "5", "RescaleIntercept": "9"}
    film = read(save_dicom(STORED, **tags))
    np.testing.assert_allclose(film.pixels, STORED / 4095, atol=1e-6)
    write(film.source.with_name("out.dcm"), film)
    after = dcmread(film.source.with_name("out.dcm"))
    assert (after.RescaleSlope, after.RescaleIntercept) == (1, 0)
    np.testing.assert_array_equal(after.pixel_array, STORED * 2)


@pytest.mark.parametrize("name", ["a film.dcm", "Überweisung 映像.dcm", "-rf.dcm", "a\nb.dcm"])
def test_odd_names_are_read_and_named(save_dicom: SaveDicom, name: str) -> None:
    path = save_dicom(STORED).rename(save_dicom(STORED).with_name(name))
    write(path.with_name("out.dcm"), read(path))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError) as raised:
        read(path)
    assert name in str(raised.value) or name in repr(str(raised.value))
