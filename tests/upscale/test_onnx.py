from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from xraysr.export.onnx import write_onnx
from xraysr.models.storage import load_generator
from xraysr.spec import ModelSpec
from xraysr.upscale.keras_model import KerasRuntime
from xraysr.upscale.onnx import OnnxRuntime


@pytest.mark.parametrize("shape", [(1, 24, 24, 1), (1, 17, 40, 1), (3, 9, 31, 1), (2, 1, 1, 1)])
def test_it_agrees_with_keras(trained, shape):
    batch = np.random.default_rng(2).random(shape, dtype=np.float32)
    expected = KerasRuntime.open(trained["keras"]).run(batch)
    result = OnnxRuntime(trained["onnx"]).run(batch)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_its_card_is_the_generators(trained):
    spec = OnnxRuntime(trained["onnx"]).spec
    assert spec.weights_sha256 == ModelSpec.load(trained["keras"]).weights_sha256


@pytest.mark.slow
def test_every_export_is_the_same_network(trained, tmp_path):
    """tf2onnx's optimisers left an axis too many in some runs."""
    generator = load_generator(trained["keras"])
    batch = np.zeros((1, 9, 12, 1), np.float32)
    for number in range(30):
        path = tmp_path / f"{number}.onnx"
        write_onnx(generator, path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert [each.name for each in session.get_outputs()] == ["sr"]
        assert session.run(None, {"lr": batch})[0].shape == (1, 36, 48, 1)
