from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from xraysr.errors import UserError
from xraysr.export.saved_model import lr_sizes, write_graph, write_warmup
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


MOST = 1000  # more records, and TF Serving does not load the model


def spec(**training: object) -> ModelSpec:
    return ModelSpec("sharp", 4, 7, "0" * 64, training=training)


def requests(path: Path) -> list[PredictRequest]:
    """What TF Serving reads, at the place where it looks."""
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    records = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    logs = [PredictionLog.FromString(record) for record in records]
    assert {log.WhichOneof("log_type") for log in logs} == {"predict_log"}
    return [log.predict_log.request for log in logs]


@pytest.mark.parametrize(
    ("training", "sizes"),
    [
        ({"pair": "32:128"}, [(32, 32)]),
        ({"pairs": ["64:256", "32:128", "64:256"]}, [(64, 64), (32, 32)]),
        ({"pair": "48x64:192x256"}, [(48, 64)]),
        ({}, [(64, 64)]),
    ],
)
def test_the_sizes_are_those_of_the_training(training, sizes):
    assert lr_sizes(spec(**training)) == sizes


def test_a_pair_that_is_none_is_named():
    with pytest.raises(UserError, match="Received: 'large'"):
        lr_sizes(spec(pair="large"))


def test_each_size_comes_to_each_signature(tmp_path):
    write_warmup(tmp_path, spec(pairs=["8:32", "12x20:48x80"]))
    written = requests(tmp_path)
    signatures = [request.model_spec.signature_name for request in written]
    assert signatures == ["serving_default", "image_bytes"] * 2
    assert {request.model_spec.name for request in written} == {"sharp"}
    assert len(written) <= MOST
    shapes = [tf.make_ndarray(request.inputs["lr"]).shape for request in written[::2]]
    assert shapes == [(1, 8, 8, 1), (1, 12, 20, 1)]


def test_the_artefact_answers_each_request(trained):
    model = tf.saved_model.load(str(trained["saved_model"]))
    written = requests(trained["saved_model"])
    assert written
    for request in written:
        signature = model.signatures[request.model_spec.signature_name]
        inputs = {name: tf.constant(tf.make_ndarray(t)) for name, t in request.inputs.items()}
        (result,) = signature(**inputs).values()
        if request.model_spec.signature_name == "serving_default":
            assert result.shape == (1, 32, 32, 1)
            assert np.ptp(result) > 0.5
        else:
            images = [tf.io.decode_png(file, dtype=tf.uint16) for file in result]
            assert [image.shape.as_list() for image in images] == [[32, 32, 1]] * 3
            depths = [file.numpy()[24] for file in result]
            assert depths == [8, 16, 8]
