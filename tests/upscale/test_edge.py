from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.export.tflite import write_tflite
from xraysr.io import Radiograph, read, write
from xraysr.models.storage import load_generator
from xraysr.spec import ModelSpec
from xraysr.upscale import load
from xraysr.upscale.edge import EdgeRuntime
from xraysr.upscale.keras_model import KerasRuntime

WITHOUT_TENSORFLOW = """
import sys

for name in ("tensorflow", "keras"):
    sys.modules[name] = None  # importing it now raises ImportError

import xraysr

model, source, target = sys.argv[1:]
xraysr.write(target, xraysr.load(model)(xraysr.read(source)))
assert not [name for name in sys.modules if name.startswith(("tensorflow.", "keras."))]
"""


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).random(shape, dtype=np.float32)


def test_it_agrees_with_keras_as_the_size_changes(trained):
    edge, keras = EdgeRuntime(trained["tflite"]), KerasRuntime.open(trained["keras"])
    for shape in [(1, 24, 24, 1), (1, 17, 40, 1), (3, 9, 31, 1), (2, 1, 1, 1), (1, 24, 24, 1)]:
        batch = random(*shape)
        np.testing.assert_allclose(edge.run(batch), keras.run(batch), atol=1e-5)


def test_a_result_is_not_changed_by_the_next_one(trained):
    edge = EdgeRuntime(trained["tflite"])
    first = edge.run(random(1, 8, 8, 1))
    kept = first.copy()
    edge.run(1 - random(1, 8, 8, 1))
    np.testing.assert_array_equal(first, kept)


@pytest.fixture(scope="module")
def int8(trained, tmp_path_factory):
    """The trained generator in int8, with its card."""
    path = tmp_path_factory.mktemp("int8") / "generator.tflite"
    write_tflite(load_generator(trained["keras"]), path, [random(24, 24)])
    ModelSpec.load(trained["keras"]).save(path)
    return path


def test_an_int8_model_is_given_floats_and_gives_floats(int8, trained):
    sr, expected = (load(path)(random(17, 40)) for path in (int8, trained["keras"]))
    assert (sr.dtype, sr.shape) == (np.float32, expected.shape)
    assert np.sqrt(np.mean((sr - expected) ** 2)) < 0.02 < np.ptp(sr)
    levels = np.unique(np.round(255 * sr))
    np.testing.assert_allclose(np.unique(sr), levels / 255, atol=1e-6)


def test_an_int8_model_rounds_its_input_to_the_nearest_grey_level(int8):
    edge, levels = EdgeRuntime(int8), random(1, 9, 9, 1) * 254 // 1
    lower, upper = edge.run(levels / 255), edge.run((levels + 1) / 255)
    assert np.any(lower != upper)
    np.testing.assert_array_equal(edge.run((levels + np.float32(0.4)) / 255), lower)
    np.testing.assert_array_equal(edge.run((levels + np.float32(0.6)) / 255), upper)


def test_its_card_is_the_generators(trained):
    assert EdgeRuntime(trained["tflite"]).spec == ModelSpec.load(trained["keras"])


def test_it_needs_neither_tensorflow_nor_keras(trained, tmp_path):
    source, target = tmp_path / "film.png", tmp_path / "enlarged.png"
    write(source, Radiograph(random(17, 40), bits=16))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, trained["tflite"], source, target],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    enlarged, film = read(target), read(source)
    assert (enlarged.size, enlarged.bits) == ((68, 160), 16)
    np.testing.assert_allclose(enlarged.pixels, load(trained["keras"])(film.pixels), atol=3e-5)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(trained, tmp_path, part):
    model = tmp_path / "generator.tflite"
    shutil.copy(trained["tflite"].with_suffix(".spec.json"), tmp_path)
    content = trained["tflite"].read_bytes()
    model.write_bytes(content[: int(part * len(content))])
    with pytest.raises(UserError, match="generator.tflite is not a TFLite model that can be read"):
        EdgeRuntime(model)
