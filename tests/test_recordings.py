"""What the code gave before its rooms were moved, it gives still: numbers kept in recordings.jsonl.

They were recorded at commit f91506a. Sums differ from processor to processor in their last
digits, so floats are compared to a tolerance, and grey levels may differ by one where a value
lay on the edge between two.

`python tests/test_recordings.py` prints what the present code gives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

import xraysr
from xraysr.evaluation.metrics import added_detail, lr_consistency, psnr, ssim
from xraysr.lanczos import resize

LINES = (Path(__file__).parent / "recordings.jsonl").read_text().splitlines()
EXPECTED = {name: value for line in LINES for name, value in json.loads(line).items()}
PRESETS = ("base-x2", "base-x4", "edge-x2", "edge-x3", "edge-x4", "edge-x8", "gan-x4")
DICOMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1"},
    "window": {"WindowCenter": 2200, "WindowWidth": 2600},
    "sigmoid": {"WindowCenter": 2000, "WindowWidth": 2000, "VOILUTFunction": "SIGMOID"},
}


def film(size: int = 24, bits: int = 8, seed: int = 0) -> np.ndarray:
    """Waves and noise, integers of `bits` bits, (size, size + 8)."""
    rows, columns = np.arange(size)[:, None], np.arange(size + 8)[None, :]
    noise = np.random.default_rng(seed).integers(0, 32, (size, size + 8))
    wave = 100 + 60 * ((rows // 5 + columns // 7) % 2) + noise + rows % 3
    return (wave * 2 ** (bits - 8)).astype(np.uint8 if bits == 8 else np.uint16)


def thinned(values: np.ndarray, digits: int = 6) -> list[float]:
    """Some of the values, from all over, and the mean of all."""
    flat = np.asarray(values, np.float64).ravel()
    some = flat[:: max(1, len(flat) // 24)]
    return [round(float(value), digits) for value in (*some, flat.mean())]


def preset(name: str) -> dict[str, Any]:
    upscaler = xraysr.load(name)
    return {
        "weights_sha256": upscaler.spec.weights_sha256,
        "sr": thinned(upscaler(film().astype(np.float32) / 255)),
    }


def splits(folder: Path) -> dict[str, str]:
    """The split of every patient of a tree named as Kermany's and NIH's films are."""
    names = [f"person{n}_virus_{n % 3}.png" for n in range(40)]
    names += [f"IM-{n:04d}-0001.png" for n in range(20)]
    names += [f"NORMAL2-IM-{n:04d}-0001.png" for n in range(20)]
    names += [f"{n:08d}_{n % 4:03d}.png" for n in range(40)]
    for name in names:
        xraysr.write(folder / name, xraysr.Radiograph(film(8).astype(np.float32) / 255))
    films = xraysr.index_films(folder, resplit=True).films
    assert len(films) == len(names)
    return {each.patient: each.split for each in films}


def prepared(folder: Path) -> dict[str, list[float]]:
    """LR and HR of one film, for each way to fit it."""
    pixels = film(60, 12).astype(np.float32) / 4095
    xraysr.write(folder / "films" / "test" / "p1.png", xraysr.Radiograph(pixels, bits=12))
    found = {}
    for fit in ("crop", "pad", "stretch"):
        xraysr.prepare(folder / "films", folder / fit, ["12:48"], fit=fit, workers=1)
        for kind in ("lr", "hr"):
            (path,) = (folder / fit).rglob(f"{kind}/*.png")
            found[f"{fit} {kind}"] = thinned(xraysr.read(path).stored())
    return found


def dicom(folder: Path, tags: dict[str, Any]) -> Path:
    path, stored = folder / "film.dcm", film(16, 12)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = ComputedRadiographyImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3"
    data.PatientID, data.Modality = "P1", "CR"
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    data.PixelData = stored.tobytes()
    data["PixelData"].VR = "OW"
    data.save_as(path, enforce_file_format=True)
    return path


def enlarged_dicom(folder: Path, tags: dict[str, Any]) -> dict[str, Any]:
    """What a DICOM film is read as, and what DICOM and PNG hold once it is enlarged."""
    read = xraysr.read(dicom(folder, tags))
    found = {"bits": read.bits, "pixels": thinned(read.pixels)}
    sr = xraysr.load("edge-x2")(read)
    for suffix in ("dcm", "png", "tif"):
        out = folder / f"sr.{suffix}"
        xraysr.write(out, sr)
        found[suffix] = thinned(xraysr.read(out).stored())
    return found


def measures() -> dict[str, float]:
    hr = film(64, 12).astype(np.float64) / 4095
    lr = resize(hr, (16, 18))
    sr = resize(lr, hr.shape)
    return {
        "psnr": psnr(sr, hr, 4),
        "ssim": ssim(sr, hr, 4),
        "lr_consistency": lr_consistency(sr, lr),
        "added_detail": added_detail(hr, 4),
    }


def trained(folder: Path) -> dict[str, Any]:
    """Thirty steps, ten of them adversarial: what metrics.jsonl says, and the generator."""
    for split, count in (("train", 6), ("val", 2), ("test", 1)):
        for n in range(count):
            pixels = film(64, seed=n).astype(np.float32) / 255
            xraysr.write(folder / split / f"{split}{n}.png", xraysr.Radiograph(pixels))
    config = xraysr.TrainConfig(
        "16:64", steps=30, adversarial_from=20, depth=1, width=8, batch=4, crop=12,
        validate_every=10, seed=5,
    )  # fmt: skip
    run = xraysr.train(config, folder, folder.with_name("run"))
    names = ("step", "phase", "content", "adversarial", "discriminator", "val_psnr")
    records = [{k: entry[k] for k in names if k in entry} for entry in run.records()]
    sr = xraysr.load(run.generator)(film(seed=9).astype(np.float32) / 255)
    return {"records": records, "sr": thinned(sr)}


def test_presets_hold_their_weights_and_give_the_same_images():
    for name in PRESETS:
        found, expected = preset(name), EXPECTED["presets"][name]
        assert found["weights_sha256"] == expected["weights_sha256"], name
        np.testing.assert_allclose(found["sr"], expected["sr"], atol=3e-5, err_msg=name)


def test_every_patient_stays_on_the_same_side_of_the_split(tmp_path):
    found = splits(tmp_path)
    assert len(found) == EXPECTED["splits"]["patients"]
    assert digest(found) == EXPECTED["splits"]["sha256"]


def test_prepared_films_hold_the_same_grey_levels(tmp_path):
    assert_levels(prepared(tmp_path), EXPECTED["prepared"])


@pytest.mark.parametrize("name", DICOMS)
def test_dicom_films_are_read_and_written_as_before(name, tmp_path):
    found, expected = enlarged_dicom(tmp_path, DICOMS[name]), dict(EXPECTED["dicom"][name])
    assert found.pop("bits") == expected.pop("bits")
    np.testing.assert_allclose(found.pop("pixels"), expected.pop("pixels"), atol=2e-6)
    assert_levels(found, expected)


def test_phantoms_show_the_same_patients():
    made = xraysr.make_phantom(7, 96)
    found, expected = np.array(thinned(made.pixels)), EXPECTED["phantom"]
    # A quantum more or less, where the last digit of an exponential decides on it.
    assert np.median(np.abs(found - expected)) <= 1
    assert abs(found[-1] - expected[-1]) < 2


def test_measures_give_the_same_numbers():
    assert measures() == pytest.approx(EXPECTED["measures"], rel=1e-6)


@pytest.mark.slow
def test_thirty_steps_of_training_go_the_same_way(tmp_path):
    found, expected = trained(tmp_path / "films"), EXPECTED["trained"]
    for entry, before in zip(found["records"], expected["records"], strict=True):
        assert entry.pop("phase", None) == before.pop("phase", None)
        assert entry == pytest.approx(before, rel=2e-3)
    np.testing.assert_allclose(found["sr"], expected["sr"], atol=2e-3)


def assert_levels(found: dict[str, list[float]], expected: dict[str, list[float]]) -> None:
    """Grey levels are equal, or next to each other where a value lay between them."""
    assert found.keys() == expected.keys()
    for name, levels in found.items():
        apart = np.abs(np.subtract(levels, expected[name]))
        assert apart.max() <= 1 and np.median(apart) < 0.01, name


def digest(found: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(found.items())).encode()).hexdigest()


def record() -> Iterator[tuple[str, Any]]:
    yield "presets", {name: preset(name) for name in PRESETS}
    with TemporaryDirectory() as folder:
        root = Path(folder)
        found = splits(root / "splits")
        yield "splits", {"patients": len(found), "sha256": digest(found)}
        yield "prepared", prepared(root / "prepared")
        dicoms = {}
        for name, tags in DICOMS.items():
            (root / name).mkdir()
            dicoms[name] = enlarged_dicom(root / name, tags)
        yield "dicom", dicoms
        yield "trained", trained(root / "train" / "films")
    yield "phantom", thinned(xraysr.make_phantom(7, 96).pixels)
    yield "measures", measures()


if __name__ == "__main__":
    for name, value in record():
        print(json.dumps({name: value}))
