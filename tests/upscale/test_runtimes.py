"""Keras, SavedModel and ONNX give the same image, and each refuses what is not its own."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

from xraysr.errors import UserError
from xraysr.export.converters import write_onnx
from xraysr.lanczos import resize
from xraysr.models.open import load_generator
from xraysr.spec import ModelSpec
from xraysr.upscale.runtimes import KerasRuntime, OnnxRuntime, SavedModelRuntime

SHAPES = [(1, 24, 24, 1), (1, 17, 40, 1), (3, 9, 31, 1), (2, 1, 1, 1)]
OPEN = {"keras": KerasRuntime.open, "saved_model": SavedModelRuntime, "onnx": OnnxRuntime}


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).random(shape, dtype=np.float32)


@pytest.mark.parametrize("kind", OPEN)
def test_each_computes_what_the_model_computes(trained, kind):
    model, runtime = load_generator(trained["keras"]), OPEN[kind](trained[kind])
    for shape in SHAPES:
        result = runtime.run(random(*shape))
        assert isinstance(result, np.ndarray) and result.dtype == np.float32
        np.testing.assert_allclose(result, np.asarray(model(random(*shape))), atol=1e-5)


@pytest.mark.parametrize("kind", OPEN)
def test_the_card_comes_along(trained, kind):
    card = ModelSpec.load(trained["keras"])
    spec = OPEN[kind](trained[kind]).spec
    assert (spec.weights_sha256, spec.scale) == (card.weights_sha256, card.scale)


def test_the_generator_of_these_tests_is_not_plain_lanczos(trained):
    image = random(1, 24, 24, 1)
    enlarged = KerasRuntime.open(trained["keras"]).run(image)
    plain = np.clip(resize(image[0, ..., 0], (96, 96)), 0, 1)
    assert np.abs(enlarged[0, ..., 0] - plain).max() > 0.01


def test_one_graph_serves_all_sizes(trained):
    runtime = KerasRuntime.open(trained["keras"])
    for side in (5, 6, 7):
        runtime.run(random(1, side, side, 1))
    assert runtime._graph.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    "part",
    ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"],
)
def test_a_truncated_part_is_refused(trained, tmp_path, part):
    folder = shutil.copytree(trained["saved_model"], tmp_path / "model")
    content = (folder / part).read_bytes()
    (folder / part).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="model is not a SavedModel that can be read"):
        SavedModelRuntime(folder)


@pytest.mark.slow
def test_every_onnx_export_is_the_same_network(trained, tmp_path):
    """tf2onnx's optimisers left an axis too many in some runs."""
    generator = load_generator(trained["keras"])
    batch = np.zeros((1, 9, 12, 1), np.float32)
    for number in range(30):
        path = tmp_path / f"{number}.onnx"
        write_onnx(generator, path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert [each.name for each in session.get_outputs()] == ["sr"]
        assert session.run(None, {"lr": batch})[0].shape == (1, 36, 48, 1)


@pytest.mark.parametrize("kind", ["keras", "saved_model"])
def test_without_tensorflow_a_sentence_says_so(trained, kind):
    script = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "import xraysr\n"
        "try:\n    xraysr.load(sys.argv[1])\nexcept xraysr.UserError as error:\n    print(error)"
    )
    words = [sys.executable, "-c", script, str(trained[kind])]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.stdout.startswith(f"{trained[kind]} needs TensorFlow, and that"), done.stderr
