"""`xraysr info`, and what the commands say where TensorFlow is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from xraysr.cli.info import collect
from xraysr.io import Radiograph, read, write
from xraysr.presets import names, tflite_path
from xraysr.upscale.edge import EdgeUpscaler

# Python as on a device: what only `pip install xraysr` in full brings is not there.
BARE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name.partition(".")[0] in {missing} else found(name, package))
sys.meta_path.insert(0, Missing())
sys.argv = ["xraysr", *sys.argv[1:]]
from xraysr.cli import main
main()
"""
FULL_ONLY = (
    "tensorflow", "keras", "safetensors", "matplotlib", "requests", "grpc", "tensorboard",
    "tensorflow_serving", "tensorflow_datasets",
)  # fmt: skip


def bare(*words: object, missing: tuple[str, ...] = FULL_ONLY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BARE.format(missing=missing), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def film(tmp_path) -> Path:
    pixels = np.random.default_rng(0).random((24, 31), dtype=np.float32)
    write(tmp_path / "film.png", Radiograph(pixels))
    return tmp_path / "film.png"


def test_it_tells_versions_devices_codecs_extras_and_presets():
    found = collect()
    assert json.loads(json.dumps(found)) == found
    assert found["xraysr"] == version("xraysr")
    assert found["packages"]["keras"] == version("keras")
    assert any("CPU" in device for device in found["devices"])
    assert "pillow" in found["dicom codecs"]["JPEG2000Lossless"]
    assert "jpg" in found["pillow codecs"]
    assert found["processor"]["cores"] >= 1 and found["processor"]["name"]
    assert set(found["presets"]) == set(names())
    assert found["presets"]["edge-x4"] == "runs without TensorFlow"
    assert found["presets"]["base-x4"] == "needs TensorFlow"


def test_extras_say_what_is_missing(monkeypatch):
    lines = ["numpy>=2", 'numpy>=2; extra == "one"', 'no-such-package; extra == "two"',
             'xraysr[one]; extra == "three"']  # fmt: skip
    monkeypatch.setattr("importlib.metadata.requires", lambda _: lines)
    assert collect()["extras"] == {
        "one": "installed", "two": "missing no-such-package", "three": "installed"
    }  # fmt: skip


def test_it_is_made_where_nothing_but_python_and_typer_is():
    done = bare("info", "--json", missing=(*FULL_ONLY, "pydicom"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["devices"] == "TensorFlow is not installed: pip install tensorflow"
    assert found["dicom codecs"].startswith("pydicom is not installed")
    plain = bare("info", missing=(*FULL_ONLY, "pydicom"))
    assert f"python: {found['python']}" in plain.stdout
    assert "edge-x4: runs without TensorFlow" in plain.stdout


def test_an_edge_preset_upscales_without_tensorflow(film, tmp_path):
    done = bare("upscale", "edge-x4", film, "-o", tmp_path / "sr.png")
    assert done.returncode == 0, done.stderr
    expected = EdgeUpscaler(tflite_path("edge-x4"))(read(film))
    np.testing.assert_allclose(read(tmp_path / "sr.png").pixels, expected.pixels, atol=1.5 / 255)


@pytest.mark.parametrize(
    "words",
    [
        ("upscale", "base-x4", "film.png", "-o", "sr.png"),
        ("export", "edge-x4", "out.onnx", "--format", "onnx"),
        ("evaluate", "base-x4", "--data", "films", "--pair", "8:32"),
        ("demo", "--out", "demo"),
    ],
    ids=lambda words: words[0],
)
def test_a_command_that_needs_tensorflow_says_so_in_a_line(film, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films" / "test").mkdir(parents=True)
    film.rename(tmp_path / "films" / "test" / "film.png")
    done = bare(*words, missing=("tensorflow", "keras"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("xraysr: ") and "ensor" in line and "pip install tensorflow" in line
