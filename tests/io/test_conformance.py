"""dciodvfy, a validator of the standard, finds no error that the source did not have."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from xraysr.io import Provenance, Radiograph, read, read_frames, strip_writer, write
from xraysr.io.derivation import code

pytestmark = pytest.mark.skipif(
    shutil.which("dciodvfy") is None,
    reason="needs dciodvfy: apt-get install dicom3tools",
)

PROVENANCE = Provenance("edge-x2", "ab" * 32, 2)
# SyntheticData came into the standard after this program.
NEWER = "(0x0008,0x001c)"
WHEEL = [f"dicomdirtests/77654033/{name}" for name in ("CR1/6154", "CR2/6247", "CR3/6278")]


def errors(path: Path) -> set[str]:
    """What it calls an error; its exit code says nothing."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    assert len(lines) > 0
    return {line for line in lines if line.startswith("Error") and NEWER not in line}


def doubled(path: Path) -> Path:
    """All films of `path` at twice the size."""
    out = path.parent / "doubled.dcm"
    films = read_frames(path)
    first = next(films)
    size = 2 * first.size[0], 2 * first.size[1]
    like = replace(first, provenance=PROVENANCE)
    with strip_writer(out, size, like, frames=first.frame[1]) as writer:
        for film in (first, *films):
            writer.write(film.pixels.repeat(2, 0).repeat(2, 1))
    return out


COMMON = {
    "PatientName": "Doe^Jane", "PatientID": "P1", "PatientBirthDate": "19500101",
    "PatientSex": "F", "StudyDate": "20200102", "StudyTime": "101500", "StudyID": "1",
    "AccessionNumber": "", "ReferringPhysicianName": "", "SeriesNumber": 1, "InstanceNumber": 1,
    "Manufacturer": "ACME", "PatientOrientation": ["L", "F"], "ContentDate": "20200102",
    "ContentTime": "101500", "AcquisitionDate": "20200102", "AcquisitionTime": "101500",
    "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16,
    "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "Rows": 16, "Columns": 20,
    "ImageType": ["ORIGINAL", "PRIMARY"],
}  # fmt: skip
CR = {"Modality": "CR", "BodyPartExamined": "CHEST", "ViewPosition": "PA"}
DX = {
    "ImageType": ["ORIGINAL", "PRIMARY", ""], "PresentationIntentType": "FOR PRESENTATION",
    "PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": 1,
    "RescaleIntercept": "0", "RescaleSlope": "1", "RescaleType": "US",
    "PresentationLUTShape": "IDENTITY", "LossyImageCompression": "00",
    "BurnedInAnnotation": "NO", "ImageLaterality": "U", "WindowCenter": "2048",
    "WindowWidth": "4096", "DetectorType": "DIRECT", "PositionerType": "NONE",
    "ImagerPixelSpacing": ["0.15", "0.15"], "AcquisitionContextSequence": [],
}  # fmt: skip
REGION = {"CodeValue": "T-D3000", "CodingSchemeDesignator": "SRT", "CodeMeaning": "Chest"}


def conformant(path: Path, kind: str, **tags: object) -> Path:
    """A film of the class `kind` that breaks no rule; `NumberOfFrames` of them."""
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{kind}"
    film.SOPInstanceUID = generate_uid()
    film.StudyInstanceUID, film.SeriesInstanceUID = generate_uid(), generate_uid()
    for keyword, value in (COMMON | tags).items():
        setattr(film, keyword, value)
    shape = (int(film.get("NumberOfFrames", 1)), film.Rows, film.Columns)
    stored = np.random.default_rng(0).integers(0, 1 << film.BitsStored, shape)
    film.PixelData = stored.astype(f"<u{film.BitsAllocated // 8}").tobytes()
    film["PixelData"].VR = "OW" if film.BitsAllocated == 16 else "OB"
    film.save_as(path, enforce_file_format=True)
    return path


def region() -> dict[str, object]:
    made = Dataset()
    for keyword, value in REGION.items():
        setattr(made, keyword, value)
    view = code("", "")
    view.CodeValue, view.CodingSchemeDesignator = "R-10206", "SRT"
    view.CodeMeaning = "antero-posterior"
    view.ViewModifierCodeSequence = []
    return {"AnatomicRegionSequence": [made], "ViewCodeSequence": [view]}


