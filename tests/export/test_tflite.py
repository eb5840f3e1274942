from __future__ import annotations

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python import schema_py_generated as schema


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
