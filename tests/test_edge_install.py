"""A clean environment as export/edge/README.md makes it: it upscales, and has no TensorFlow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from xraysr.io import Radiograph, read, write
from xraysr.io.voi import display
from xraysr.presets.card import tflite_path
from xraysr.upscale.edge import EdgeUpscaler

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
KIT = ROOT / "export" / "edge"
# What pip says when no package index can be reached at all.
NO_NETWORK = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "ProxyError")
SEEN = """
import importlib.util, json, sys
import xraysr.upscale.edge, xraysr.upscale.watch
there = [name for name in ("tensorflow", "keras", "pydicom", "matplotlib", "grpc", "requests")
         if importlib.util.find_spec(name)]
print(json.dumps([xraysr.__file__, there]))
"""


class Device:
    """A virtual environment with nothing of this one in it.

    Args:
        folder: Where it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)

    def pip(self, *words: object) -> None:
        """Installs; skips the test where no index can be reached, and fails for all else."""
        done = self.run("pip", "install", *words)
        said = done.stdout + done.stderr
        if done.returncode and any(name in said for name in NO_NETWORK):
            pytest.skip("needs a package index to install from, and pip reaches none")
        assert done.returncode == 0, said

    def run(self, program: str, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "bin" / program, *map(str, words)],
            capture_output=True,
            text=True,
            cwd=self.folder,  # so that the checkout is not found by accident
            env={"PATH": "/usr/bin:/bin", **settings_of_pip()},
            timeout=600,
        )

    def upscale(self, *words: object) -> None:
        done = self.run("xraysr", "upscale", *words)
        assert done.returncode == 0, done.stderr


def settings_of_pip() -> dict[str, str]:
    """Where packages come from here; nothing else of this environment."""
    kept = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "HOME", "SSL_CERT_FILE")
    return {k: v for k, v in os.environ.items() if k.startswith("PIP_") or k.upper() in kept}


@pytest.fixture(scope="module")
def device(tmp_path_factory) -> Device:
    """Installed from a copy of what the package is made of, with the commands of the README."""
    folder = tmp_path_factory.mktemp("device")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "xraysr", source / "xraysr", ignore=ignored)
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    device = Device(folder / "venv")
    device.pip("-c", ROOT / "constraints.txt", "-r", KIT / "requirements.txt")
    device.pip("--no-deps", source)
    return device


@pytest.fixture(scope="module")
def with_dicom(device) -> Device:
    """The same with what the commented line adds."""
    lines = (KIT / "requirements.txt").read_text("utf-8").splitlines()
    (line,) = (each for each in lines if each.startswith("# pydicom"))
    device.pip("-c", ROOT / "constraints.txt", line[2:])
    return device


def film(bits: int = 8, size: tuple[int, int] = (33, 47)) -> Radiograph:
    """A smooth film with some detail."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    noise = np.random.default_rng(2).random(size, dtype=np.float32)
    return Radiograph(0.4 + 0.2 * np.sin(rows / 5) * np.cos(columns / 7) + 0.2 * noise, bits)


def assert_same(written: Path, expected: Radiograph) -> None:
    """To one level of the file: two builds of one runtime may round differently."""
    enlarged = read(written)
    bits = 8 if expected.bits <= 8 else 16 if written.suffix == ".png" else expected.bits
    assert (enlarged.size, enlarged.bits) == (expected.size, bits)
    np.testing.assert_allclose(
        enlarged.pixels, expected.pixels, atol=1.5 / (2 ** min(enlarged.bits, 14) - 1)
    )


def test_it_is_the_installed_package_without_tensorflow_or_dicom(device):
    done = device.run("python", "-c", SEEN)
    assert done.returncode == 0, done.stderr
    place, there = json.loads(done.stdout)
    assert Path(place).is_relative_to(device.folder)
    assert there == []
    listed = json.loads(device.run("pip", "list", "--format", "json").stdout)
    names = {each["name"].lower() for each in listed}
    assert "ai-edge-litert" in names
    assert not {name for name in names if name.startswith(("tensorflow", "keras", "torch"))}


@pytest.mark.parametrize(("name", "bits"), [("in.png", 8), ("deep.png", 16), ("in.jpg", 8)])
def test_it_upscales_as_this_environment_does(device, trained, tmp_path, name, bits):
    source, target = tmp_path / name, tmp_path / "out.png"
    write(source, film(bits))
    device.upscale(trained["tflite"], source, "-o", target)
    assert_same(target, EdgeUpscaler(trained["tflite"])(read(source)))


def test_it_tells_what_is_there_and_what_needs_more(device):
    done = device.run("xraysr", "info", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["packages"]["tensorflow"] == "not installed"
    assert found["presets"]["edge-x4"] == "runs without TensorFlow"
    done = device.run("xraysr", "train", "--pair", "8:32", "--data", ".", "--out", "run")
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_without_pydicom_a_dicom_film_is_named_and_the_others_are_done(device, trained, tmp_path):
    """In one line: what is missing, and no traceback."""
    if device.run("python", "-c", "import pydicom").returncode == 0:
        pytest.skip("another test has added it")
    source = get_testdata_file("dicomdirtests/77654033/CR1/6154", download=False)
    done = device.run("xraysr", "upscale", trained["tflite"], source, "-o", tmp_path / "out.png")
    assert done.returncode == 1
    assert "6154: a DICOM film, which needs pydicom" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_pydicom_it_upscales_dicom(with_dicom, trained, tmp_path):
    source = Path(get_testdata_file("dicomdirtests/77654033/CR1/6154", download=False))
    target = tmp_path / "out.png"
    with_dicom.upscale(trained["tflite"], source, "-o", target)
    assert_same(target, display(EdgeUpscaler(trained["tflite"])(read(source))))


def test_a_preset_works_out_of_the_box(device, tmp_path):
    source, target = tmp_path / "film.png", tmp_path / "film_x4.png"
    write(source, film())
    device.upscale("edge-x4", source)
    assert_same(target, EdgeUpscaler(tflite_path("edge-x4"))(read(source)))
    for model in ("base-x4", tmp_path / "model.keras"):
        (tmp_path / "model.keras").touch()
        done = device.run("xraysr", "upscale", model, source, "-o", tmp_path / "no.png")
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"xraysr: {model} needs TensorFlow, and that is not")


def test_it_watches_a_folder(with_dicom, trained, tmp_path):
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    source = get_testdata_file("dicomdirtests/77654033/CR2/6247", download=False)
    write(inbox / "ward" / "deep.png", film(16))
    shutil.copy(source, inbox / "ward" / "film.dcm")
    (inbox / "bad.jpg").write_text("no film")
    done = with_dicom.run(
        "xraysr", "watch", trained["tflite"], inbox, out, "--once", "--every", 0.2,
        "--threads", 1, "--memory-mb", 100,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "bad.jpg: quarantined" in done.stderr and "Traceback" not in done.stderr
    processed = inbox / "processed" / "ward"
    for name in ("deep.png", "film.dcm"):
        expected = EdgeUpscaler(trained["tflite"])(read(processed / name))
        assert_same(out / "ward" / name, expected)


def test_a_real_film(with_dicom, trained, tmp_path, shared_data):
    source = shared_data / "dicom" / "rsna_cr_monochrome1.dcm"
    target = tmp_path / "out.png"
    with_dicom.upscale(trained["tflite"], source, "-o", target)
    assert_same(target, display(EdgeUpscaler(trained["tflite"])(read(source))))
