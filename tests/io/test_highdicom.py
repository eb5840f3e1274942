"""Reading and windows against highdicom, whose reader shares no line with ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, Sequence, dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import pixel_array

from xraysr.io import read
from xraysr.io.modality import modality_of
from xraysr.io.voi import display

pytest.importorskip("highdicom", reason="needs highdicom, which is for development only")
import highdicom
from highdicom.pixels import apply_voi_window

SaveDicom = Callable[..., Path]
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
SETTINGS = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def modality_values(path: Path) -> np.ndarray:
    """highdicom's, float64. Its padding and inversion are left out: they are ours to do."""
    image = highdicom.imread(path)
    return image.get_frame(1, apply_voi_transform=False, apply_presentation_lut=False)


def windowed(values: np.ndarray, header: Dataset) -> np.ndarray:
    """highdicom's window over its modality values.

    Its own reader takes slope and intercept into the window instead, and then forgets that the
    -0.5 and -1 of LINEAR are modality values too.
    """
    shown = apply_voi_window(
        values, header.WindowCenter, header.WindowWidth, header.get("VOILUTFunction", "LINEAR")
    )
    return 1 - shown if header.PhotometricInterpretation == "MONOCHROME1" else shown


def lut(first: int, entries: list[int], bits: int, signed: bool = False) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return Sequence([item])


@st.composite
def films(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, object]]:
    """Stored values over the whole range, with a header that goes with them."""
    bits = draw(st.sampled_from([8, 10, 12, 14, 16]))
    signed = draw(st.booleans())
    kind = ("i" if signed else "u") + ("1" if bits == 8 else "2")
    first = -(1 << (bits - 1)) if signed else 0
    seed = draw(st.integers(0, 2**16))
    stored = np.random.default_rng(seed).integers(first, first + (1 << bits), (5, 7))
    stored[0, :2] = first, first + (1 << bits) - 1
    slope = draw(st.sampled_from([1.0, 0.684, 2.0, 0.01, -1.0, -0.25]))
    intercept = draw(st.sampled_from([0.0, 200.0, -1024.0, 0.5]))
    ends = slope * np.array([first, first + (1 << bits) - 1]) + intercept
    tags = {
        "BitsStored": bits,
        "PhotometricInterpretation": draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"])),
        "RescaleSlope": slope,
        "RescaleIntercept": intercept,
        "VOILUTFunction": draw(st.sampled_from(FUNCTIONS)),
        "WindowCenter": round(float(np.interp(draw(st.floats(0, 1)), [0, 1], np.sort(ends))), 4),
        "WindowWidth": round(1.5 + draw(st.floats(0, 1)) * float(np.ptp(ends)), 4),
    }
    return stored.astype(kind), tags


@SETTINGS
@given(films())
def test_modality_values_and_windows(
    save_dicom: SaveDicom, film: tuple[np.ndarray, dict[str, object]]
) -> None:
    stored, tags = film
    path = save_dicom(stored, **tags)
    radiograph = read(path)
    header = radiograph.header
    assert header is not None
    modality, values = modality_of(header), modality_values(path)
    span = modality.high - modality.low
    np.testing.assert_allclose(modality.values(radiograph.pixels), values, atol=1e-7 * span)
    if any(notice.code == "window-outside" for notice in radiograph.notices):
        return  # by now the full range
    # float32 pixels are exact to 6e-8 of the span, and a window stretches that by span / width.
    steepest = span / max(header.WindowWidth - 1, 1e-3)
    mine, theirs = display(radiograph).pixels, windowed(values, header)
    if steepest > 1e4:  # a step: where its sides meet, rounding decides
        aside = np.abs(values - header.WindowCenter) > 1
        mine, theirs = mine[aside], theirs[aside]
    np.testing.assert_allclose(mine, theirs, atol=1e-7 * steepest + 1e-6)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_modality_luts(save_dicom: SaveDicom, photometric: str, signed: bool) -> None:
    first = -100 if signed else 100
    stored = np.random.default_rng(0).integers(first - 50, first + 350, (9, 8))
    stored = stored.astype(np.int16 if signed else np.uint16)
    entries = (np.arange(300)[::-1] ** 2 // 2).tolist()
    path = save_dicom(
        stored,
        PhotometricInterpretation=photometric,
        ModalityLUTSequence=lut(first, entries, 16, signed),
    )
    radiograph = read(path)
    expected = modality_values(path)
    values = modality_of(radiograph.header).values(radiograph.pixels)
    np.testing.assert_allclose(values, expected, atol=1e-2)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("intercept", [0, -100])
def test_voi_luts(save_dicom: SaveDicom, intercept: int, photometric: str) -> None:
    stored = np.random.default_rng(0).integers(0, 4096, (9, 8)).astype(np.uint16)
    entries = np.random.default_rng(1).integers(0, 65536, 3000).tolist()
    path = save_dicom(
        stored,
        PhotometricInterpretation=photometric,
        RescaleSlope=1,
        RescaleIntercept=intercept,
        VOILUTSequence=lut(500, entries, 16),
    )
    theirs = highdicom.imread(path).get_frame(1, apply_voi_transform=True)
    # Theirs spreads the entries that are there over the range, ours what their bits can hold.
    low, high = min(entries), max(entries)
    theirs = 1 - theirs if photometric == "MONOCHROME1" else theirs
    expected = (low + theirs * (high - low)) / 65535
    expected = 1 - expected if photometric == "MONOCHROME1" else expected
    np.testing.assert_allclose(display(read(path)).pixels, expected, atol=2e-3)


def real(shared_data: Path) -> list[Path]:
    names = ("CR1/6154", "CR2/6247", "CR3/6278")
    wheel = [get_testdata_file(f"dicomdirtests/77654033/{n}", download=False) for n in names]
    return [*map(Path, wheel), *sorted((shared_data / "dicom").glob("*.dcm"))]


def test_real_films(shared_data: Path) -> None:
    seen = 0
    for path in real(shared_data):
        radiograph, values = read(path), modality_values(path)
        header = radiograph.header
        assert header is not None
        modality = modality_of(header)
        tolerance = 1e-7 * (modality.high - modality.low)
        # mlut_18 leaves the sign out of the high bits, where highdicom looks for it.
        film = dcmread(path)
        clean = pixel_array(film, correct_unused_bits=False) == pixel_array(film)
        assert clean.mean() > 0.3
        mine = modality.values(radiograph.pixels)
        np.testing.assert_allclose(mine[clean], values[clean], atol=tolerance)
        if "WindowCenter" in header:
            mine = display(radiograph).pixels
            np.testing.assert_allclose(mine, windowed(values, header), atol=1e-6)
            seen += 1
    assert seen >= 4
