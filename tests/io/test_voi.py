"""Windows against the standard's own examples and a twin written case by case."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ImplicitVRLittleEndian

from xraysr.errors import BadImageError
from xraysr.io.dicom import read_dicom
from xraysr.io.radiograph import Radiograph
from xraysr.io.voi import display, linear, linear_exact, sigmoid

SaveDicom = Callable[..., Path]

STORED = np.arange(0, 4096, 5, np.uint16).reshape(20, 41)


def twin(name: str, x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.2.1 and C.11.2.1.3 for one value, ymin 0 and ymax 1."""
    if name == "SIGMOID":
        return 1 / (1 + math.exp(min(-4 * (x - c) / w, 700)))
    if name == "LINEAR_EXACT":
        low, high, ramp = c - w / 2, c + w / 2, lambda: (x - c) / w + 0.5
    else:
        low, high = c - 0.5 - (w - 1) / 2, c - 0.5 + (w - 1) / 2
        ramp = lambda: (x - (c - 0.5)) / (w - 1) + 0.5  # noqa: E731
    return 0.0 if x <= low else 1.0 if x > high else ramp()


@pytest.mark.parametrize(
    ("center", "width", "last_black", "last_grey"),
    [(2048, 4096, 0, 4095), (2048, 1, 2047.5, 2047.5), (0, 100, -50, 49), (0, 1, -0.5, -0.5)],
)
def test_linear_as_in_the_standards_examples(
    center: float, width: float, last_black: float, last_grey: float
) -> None:
    """The four examples of the note in PS3.3 C.11.2.1.2.1."""
    step = np.array([-1, 0, 1e-6])
    black = linear(last_black + step, center, width)
    white = linear(last_grey + step[::-1], center, width)
    assert black[:2].tolist() == [0, 0] and white[0] == 1
    if width > 1:
        assert 0 < black[2] < 1e-6 and white[1] == 1 and white[2] < 1


@pytest.mark.parametrize(
    ("name", "function"), [("LINEAR", linear), ("LINEAR_EXACT", linear_exact), ("SIGMOID", sigmoid)]
)
@pytest.mark.parametrize(("center", "width"), [(550, 1024), (-20.5, 33), (100, 1), (40, 2.5)])
def test_functions_against_the_twin(name: str, function, center: float, width: float) -> None:
    values = np.linspace(-300, 1500, 1801)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = function(values, center, width)
    expected = [twin(name, value, center, width) for value in values]
    np.testing.assert_allclose(shown, expected, atol=1e-12)


