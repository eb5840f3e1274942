"""A picture as DICOM: a secondary capture of nobody, with the depth it had."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from xraysr.io import Provenance, Radiograph, read, strip_writer, write

PROVENANCE = Provenance("edge-x2", "ab" * 32, 2)


def film(bits: int) -> Radiograph:
    stored = np.random.default_rng(bits).integers(0, 1 << bits, (6, 9))
    return Radiograph((stored / ((1 << bits) - 1)).astype(np.float32), bits, (0.2, 0.4))


@pytest.mark.parametrize("bits", [1, 8, 10, 12, 16])
def test_what_it_says(tmp_path: Path, bits: int) -> None:
    write(tmp_path / "a.dcm", film(bits))
    made = dcmread(tmp_path / "a.dcm")
    assert made.SOPClassUID == SecondaryCaptureImageStorage
    assert (made.Modality, made.ConversionType) == ("OT", "WSD")
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate"):
        assert made[keyword].is_empty
    assert made.StudyInstanceUID and "BurnedInAnnotation" not in made
    assert (made.BitsStored, made.BitsAllocated) == (bits, 8 if bits <= 8 else 16)
    assert made.PhotometricInterpretation == "MONOCHROME2"
    np.testing.assert_array_equal(made.pixel_array, film(bits).stored())
    np.testing.assert_allclose(made.NominalScannedPixelSpacing, [0.2, 0.4])
    assert "LossyImageCompression" not in made and "SyntheticData" not in made


def test_an_enlarged_one_is_derived(tmp_path: Path) -> None:
    with strip_writer(
        tmp_path / "a.dcm", (12, 18), replace(film(8), provenance=PROVENANCE)
    ) as writer:
        writer.write(film(8).pixels.repeat(2, 0).repeat(2, 1))
    made = dcmread(tmp_path / "a.dcm")
    np.testing.assert_allclose(made.NominalScannedPixelSpacing, [0.1, 0.2])
    assert list(made.ImageType) == ["DERIVED", "SECONDARY"]
    assert made.DerivationDescription == PROVENANCE.text and made.SyntheticData == "YES"
    assert "SourceImageSequence" not in made
    # The spacing of a film that is enlarged already is its own.
    large = replace(film(8), pixels=np.zeros((12, 18), np.float32))
    write(tmp_path / "b.dcm", replace(large, provenance=PROVENANCE))
    np.testing.assert_allclose(dcmread(tmp_path / "b.dcm").NominalScannedPixelSpacing, [0.2, 0.4])


@pytest.mark.parametrize(
    ("name", "options", "lossy"),
    [
        ("a.jpg", {}, True),
        ("a.png", {}, False),
        ("a.tif", {"compression": "jpeg"}, True),
        ("a.tif", {"compression": "tiff_lzw"}, False),
    ],
)
def test_the_loss_of_a_jpeg_is_told(
    tmp_path: Path, name: str, options: dict[str, str], lossy: bool
) -> None:
    Image.fromarray(film(8).stored()).save(tmp_path / name, **options)
    picture = read(tmp_path / name)
    assert picture.lossy == lossy
    write(tmp_path / "a.dcm", picture)
    assert dcmread(tmp_path / "a.dcm").get("LossyImageCompression") == ("01" if lossy else None)


def test_each_picture_is_a_study_of_its_own(tmp_path: Path) -> None:
    other = replace(film(8), pixels=film(8).pixels[::-1].copy())
    for name, picture in (("a", film(8)), ("b", other), ("again", film(8))):
        write(tmp_path / f"{name}.dcm", picture)
    one, two, again = (dcmread(tmp_path / f"{name}.dcm") for name in ("a", "b", "again"))
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert one[keyword] != two[keyword]
        assert one[keyword] == again[keyword]
