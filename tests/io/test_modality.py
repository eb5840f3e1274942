"""The modality table, and the way back from pixels that films of another size need."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset

from xraysr.io.modality import modality_of


def header(**tags: object) -> Dataset:
    made = Dataset()
    defaults = {
        "BitsAllocated": 16,
        "BitsStored": 12,
        "PixelRepresentation": 0,
        "PhotometricInterpretation": "MONOCHROME2",
    }
    for keyword, value in (defaults | tags).items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(
    ("tags", "first", "low", "high"),
    [
        ({}, 0, 0, 4095),
        ({"PixelRepresentation": 1}, -2048, -2048, 2047),
        ({"RescaleSlope": 2, "RescaleIntercept": -1000}, 0, -1000, 7190),
        ({"RescaleSlope": -1, "RescaleIntercept": 0}, 0, -4095, 0),
        ({"RescaleSlope": 2}, 0, 0, 8190),
        ({"BitsStored": 8}, 0, 0, 255),
    ],
)
def test_range(tags: dict[str, object], first: int, low: float, high: float) -> None:
    modality = modality_of(header(**tags))
    assert (modality.first, modality.low, modality.high) == (first, low, high)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("slope", [0.684, -3.0])
def test_values_undo_pixels(photometric: str, slope: float) -> None:
    tags = {"RescaleSlope": slope, "RescaleIntercept": 200}
    modality = modality_of(header(PhotometricInterpretation=photometric, **tags))
    stored = np.arange(4096).reshape(64, 64)
    pixels = modality.pixels(stored)
    assert (pixels.min(), pixels.max()) == (0, 1)
    np.testing.assert_allclose(modality.values(pixels), slope * stored + 200, atol=1e-3)
