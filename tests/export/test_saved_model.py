from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry

from xraysr.models.storage import load_generator


def test_the_signature_names_its_input_and_leaves_all_sizes_open(trained):
    model = tf.saved_model.load(str(trained["saved_model"]))
    assert list(model.signatures) == ["serving_default"]
    signature = model.signatures["serving_default"]
    _, inputs = signature.structured_input_signature
    assert inputs == {"lr": tf.TensorSpec((None, None, None, 1), tf.float32, name="lr")}
    (output,) = signature.structured_outputs.values()
    assert output.dtype == tf.float32
    assert output.shape.as_list() == [None, None, None, 1]


def operations(proto: SavedModel) -> set[str]:
    (graph,) = (meta.graph_def for meta in proto.meta_graphs)
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    functions = {f.signature.name for f in graph.library.function}
    return {node.op for node in nodes} - functions


def test_tensorflow_alone_can_run_it(trained):
    proto = SavedModel.FromString((trained["saved_model"] / "saved_model.pb").read_bytes())
    used = operations(proto)
    assert "Conv2D" in used
    assert not [op for op in used if op_def_registry.get(op) is None]
    # Those would call back into the Python process that wrote the file.
    assert not used & {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


@pytest.mark.parametrize("size", [(1, 8, 8, 1), (4, 5, 9, 1)])
def test_the_signature_can_be_called_by_name(trained, size):
    model = tf.saved_model.load(str(trained["saved_model"]))
    lr = np.random.default_rng(5).random(size, dtype=np.float32)
    (sr,) = model.signatures["serving_default"](lr=tf.constant(lr)).values()
    np.testing.assert_allclose(sr, load_generator(trained["keras"])(lr), atol=1e-5)
