from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry

from xraysr.export.saved_model import write_graph
from xraysr.models.open import load_generator
from xraysr.spec import ModelSpec

COMMAND = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
TENSOR = tf.TensorSpec((None, None, None, 1), tf.float32)
STRINGS = tf.TensorSpec((None,), tf.string)
SIGNATURES = {
    "serving_default": ("lr", "sr", TENSOR),
    "image_bytes": ("image_bytes", "sr_bytes", STRINGS),
    "metadata": ("request", "spec", STRINGS),
}


@pytest.fixture(scope="module")
def model(trained):
    return tf.saved_model.load(str(trained["saved_model"]))


def test_there_are_these_signatures_and_no_others(model):
    assert set(model.signatures) == set(SIGNATURES)


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_signature_names_input_and_output_and_leaves_all_sizes_open(model, name):
    signature = model.signatures[name]
    source, target, form = SIGNATURES[name]
    _, inputs = signature.structured_input_signature
    assert inputs == {source: tf.TensorSpec(form.shape, form.dtype, name=source)}
    assert list(signature.structured_outputs) == [target]
    output = signature.structured_outputs[target]
    assert output.dtype == form.dtype
    assert output.shape.as_list() == form.shape.as_list()


def operations(proto: SavedModel) -> set[str]:
    (graph,) = (meta.graph_def for meta in proto.meta_graphs)
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    functions = {f.signature.name for f in graph.library.function}
    return {node.op for node in nodes} - functions


def test_tensorflow_alone_can_run_it(trained):
    proto = SavedModel.FromString((trained["saved_model"] / "saved_model.pb").read_bytes())
    used = operations(proto)
    assert {"Conv2D", "DecodePng", "DecodeJpeg", "EncodePng"} <= used
    assert not [op for op in used if op_def_registry.get(op) is None]
    # Those would call back into the Python process that wrote the file.
    assert not used & {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


@pytest.mark.parametrize("size", [(1, 8, 8, 1), (4, 5, 9, 1)])
def test_the_default_signature_gives_what_keras_gives(trained, model, size):
    lr = np.random.default_rng(5).random(size, dtype=np.float32)
    sr = model.signatures["serving_default"](lr=tf.constant(lr))["sr"]
    np.testing.assert_allclose(sr, load_generator(trained["keras"])(lr), atol=1e-5)


@pytest.mark.parametrize("requests", [[], [b""], [b"one", b"\xff"]])
def test_metadata_is_the_text_of_the_card_once_for_each_request(trained, model, requests):
    texts = model.signatures["metadata"](request=tf.constant(requests, tf.string))["spec"]
    card = (trained["saved_model"] / "spec.json").read_bytes()
    assert texts.numpy().tolist() == [card] * len(requests)
    assert ModelSpec.from_json(card.decode(), "card").scale == 4


def test_the_weights_are_stored_once(trained):
    (file,) = (trained["saved_model"] / "variables").glob("*.data-*")
    weights = sum(weight.nbytes for weight in load_generator(trained["keras"]).get_weights())
    assert weights <= file.stat().st_size < 1.5 * weights


def test_the_graph_for_converters_has_the_default_signature_alone(trained, tmp_path):
    write_graph(load_generator(trained["keras"]), tmp_path)
    assert list(tf.saved_model.load(str(tmp_path)).signatures) == ["serving_default"]
    assert not (tmp_path / "spec.json").exists()
    assert not (tmp_path / "assets.extra").exists()


def saved_model_cli(*arguments: object) -> str:
    result = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_tensorflows_command_shows_it(trained):
    shown = saved_model_cli("show", "--dir", trained["saved_model"], "--all")
    for name, (source, target, _) in SIGNATURES.items():
        entry = shown.split(f"signature_def['{name}']:")[1].split("signature_def[")[0]
        assert f"inputs['{source}'] tensor_info" in entry
        assert f"outputs['{target}'] tensor_info" in entry


def test_tensorflows_command_runs_it(trained, tmp_path):
    lr = np.random.default_rng(6).random((2, 7, 11, 1), dtype=np.float32)
    np.save(tmp_path / "lr.npy", lr)
    saved_model_cli(
        "run", "--dir", trained["saved_model"], "--tag_set", "serve",
        "--signature_def", "serving_default",
        "--inputs", f"lr={tmp_path / 'lr.npy'}", "--outdir", tmp_path,
    )  # fmt: skip
    sr = np.load(Path(tmp_path, "sr.npy"))
    np.testing.assert_allclose(sr, load_generator(trained["keras"])(lr), atol=1e-5)