def test_sigmoid_far_from_its_center_does_not_overflow() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sigmoid(np.array([-1e6, 1e6]), 0, 1) == pytest.approx([0, 1])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("slope", [0.684, -2.0])
@pytest.mark.parametrize("name", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_in_modality_values(
    save_dicom: SaveDicom, name: str, slope: float, photometric: str
) -> None:
    center, width = 200 + slope * 1500, 1200
    tags = {"RescaleSlope": str(slope), "RescaleIntercept": "200", "VOILUTFunction": name}
    tags |= {"WindowCenter": [str(center), "1"], "WindowWidth": [str(width), "2"]}
    path = save_dicom(STORED, PhotometricInterpretation=photometric, **tags)
    shown = display(read_dicom(path))
    expected = [twin(name, 200 + slope * int(value), center, width) for value in STORED.ravel()]
    expected = np.reshape(expected, STORED.shape)
    if photometric == "MONOCHROME1":
        expected = 1 - expected
    assert (shown.bits, shown.pixels.dtype) == (12, np.float32)
    np.testing.assert_allclose(shown.pixels, expected, atol=2e-6)
    assert 0.2 < shown.pixels.mean() < 0.8


def test_an_8_bit_window_over_everything_changes_nothing(save_dicom: SaveDicom) -> None:
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    radiograph = read_dicom(save_dicom(stored, WindowCenter="128", WindowWidth="256"))
    np.testing.assert_allclose(display(radiograph).pixels, radiograph.pixels, atol=1e-6)


def voi_lut(first: int, entries: list[int], bits: int, vr: str = "US") -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return [item]


def test_voi_lut_with_its_ends(save_dicom: SaveDicom) -> None:
    stored = np.array([[0, 999, 1000, 1001, 1002, 4095]], np.uint16)
    path = save_dicom(stored, VOILUTSequence=voi_lut(1000, [10, 20, 255], 8))
    shown = display(read_dicom(path)).pixels * 255
    np.testing.assert_allclose(shown, [[10, 10, 10, 20, 255, 255]], atol=0.1)


def test_voi_lut_of_8_bits_with_more_than_256_entries(save_dicom: SaveDicom) -> None:
    entries = (np.arange(4096) // 16).tolist()
    shown = display(read_dicom(save_dicom(STORED, VOILUTSequence=voi_lut(0, entries, 8))))
    assert np.abs(shown.pixels * 255 - STORED // 16).max() < 0.01


def test_voi_lut_with_a_negative_first_value_read_as_unsigned(save_dicom: SaveDicom) -> None:
    stored = np.array([[0, 1, 2, 3]], np.uint16)
    sequence = voi_lut(65536 - 1024, [0, 85, 170, 255], 8)
    tags = {"RescaleSlope": "1", "RescaleIntercept": "-1024", "VOILUTSequence": sequence}
    shown = display(read_dicom(save_dicom(stored, ImplicitVRLittleEndian, **tags)))
    np.testing.assert_allclose(shown.pixels * 255, [[0, 85, 170, 255]], atol=0.1)


def test_the_window_goes_before_the_lut(save_dicom: SaveDicom) -> None:
    window = {"WindowCenter": "1000", "WindowWidth": "500"}
    sequence = voi_lut(0, [0, 255], 8)
    both = display(read_dicom(save_dicom(STORED, **window, VOILUTSequence=sequence)))
    alone = display(read_dicom(save_dicom(STORED, **window)))
    np.testing.assert_array_equal(both.pixels, alone.pixels)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"WindowCenter": "100"},
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": "100", "WindowWidth": "0"},
        {"WindowCenter": "100", "WindowWidth": "0.5"},
        {"WindowCenter": "100", "WindowWidth": "-3", "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": "100", "WindowWidth": "50", "VOILUTFunction": "CUBIC"},
        {"VOILUTSequence": [Dataset()]},
    ],
)
def test_without_a_usable_window_nothing_changes(
    save_dicom: SaveDicom, tags: dict[str, str]
) -> None:
    radiograph = read_dicom(save_dicom(STORED, **tags))
    assert display(radiograph) is radiograph


def test_a_damaged_window_names_the_film(save_dicom: SaveDicom) -> None:
    path = save_dicom(STORED, WindowCenter="1000", WindowWidth="500")
    damaged = path.read_bytes().replace(b"\x28\x00\x51\x10DS", b"\x28\x00\x51\x10D0")
    path.write_bytes(damaged)
    with pytest.raises(BadImageError, match=r"film\.dcm: truncated or damaged"):
        display(read_dicom(path))


def test_without_a_header_nothing_changes() -> None:
    radiograph = Radiograph(np.zeros((2, 2), np.float32))
    assert display(radiograph) is radiograph


def test_showing_twice_is_showing_once(save_dicom: SaveDicom) -> None:
    once = display(read_dicom(save_dicom(STORED, WindowCenter="1000", WindowWidth="500")))
    assert display(once) is once


def test_an_enlarged_film_with_its_sources_header(save_dicom: SaveDicom) -> None:
    radiograph = read_dicom(save_dicom(STORED, WindowCenter="1000", WindowWidth="500"))
    large = replace(radiograph, pixels=radiograph.pixels.repeat(3, 0).repeat(3, 1))
    expected = display(radiograph).pixels.repeat(3, 0).repeat(3, 1)
    np.testing.assert_array_equal(display(large).pixels, expected)


def test_real_windows(shared_data: Path) -> None:
    cr = Path(get_testdata_file("dicomdirtests/77654033/CR1/6154", download=False))
    for path, slope, intercept, center, width in (
        (cr, 0.684, 200, 1600, 2800),
        (shared_data / "dicom/RG3_J2KR.dcm", 1, 0, 550, 1024),
    ):
        values = slope * dcmread(path).pixel_array.astype(np.float64) + intercept
        expected = 1 - np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
        np.testing.assert_allclose(display(read_dicom(path)).pixels, expected, atol=2e-6)


def test_real_voi_lut(shared_data: Path) -> None:
    path = shared_data / "dicom/vlut_04.dcm"
    film = dcmread(path)
    entries = np.array(film.VOILUTSequence[0].LUTData)
    expected = entries[film.pixel_array] / 65535
    np.testing.assert_allclose(display(read_dicom(path)).pixels, expected, atol=1e-3)
