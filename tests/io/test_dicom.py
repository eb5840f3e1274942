"""DICOM films against arithmetic done here by hand, and real ones."""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from xraysr.errors import BadImageError, UserError
from xraysr.io.dicom import read_dicom, read_elements

SaveDicom = Callable[..., Path]

STORED = np.array([[0, 1, 2047], [2048, 4094, 4095]], np.uint16)


def wheel(name: str) -> Path:
    return Path(get_testdata_file(name, download=False))


def lut(descriptor: list[int], data: object, vr: str = "US") -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if descriptor[1] < 0 else "US", descriptor)
    item.add_new("LUTData", vr, data)
    return [item]


def test_twelve_bits(save_dicom: SaveDicom) -> None:
    radiograph = read_dicom(save_dicom(STORED))
    assert (radiograph.bits, radiograph.pixels.dtype) == (12, np.float32)
    np.testing.assert_allclose(radiograph.pixels, STORED / 4095, atol=1e-7)
    np.testing.assert_array_equal(radiograph.stored(), STORED)


def test_the_range_is_the_headers_not_the_pixels(save_dicom: SaveDicom) -> None:
    dim = np.full((2, 2), 100, np.uint16)
    np.testing.assert_allclose(read_dicom(save_dicom(dim)).pixels, 100 / 4095, rtol=1e-6)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_encodings(save_dicom: SaveDicom, syntax: str) -> None:
    np.testing.assert_array_equal(read_dicom(save_dicom(STORED, syntax)).stored(), STORED)


def test_run_length_encoding(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED)
    film = dcmread(path)
    film.compress(RLELossless)
    film.save_as(path)
    np.testing.assert_array_equal(read_dicom(path).stored(), STORED)


def test_signed_pixels(save_dicom: SaveDicom) -> None:
    stored = STORED.astype(np.int16) - 2048
    np.testing.assert_array_equal(read_dicom(save_dicom(stored)).stored(), STORED)


def test_monochrome1_is_inverted_last(save_dicom: SaveDicom) -> None:
    tags = {"RescaleSlope": "2", "RescaleIntercept": "-7"}
    path = save_dicom(STORED, PhotometricInterpretation="MONOCHROME1", **tags)
    np.testing.assert_array_equal(read_dicom(path).stored(), 4095 - STORED)


def test_a_negative_slope_turns_the_film_round(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED, RescaleSlope="-0.5", RescaleIntercept="3000")
    np.testing.assert_array_equal(read_dicom(path).stored(), 4095 - STORED)


def test_high_bits_beyond_bits_stored_are_ignored(save_dicom: SaveDicom) -> None:
    overlay = STORED | np.uint16(0x8000)
    np.testing.assert_array_equal(read_dicom(save_dicom(overlay)).stored(), STORED)
    signed = (STORED.astype(np.int16) - 2048) & 0x0FFF
    np.testing.assert_array_equal(read_dicom(save_dicom(signed)).stored(), STORED)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("tags", "padded"),
    [
        ({"PixelPaddingValue": 4095}, STORED == 4095),
        (
            {"PixelPaddingValue": 2048, "PixelPaddingRangeLimit": 4094},
            (STORED > 2047) & (STORED < 4095),
        ),
        ({"PixelPaddingValue": 1, "PixelPaddingRangeLimit": 0}, STORED < 2),
        ({"PixelPaddingRangeLimit": 1}, STORED < 0),
    ],
)
def test_padding_is_black(
    save_dicom: SaveDicom, photometric: str, tags: dict[str, int], padded: np.ndarray
) -> None:
    radiograph = read_dicom(save_dicom(STORED, PhotometricInterpretation=photometric, **tags))
    inverted = photometric == "MONOCHROME1"
    expected = np.where(padded, 0, 4095 - STORED if inverted else STORED)
    np.testing.assert_array_equal(radiograph.stored(), expected)


def test_padding_may_lie_outside_bits_stored(save_dicom: SaveDicom) -> None:
    stored = np.array([[65535, 4095]], np.uint16)
    path = save_dicom(stored, PixelPaddingValue=65535)
    assert read_dicom(path).stored().tolist() == [[0, 4095]]


def test_modality_lut(save_dicom: SaveDicom) -> None:
    # Values below the first input take the first entry, those above the last one.
    sequence = lut([4, 2047, 10], [100, 200, 400, 800])
    radiograph = read_dicom(save_dicom(STORED, ModalityLUTSequence=sequence))
    assert radiograph.bits == 10
    values = np.array([[100, 100, 100], [200, 800, 800]])
    np.testing.assert_allclose(radiograph.pixels, (values - 100) / 700, atol=1e-7)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_modality_lut_in_bytes(save_dicom: SaveDicom, syntax: str) -> None:
    order = "<u2" if syntax == ImplicitVRLittleEndian else ">u2"
    entries = np.arange(4096)[::-1].astype(order)
    path = save_dicom(
        STORED, syntax, ModalityLUTSequence=lut([4096, 0, 12], entries.tobytes(), "OW")
    )
    np.testing.assert_array_equal(read_dicom(path).stored(), 4095 - STORED)


