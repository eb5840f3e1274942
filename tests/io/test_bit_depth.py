"""Grey levels survive: exactly through files, to half a level through a model that only resizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from xraysr.io import Radiograph, read, write
from xraysr.lanczos import lanczos_matrix, resize
from xraysr.spec import ModelSpec
from xraysr.upscale import Upscaler

SaveDicom = Callable[..., Path]
DEPTHS = [8, 10, 12, 14, 16]
SCALE = 2


class Lanczos:
    """Enlarges by Lanczos, in float32, as a network that has learnt nothing else would."""

    spec = ModelSpec("lanczos", SCALE, receptive_radius=3, weights_sha256="")

    def run(self, batch: np.ndarray) -> np.ndarray:
        rows, columns = (
            lanczos_matrix(side, SCALE * side).astype(np.float32) for side in batch.shape[1:3]
        )
        return np.einsum("oh,nhwc,pw->nopc", rows, batch, columns)


UPSCALER = Upscaler(Lanczos())


def all_levels(bits: int, signed: bool = False) -> np.ndarray:
    """Every stored value once, in a random order."""
    first = -(1 << (bits - 1)) if signed else 0
    values = np.random.default_rng(bits).permutation(1 << bits) + first
    kind = ("i" if signed else "u") + ("1" if bits == 8 else "2")
    return values.reshape(1 << (bits // 2), -1).astype(kind)


def smooth(bits: int, first: int = 0) -> np.ndarray:
    """A film without steep edges, so that Lanczos stays within the range."""
    row, column = np.arange(40)[:, None] / 9, np.arange(56) / 7
    unit = 0.5 + 0.4 * np.sin(row) * np.cos(column)
    return np.round(unit * ((1 << bits) - 1)).astype(int) + first


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("signed", "slope", "intercept"),
    [(False, "1", "0"), (True, "1", "0"), (False, "0.684", "200"), (True, "-0.3", "-1024.5")],
)
def test_dicom_is_exact(
    save_dicom: SaveDicom, bits: int, photometric: str, signed: bool, slope: str, intercept: str
) -> None:
    stored = all_levels(bits, signed)
    tags = {"RescaleSlope": slope, "RescaleIntercept": intercept, "BitsStored": bits}
    path = save_dicom(stored, PhotometricInterpretation=photometric, **tags)
    out = path.with_name("out.dcm")
    write(out, read(path))
    after = dcmread(out)
    np.testing.assert_array_equal(after.pixel_array, stored)
    for keyword in ("BitsStored", "BitsAllocated", "HighBit", "PixelRepresentation"):
        assert after[keyword] == dcmread(path)[keyword]


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".dcm"])
def test_pictures_are_exact(tmp_path: Path, suffix: str, bits: int) -> None:
    stored, levels = all_levels(bits), (1 << bits) - 1
    path = tmp_path / f"a{suffix}"
    write(path, Radiograph((stored / levels).astype(np.float32), bits))
    again = read(path)
    assert again.bits == (bits if suffix == ".dcm" else 8 if bits == 8 else 16)
    found = np.round(again.pixels.astype(np.float64) * levels)
    np.testing.assert_array_equal(found, stored)
    # And once more, as a film that goes through a second program would.
    write(path, again, overwrite=True)
    np.testing.assert_array_equal(read(path).pixels, again.pixels)


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("signed", "slope"), [(False, "1"), (True, "0.684"), (False, "-2")])
def test_dicom_through_lanczos_is_rounded_and_no_more(
    save_dicom: SaveDicom, bits: int, photometric: str, signed: bool, slope: str
) -> None:
    first = -(1 << (bits - 1)) if signed else 0
    kind = ("i" if signed else "u") + ("1" if bits == 8 else "2")
    stored = smooth(bits, first).astype(kind)
    tags = {"RescaleSlope": slope, "RescaleIntercept": "-7", "BitsStored": bits}
    path = save_dicom(stored, PhotometricInterpretation=photometric, **tags)
    out = path.with_name("out.dcm")
    write(out, UPSCALER(read(path)))
    exact = resize(stored, (80, 112))
    # Half a level, and what float32 leaves of 16 bits after two passes: 2**-24 x 65535 x 4.
    error = np.abs(dcmread(out).pixel_array - exact).max()
    assert error <= 0.5 + 4 * 2**-24 * (1 << bits)
    assert error > 0.4  # it was there to be rounded


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pictures_through_lanczos_are_rounded_and_no_more(
    tmp_path: Path, suffix: str, bits: int
) -> None:
    stored, levels = smooth(bits), (1 << bits) - 1
    path = tmp_path / f"a{suffix}"
    write(path, Radiograph((stored / levels).astype(np.float32), bits))
    out = tmp_path / f"out{suffix}"
    write(out, UPSCALER(read(path)))
    file_levels = 255 if bits == 8 else 65535
    exact = resize(stored / levels, (80, 112)) * file_levels
    found = np.round(read(out).pixels.astype(np.float64) * file_levels)
    # The LR itself was rounded to the file's 16 bits, which Lanczos passes on times at most 1.5.
    allowed = 0.5 if bits in (8, 16) else 0.5 + 0.5 * 1.5
    assert np.abs(found - exact).max() <= allowed + 4 * 2**-24 * file_levels