SC = {"Modality": "OT", "ConversionType": "WSD", "Laterality": ""}
FRAMES = {
    **SC, "NumberOfFrames": 3, "PageNumberVector": [1, 2, 3], "FrameIncrementPointer": 0x00182001,
    "BurnedInAnnotation": "YES", "PresentationLUTShape": "IDENTITY", "RescaleIntercept": "0",
    "RescaleSlope": "1", "RescaleType": "US",
}  # fmt: skip
KINDS = {
    "CR": ("1", CR),
    "CR with spacings and a window": (
        "1",
        CR
        | {
            "ImagerPixelSpacing": ["0.143", "0.143"],
            "PixelSpacing": ["0.13", "0.13"],
            "WindowCenter": "2000",
            "WindowWidth": "1800",
            "PixelPaddingValue": 0,
            "LossyImageCompression": "01",
            "LossyImageCompressionRatio": "10",
            "LossyImageCompressionMethod": "ISO_10918_1",
        },
    ),
    "DX": ("1.1", {"Modality": "DX", **DX}),
    "SC": ("7", SC),
    "SC of 8 bits": ("7", SC | {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}),
    "SC of several words": ("7.3", FRAMES),
    "SC of several bytes": (
        "7.2",
        FRAMES | {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_films_that_break_no_rule(tmp_path: Path, name: str) -> None:
    kind, tags = KINDS[name]
    tags = tags | (region() if kind == "1.1" else {})
    source = conformant(tmp_path / "film.dcm", kind, **tags)
    assert errors(source) == set()
    assert errors(doubled(source)) == set()


@pytest.mark.parametrize("kind", ["1.1.1", "1.2", "1.2.1", "1.3", "1.3.1"])
def test_other_classes_that_lack_something(tmp_path: Path, kind: str) -> None:
    modality = {"1.1": "DX", "1.2": "MG", "1.3": "IO"}[kind[:3]]
    purpose = "FOR PROCESSING" if len(kind) > 3 else "FOR PRESENTATION"
    tags = DX | {"Modality": modality, "PresentationIntentType": purpose}
    source = conformant(tmp_path / "film.dcm", kind, **tags)
    assert errors(doubled(source)) <= errors(source)


def test_one_frame_of_several(tmp_path: Path) -> None:
    source = conformant(tmp_path / "film.dcm", "7.3", **FRAMES)
    write(tmp_path / "one.dcm", read(source, frame=2))
    assert errors(tmp_path / "one.dcm") == set()


def test_a_modality_lut_that_became_stored_values(tmp_path: Path) -> None:
    item = Dataset()
    item.ModalityLUTType = "US"
    item.add_new("LUTDescriptor", "US", [4096, 0, 16])
    item.add_new("LUTData", "US", (np.arange(4096) * 16).tolist())
    source = conformant(tmp_path / "film.dcm", "7", **SC, ModalityLUTSequence=[item])
    assert errors(source) == errors(doubled(source)) == set()


@pytest.mark.parametrize("bits", [8, 12])
def test_pictures(tmp_path: Path, bits: int) -> None:
    film = Radiograph(np.zeros((5, 7), np.float32), bits, (0.1, 0.1), lossy=bits == 8)
    write(tmp_path / "a.dcm", replace(film, provenance=PROVENANCE))
    assert errors(tmp_path / "a.dcm") == set()


def no_new_errors(source: Path, folder: Path) -> None:
    film = read(source)
    write(folder / "same.dcm", film)
    large = replace(film, pixels=film.pixels.repeat(2, 0).repeat(2, 1))
    write(folder / "large.dcm", replace(large, provenance=PROVENANCE))
    for out in (folder / "same.dcm", folder / "large.dcm"):
        assert errors(out) <= errors(source)


@pytest.mark.parametrize("name", WHEEL)
def test_real_films_of_pydicom(tmp_path: Path, name: str) -> None:
    no_new_errors(Path(get_testdata_file(name, download=False)), tmp_path)


@pytest.mark.parametrize(
    "name",
    ["RG3_J2KR", "mlut_18", "vlut_04", "rsna_cr_monochrome1", "rsna_cr_monochrome2"],
)
def test_real_films(shared_data: Path, tmp_path: Path, name: str) -> None:
    no_new_errors(shared_data / "dicom" / f"{name}.dcm", tmp_path)


def test_the_program_does_find_errors(tmp_path: Path) -> None:
    source = conformant(tmp_path / "film.dcm", "1", **CR | {"ImageType": ["WRONG", "PRIMARY"]})
    assert errors(source)