def test_modality_lut_of_packed_bytes(save_dicom: SaveDicom) -> None:
    stored = np.array([[0, 3, 255]], np.uint8)
    entries = np.arange(256, dtype=np.uint8)[::-1].tobytes()
    path = save_dicom(stored, ModalityLUTSequence=lut([256, 0, 8], entries, "OW"))
    assert read_dicom(path).stored().tolist() == [[255, 252, 0]]


def test_a_lut_of_65536_entries_counts_0(save_dicom: SaveDicom) -> None:
    stored = np.array([[0, 1, 65535]], np.uint16)
    entries = np.arange(65536)[::-1].tolist()
    data = np.array(entries, "<u2").tobytes()
    path = save_dicom(stored, BitsStored=16, ModalityLUTSequence=lut([0, 0, 16], data, "OW"))
    assert read_dicom(path).stored().tolist() == [[65535, 65534, 0]]


@pytest.mark.parametrize(
    ("tags", "spacing"),
    [
        ({"PixelSpacing": [0.2, 0.3], "ImagerPixelSpacing": [1, 1]}, (0.2, 0.3)),
        ({"ImagerPixelSpacing": [0.1, 0.1], "NominalScannedPixelSpacing": [1, 1]}, (0.1, 0.1)),
        ({"NominalScannedPixelSpacing": [0.5, 0.4]}, (0.5, 0.4)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.1, 0.1]}, (0.1, 0.1)),
        ({"PixelSpacing": "", "ImagerPixelSpacing": 0.1}, None),
        ({}, None),
    ],
)
def test_spacing(
    save_dicom: SaveDicom, tags: dict[str, object], spacing: tuple[float, float] | None
) -> None:
    assert read_dicom(save_dicom(STORED, **tags)).spacing == spacing


def test_the_header_travels_without_the_pixels(save_dicom: SaveDicom) -> None:
    stored = np.random.default_rng(0).integers(0, 4096, (300, 300)).astype(np.uint16)
    radiograph = read_dicom(save_dicom(stored, WindowCenter="2000", WindowWidth="1000"))
    header = radiograph.header
    assert header is not None and header.WindowCenter == 2000 and "PixelData" not in header
    assert len(pickle.dumps(header)) < 20_000


BAD_TAGS = {
    "SamplesPerPixel is 3 and Phot": {"SamplesPerPixel": 3},
    "SamplesPerPixel is 1 and PhotometricInterpretation RGB": {"PhotometricInterpretation": "RGB"},
    "PhotometricInterpretation is PALETTE COLOR": {"PhotometricInterpretation": "PALETTE COLOR"},
    "PhotometricInterpretation is missing": {"PhotometricInterpretation": None},
    "holds 2 frames": {"NumberOfFrames": 2, "Rows": 1},
    "holds no pixel data": {"PixelData": None},
    "holds no pixel data .modality CR": {"PixelData": b""},
    "RescaleSlope is 0": {"RescaleSlope": "0", "RescaleIntercept": "5"},
    "BitsStored is 17, more than BitsAllocated, 16": {"BitsStored": 17},
    "BitsStored is 20. Expected 1 to 16": {"BitsAllocated": 32, "BitsStored": 20},
    "BitsAllocated or BitsStored is missing": {"BitsAllocated": None},
    "maps all pixels to one value": {"ModalityLUTSequence": lut([2, 0, 12], [7, 7])},
    "look-up table is incomplete": {"ModalityLUTSequence": [Dataset()]},
    "look-up table has 2 entries": {"ModalityLUTSequence": lut([9, 0, 12], [7, 8])},
    "cannot be decoded.+less than expected": {"Rows": 100},
    "Rows is missing": {"Rows": None},
    "enough for 6 frames": {"PixelData": bytes(76)},
}


@pytest.mark.parametrize("reason", BAD_TAGS)
def test_bad_headers_are_named(save_dicom: SaveDicom, reason: str) -> None:
    path = save_dicom(STORED, **BAD_TAGS[reason])
    with pytest.raises(BadImageError, match=rf"film\.dcm: .*{reason}"):
        read_dicom(path)


def test_a_number_that_is_none(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED, RescaleSlope="1.25", RescaleIntercept="0")
    path.write_bytes(path.read_bytes().replace(b"1.25", b"a.bc"))
    with pytest.raises(BadImageError, match=r"film\.dcm: "):
        read_dicom(path)


def test_missing_transfer_syntax() -> None:
    """Without one it is read as implicit little endian; this one is no film."""
    with pytest.raises(BadImageError, match="SamplesPerPixel is missing"):
        read_dicom(wheel("meta_missing_tsyntax.dcm"))


