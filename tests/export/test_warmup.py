"""The requests that TF Serving answers before those of clients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from xraysr.errors import UserError
from xraysr.export.warmup import lr_sizes, write_warmup
from xraysr.spec import ModelSpec

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
