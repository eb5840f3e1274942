from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python import schema_py_generated as schema

from xraysr.export.converters import write_tflite
from xraysr.lanczos import degrade
from xraysr.models import EdgeGenerator
from xraysr.phantom.film import make_phantom


@pytest.fixture(scope="module")
def edge() -> EdgeGenerator:
    """An edge generator that is not plain repetition of pixels."""
    generator = EdgeGenerator(2, depth=2, width=8)
    generator.build((None, None, None, 1))
    noise = np.random.default_rng(0)
    generator.set_weights(
        [w + noise.normal(0, 0.05, w.shape).astype(np.float32) for w in generator.get_weights()]
    )
    return generator


@pytest.fixture(scope="module")
def int8(edge, tmp_path_factory) -> Path:
    """`edge` in int8, calibrated on films without black or white."""
    path = tmp_path_factory.mktemp("int8") / "model.tflite"
    write_tflite(edge, path, "int8", [0.3 + 0.4 * lr(seed) for seed in range(4)])
    return path


def lr(seed: int, side: int = 48) -> np.ndarray:
    """A phantom film as LR image of 8 bits."""
    return degrade(make_phantom(seed, 128).pixels / 4095, (side, side), 8)


def foreign_operations(content: bytes) -> list[str]:
    """Names of the operations in a TFLite file that are not built into its runtime."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    custom = [code.customCode for code in model.operatorCodes if code.customCode is not None]
    return [name.decode() for name in custom]


def test_every_operation_is_built_in(trained):
    assert foreign_operations(trained["tflite"].read_bytes()) == []


def test_the_check_above_sees_a_foreign_operation():
    @tf.function(input_signature=[tf.TensorSpec((3,), tf.float32)])
    def function(x):
        return tf.raw_ops.BesselJ0(x=x)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.allow_custom_ops = True
    assert foreign_operations(converter.convert()) == ["BesselJ0"]


def test_it_takes_any_size_in_float32(trained):
    interpreter = Interpreter(str(trained["tflite"]))
    (entry,) = interpreter.get_input_details()
    (result,) = interpreter.get_output_details()
    assert entry["shape_signature"].tolist() == [-1, -1, -1, 1]
    assert entry["dtype"] == result["dtype"] == np.float32


def test_its_input_is_named(trained):
    signatures = Interpreter(str(trained["tflite"])).get_signature_list()
    assert list(signatures) == ["serving_default"]
    assert signatures["serving_default"]["inputs"] == ["lr"]


@pytest.mark.slow
def test_int8_leaves_nothing_in_float(int8, trained):
    def floats(path: Path) -> list[str]:
        details = Interpreter(str(path)).get_tensor_details()
        return [each["name"] for each in details if each["dtype"] == np.float32]

    assert floats(int8) == []
    assert len(floats(trained["tflite"])) > 5
    assert foreign_operations(int8.read_bytes()) == []


@pytest.mark.slow
def test_int8_takes_and_gives_all_grey_levels_of_8_bits(int8):
    interpreter = Interpreter(str(int8))
    (entry,) = interpreter.get_input_details()
    (result,) = interpreter.get_output_details()
    for tensor in (entry, result):
        scale, zero = tensor["quantization"]
        assert (tensor["dtype"], zero) == (np.uint8, 0)
        assert scale == pytest.approx(1 / 255, rel=1e-5)
    assert entry["shape_signature"].tolist() == [-1, -1, -1, 1]


@pytest.mark.slow
def test_int8_is_the_generator_to_a_grey_level_or_so_at_any_size(int8, edge):
    interpreter = Interpreter(str(int8))
    (entry,) = interpreter.get_input_details()
    (result,) = interpreter.get_output_details()
    for seed, side in ((7, 48), (8, 31)):
        image = lr(seed, side)[None, ..., None].astype(np.float32)
        interpreter.resize_tensor_input(entry["index"], image.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], np.round(255 * image).astype(np.uint8))
        interpreter.invoke()
        expected = 255 * np.asarray(edge(image))
        repeated = 255 * image.repeat(2, axis=1).repeat(2, axis=2)
        error = interpreter.get_tensor(result["index"]) - expected
        assert np.sqrt(np.mean(error**2)) < 1.5
        assert np.sqrt(np.mean((repeated - expected) ** 2)) > 3  # it is not just the input