def test_a_missing_codec_is_said_to_be_installable(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED)
    data = path.read_bytes().replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2.9\x00")
    path.write_bytes(data)
    with pytest.raises(BadImageError, match=r"no installed codec.*pip install xraysr\[dicom\]"):
        read_dicom(path)


def test_jpeg_extended_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(
        BadImageError, match=r"JPEG Extended of 12 bits.*pip install xraysr\[dicom\]"
    ):
        read_dicom(wheel("JPGExtended.dcm"))


def test_truncated_files() -> None:
    with pytest.raises(BadImageError, match=r"MR_truncated\.dcm: .*less than expected"):
        read_dicom(wheel("MR_truncated.dcm"))


@pytest.mark.parametrize("source", ["own", "rsna_cr_monochrome2.dcm"])
def test_truncated_anywhere(
    save_dicom: SaveDicom, request: pytest.FixtureRequest, tmp_path: Path, source: str
) -> None:
    if source == "own":
        whole = save_dicom(STORED).read_bytes()
    else:
        whole = (request.getfixturevalue("shared_data") / "dicom" / source).read_bytes()
    path = tmp_path / "cut.dcm"
    for size in np.linspace(1, len(whole) - 10, 40).astype(int):
        path.write_bytes(whole[:size])
        with pytest.raises(BadImageError, match=r"cut\.dcm: "):
            read_dicom(path)


def test_damage_raises_nothing_but_bad_image(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED, RescaleSlope="1", RescaleIntercept="0", PixelPaddingValue=0)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(2), 0
    for _ in range(200):
        data = bytearray(whole)
        for place in rng.integers(132, len(data), 6):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            read_dicom(path)
        except BadImageError as error:
            assert str(error).startswith(str(path))
            refused += 1
    assert refused > 20


def test_warnings_stay_silent(save_dicom: SaveDicom, capfd: pytest.CaptureFixture[str]) -> None:
    longer = STORED.tobytes() + bytes(6)
    path = save_dicom(STORED, PixelData=longer, StudyDate="20200101")
    path.write_bytes(path.read_bytes().replace(b"20200101", b"2020-1-1"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_dicom(path).stored(), STORED)
    assert capfd.readouterr() == ("", "")


def test_elements_from_the_header_alone(save_dicom: SaveDicom, tmp_path: Path) -> None:
    header = read_elements(wheel("dicomdirtests/77654033/CR1/6154"), ["PatientID"])
    assert header.PatientID == "77654033" and "Rows" not in header
    path = save_dicom(STORED, PatientID="A 7")
    path.write_bytes(path.read_bytes()[:-8])  # the pixels are not needed
    assert read_elements(path, ["PatientID", "Rows"]).PatientID == "A 7"
    with pytest.raises(UserError, match="no such file"):
        read_elements(tmp_path / "gone.dcm", ["PatientID"])
    path.write_text("not DICOM at all " * 20)
    with pytest.raises(BadImageError, match=r"film\.dcm: not a DICOM file"):
        read_elements(path, ["PatientID"])


@pytest.mark.parametrize("name", ["CR1/6154", "CR2/6247", "CR3/6278"])
def test_real_computed_radiographs(name: str) -> None:
    path = wheel(f"dicomdirtests/77654033/{name}")
    radiograph = read_dicom(path)
    assert (radiograph.bits, radiograph.spacing) == (12, (0.1, 0.1))
    expected = 1 - dcmread(path).pixel_array / 4095  # MONOCHROME1; the slope cancels out
    np.testing.assert_allclose(radiograph.pixels, expected, atol=1e-6)


def test_twins_of_both_polarities(shared_data: Path) -> None:
    one, two = (
        read_dicom(shared_data / f"dicom/rsna_cr_monochrome{number}.dcm") for number in (1, 2)
    )
    assert (two.size, two.bits, two.spacing) == ((1024, 1024), 8, (0.168, 0.168))
    np.testing.assert_array_equal(one.stored(), 255 - two.stored())


def test_jpeg_2000(shared_data: Path) -> None:
    path = shared_data / "dicom/RG3_J2KR.dcm"
    radiograph = read_dicom(path)
    assert (radiograph.size, radiograph.bits) == ((1760, 1760), 10)
    np.testing.assert_array_equal(radiograph.stored(), 1023 - dcmread(path).pixel_array)


def test_real_modality_lut(shared_data: Path) -> None:
    path = shared_data / "dicom/mlut_18.dcm"
    film = dcmread(path)
    values = apply_modality_lut(film.pixel_array, film).astype(np.float64)
    entries = np.array(film.ModalityLUTSequence[0].LUTData, np.float64)
    expected = (values - entries.min()) / (entries.max() - entries.min())
    radiograph = read_dicom(path)
    assert radiograph.bits == 16
    np.testing.assert_allclose(radiograph.pixels, expected, atol=1e-6)
