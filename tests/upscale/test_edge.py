from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from xraysr.errors import UserError
from xraysr.export.converters import attach_card, write_tflite
from xraysr.io import Radiograph, read, write
from xraysr.models.open import load_generator
from xraysr.spec import ModelSpec
from xraysr.upscale import load
from xraysr.upscale.edge import EdgeRuntime, EdgeUpscaler
from xraysr.upscale.runtimes import KerasRuntime

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
    write_tflite(load_generator(trained["keras"]), path, "int8", [random(24, 24)])
    ModelSpec.load(trained["keras"]).save(path)
    return path


@pytest.mark.slow
def test_an_int8_model_is_given_floats_and_gives_floats(int8, trained):
    sr, expected = (load(path)(random(17, 40)) for path in (int8, trained["keras"]))
    assert (sr.dtype, sr.shape) == (np.float32, expected.shape)
    assert np.sqrt(np.mean((sr - expected) ** 2)) < 0.02 < np.ptp(sr)
    levels = np.unique(np.round(255 * sr))
    np.testing.assert_allclose(np.unique(sr), levels / 255, atol=1e-6)


@pytest.mark.slow
def test_an_int8_model_rounds_its_input_to_the_nearest_grey_level(int8):
    edge, levels = EdgeRuntime(int8), random(1, 9, 9, 1) * 254 // 1
    lower, upper = edge.run(levels / 255), edge.run((levels + 1) / 255)
    assert np.any(lower != upper)
    np.testing.assert_array_equal(edge.run((levels + np.float32(0.4)) / 255), lower)
    np.testing.assert_array_equal(edge.run((levels + np.float32(0.6)) / 255), upper)


def test_its_card_travels_inside_the_file(trained, tmp_path):
    model = Path(shutil.copy(trained["tflite"], tmp_path / "renamed.tflite"))
    assert EdgeRuntime(model).spec == ModelSpec.load(trained["tflite"])
    with zipfile.ZipFile(model) as archive:  # as `unzip` would
        assert archive.namelist() == ["spec.json"]
        assert archive.testzip() is None


def test_a_file_without_a_card_says_so(trained, tmp_path):
    content = trained["tflite"].read_bytes()
    model = tmp_path / "m.tflite"
    model.write_bytes(content[: content.rindex(b"PK\x03\x04")])
    with pytest.raises(UserError, match="no card inside, and no m.tflite.spec.json lies beside it"):
        EdgeRuntime(model)
    shutil.copy(ModelSpec.path_for(trained["tflite"]), ModelSpec.path_for(model))
    assert EdgeRuntime(model).run(random(1, 8, 8, 1)).shape == (1, 32, 32, 1)


def test_a_foreign_model_is_refused(trained, tmp_path):
    """A TFLite file of another kind, even with one of our cards."""
    converter = tf.lite.TFLiteConverter.from_keras_model(
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    )
    model = tmp_path / "foreign.tflite"
    model.write_bytes(converter.convert())
    with pytest.raises(UserError, match="xraysr did not export it"):
        load(model)
    attach_card(model, ModelSpec.load(trained["tflite"]))
    with pytest.raises(UserError, match="foreign.tflite cannot enlarge an image"):
        load(model)(random(8, 8))


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
@pytest.mark.parametrize("card", [True, False])
def test_a_truncated_file_is_refused(trained, tmp_path, part, card):
    model = tmp_path / "generator.tflite"
    if card:
        shutil.copy(ModelSpec.path_for(trained["tflite"]), tmp_path)
    content = trained["tflite"].read_bytes()
    content = content[: content.rindex(b"PK\x03\x04")]
    model.write_bytes(content[: int(part * len(content))])
    with pytest.raises(UserError, match="is not a TFLite model" if card else "was truncated"):
        EdgeRuntime(model)


def test_what_is_not_there():
    with pytest.raises(UserError, match="No model file at nowhere.tflite"):
        EdgeUpscaler("nowhere.tflite")


def test_threads_and_tiles_change_nothing(trained):
    image = random(90, 70)
    expected = load(trained["tflite"])(image)
    for upscaler in (
        EdgeUpscaler(trained["tflite"], threads=1),
        EdgeUpscaler(trained["tflite"], tile=50),
    ):
        np.testing.assert_allclose(upscaler(image), expected, atol=1e-6)


def test_tile_and_ceiling_are_not_given_together(trained):
    with pytest.raises(UserError, match="either tile or memory_mb"):
        EdgeUpscaler(trained["tflite"], tile=50, memory_mb=50)
