"""The stand-in for TF Serving: it answers as TF Serving does, and refuses what that refuses."""

from __future__ import annotations

import base64
import io
import shutil

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from xraysr.errors import UserError
from xraysr.spec import ModelSpec
from xraysr.testing import LocalServer
from xraysr.upscale import load


class Sums(tf.Module):
    """Signatures of every kind: several inputs and outputs, bytes, text, none."""

    pair = tf.TensorSpec((None,), tf.float32)
    words = tf.TensorSpec((None,), tf.string)

    @tf.function(input_signature=[pair, pair])
    def serving_default(self, x, y):
        return {"sum": x + y, "count": tf.fill(tf.shape(x), 3)}

    @tf.function(input_signature=[words])
    def echo(self, data_bytes):
        return {"same_bytes": data_bytes, "text": tf.strings.upper(data_bytes)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32)])
    def positive(self, number):
        with tf.control_dependencies(
            [tf.debugging.Assert(tf.reduce_all(number > 0), ["not positive"])]
        ):
            return {"number": tf.identity(number)}

    @tf.function(input_signature=[])
    def nothing(self):
        return {"zero": tf.constant(0)}


@pytest.fixture(scope="module")
def sums(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "sums"
    module = Sums()
    names = ("serving_default", "echo", "positive", "nothing")
    signatures = {name: getattr(module, name) for name in names}
    for version in (3, 20):
        tf.saved_model.save(module, str(folder / str(version)), signatures=signatures)
    with LocalServer(folder, labels={"stable": 3, "lost": 4}) as server:
        yield server


def post(server: LocalServer, body, path: str = "") -> tuple[int, dict]:
    answer = requests.post(f"{server.rest}{path}:predict", **body, timeout=30)
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("request_body", "answer"),
    [
        (
            {"instances": [{"x": 1, "y": 0.5}, {"x": 2.5, "y": 2}]},
            {"predictions": [{"sum": 1.5, "count": 3}, {"sum": 4.5, "count": 3}]},
        ),
        (
            {"inputs": {"x": [1, 2.5], "y": [0.5, 2]}},
            {"outputs": {"sum": [1.5, 4.5], "count": [3, 3]}},
        ),
        (
            {"signature_name": "echo", "inputs": [{"b64": "b25l"}, "plain"]},
            {
                "outputs": {
                    "same_bytes": [{"b64": "b25l"}, {"b64": "cGxhaW4="}],
                    "text": ["ONE", "PLAIN"],
                }
            },
        ),
        (
            {"signature_name": "echo", "instances": ["plain", {"b64": "b25l"}]},
            {
                "predictions": [
                    {"same_bytes": {"b64": "cGxhaW4="}, "text": "PLAIN"},
                    {"same_bytes": {"b64": "b25l"}, "text": "ONE"},
                ]
            },
        ),
        ({"signature_name": "positive", "instances": [4, 5]}, {"predictions": [4, 5]}),
        ({"signature_name": "positive", "inputs": {"number": [4]}}, {"outputs": [4]}),
    ],
)
def test_rows_and_columns(sums, request_body, answer):
    assert post(sums, {"json": request_body}) == (200, answer)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"data": b""}, 400, "JSON Parse error"),
        ({"data": b"{"}, 400, "JSON Parse error"),
        ({"json": [1]}, 400, "Is not object"),
        ({"json": {}}, 400, "one of 'inputs' and 'instances'"),
        ({"json": {"inputs": [], "instances": []}}, 400, "one of 'inputs' and 'instances'"),
        ({"json": {"instances": []}}, 400, "not empty"),
        ({"json": {"instances": [1, 2]}}, 400, "several inputs"),
        ({"json": {"instances": [{"x": 1}]}}, 400, "keys must be"),
        ({"json": {"instances": [{"x": 1, "y": 1}, 7]}}, 400, "keys must be"),
        ({"json": {"inputs": [1]}}, 400, "several inputs"),
        ({"json": {"inputs": {"x": [1]}}}, 400, "Missing named input: y"),
        ({"json": {"inputs": {"x": ["1"], "y": [1]}}}, 400, "not of expected type"),
        ({"json": {"inputs": {"x": [True], "y": [1]}}}, 400, "not of expected type"),
        ({"json": {"inputs": {"x": [[1], [1, 2]], "y": [1]}}}, 400, "type or shape"),
        ({"json": {"signature_name": "positive", "inputs": [1.5]}}, 400, "not of expected type"),
        ({"json": {"signature_name": "positive", "inputs": [-1]}}, 400, "not positive"),
        ({"json": {"signature_name": "nothing", "inputs": {}}}, 400, "Failed to get input map"),
        ({"json": {"signature_name": "other", "inputs": [1]}}, 400, '"other" not found'),
        ({"json": {"signature_name": "echo", "inputs": [5]}}, 400, "not of expected type"),
        ({"json": {"signature_name": "echo", "inputs": [{"b64": "?"}]}}, 400, "not of expected"),
    ],
)
def test_requests_that_are_refused(sums, body, status, reason):
    code, answer = post(sums, body)
    assert code == status
    assert reason in answer["error"]


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/versions/4", 404, "Servable not found for request: Specific(sums, 4)"),
        ("s", 404, "Servable not found for request: Latest(sumss)"),
        ("/labels/beta", 400, "Unrecognized servable version label: beta"),
        ("/labels/lost", 404, "Specific(sums, 4)"),
        ("/versions/x", 400, "Malformed request: POST /v1/models/sums/versions/x:predict"),
    ],
)
def test_models_that_there_are_not(sums, path, status, reason):
    body = {"json": {"signature_name": "positive", "instances": [1]}}
    code, answer = post(sums, body, path)
    assert (code, reason in answer["error"]) == (status, True)


def get(server: LocalServer, path: str = "") -> tuple[int, dict]:
    answer = requests.get(server.rest + path, timeout=30)
    return answer.status_code, answer.json()


def test_the_status_of_a_model(sums):
    fine = {"error_code": "OK", "error_message": ""}
    states = [{"version": v, "state": "AVAILABLE", "status": fine} for v in ("20", "3")]
    assert get(sums) == (200, {"model_version_status": states})
    assert get(sums, "/versions/3") == (200, {"model_version_status": states[1:]})
    assert get(sums, "/labels/stable") == (200, {"model_version_status": states})
    code, answer = get(sums, "/versions/4")
    assert (code, answer["error"]) == (404, "Could not find version 4 of model sums")
    assert get(sums, "s")[0] == 404


@pytest.mark.parametrize(
    ("path", "version"), [("", "20"), ("/labels/stable", "3"), ("/versions/3", "3")]
)
def test_the_metadata_of_a_model(sums, path, version):
    code, answer = get(sums, f"{path}/metadata")
    assert (code, answer["model_spec"]["version"]) == (200, version)
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert signatures["positive"]["inputs"]["number"]["dtype"] == "DT_INT32"


def predict(server: LocalServer, signature: str, token: str | None = None, **inputs):
    authority, name = server.grpc.removeprefix("grpc://").split("/")
    request = PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    metadata = [("authorization", f"Bearer {token}")] if token else None
    with grpc.insecure_channel(authority) as channel:
        return PredictionServiceStub(channel).Predict(request, metadata=metadata, timeout=30)


def test_grpc_answers_with_the_version_and_plain_values(sums):
    response = predict(sums, "", x=np.float32([1, 2]), y=np.float32([0.5, 2]))
    assert response.model_spec.version.value == 20
    assert list(response.outputs["sum"].float_val) == [1.5, 4.0]
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["sum"]), [1.5, 4.0])


@pytest.mark.parametrize(
    ("signature", "inputs", "code", "details"),
    [
        ("other", {"x": [1]}, grpc.StatusCode.FAILED_PRECONDITION, '"other" not found'),
        ("positive", {}, grpc.StatusCode.INVALID_ARGUMENT, "does not match signature"),
        ("positive", {"x": [1]}, grpc.StatusCode.INVALID_ARGUMENT, "does not match signature"),
        ("positive", {"number": [1, -1]}, grpc.StatusCode.INVALID_ARGUMENT, "not positive"),
        ("positive", {"number": ["one"]}, grpc.StatusCode.INVALID_ARGUMENT, ""),
    ],
)
def test_what_grpc_refuses(sums, signature, inputs, code, details):
    with pytest.raises(grpc.RpcError) as error:
        predict(sums, signature, **inputs)
    assert error.value.code() == code
    assert details in error.value.details()


def test_grpc_tells_the_status(sums):
    request = GetModelStatusRequest()
    request.model_spec.name = "sums"
    with grpc.insecure_channel(sums.grpc.split("/")[2]) as channel:
        answer = ModelServiceStub(channel).GetModelStatus(request, timeout=30)
    assert [each.version for each in answer.model_version_status] == [20, 3]


def test_an_exported_model_takes_and_gives_files(trained):
    film = np.random.default_rng(0).integers(0, 65536, (7, 9), np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(film).save(buffer, "png")
    row = {"b64": base64.b64encode(buffer.getvalue()).decode()}
    with LocalServer(trained["saved_model"].parent) as server:
        body = {"signature_name": "image_bytes", "instances": [row]}
        code, answer = post(server, {"json": body})
        damaged = {"signature_name": "image_bytes", "instances": [row, {"b64": "AAAA"}]}
        refused, error = post(server, {"json": damaged})
        _, card = post(server, {"json": {"signature_name": "metadata", "instances": ["spec"]}})
    assert code == 200
    sr = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["predictions"][0]["b64"]))))
    expected = load(trained["saved_model"])((film / 65535).astype(np.float32))
    np.testing.assert_allclose(sr, expected * 65535, rtol=0, atol=1)
    assert (refused, "image_bytes[1]" in error["error"]) == (400, True)
    spec = ModelSpec.from_json(card["predictions"][0], "server")
    assert spec == ModelSpec.load(trained["saved_model"])


def test_versions_come_and_go(sums, tmp_path):
    folder = tmp_path / "sums"
    shutil.copytree(sums._model.folder / "3", folder / "3")
    (folder / "notes").mkdir()
    with LocalServer(folder) as server:
        (folder / "3").rename(folder / "4")
        assert get(server)[1]["model_version_status"][0]["version"] == "3"
        server.refresh()
        states = get(server)[1]["model_version_status"]
        assert [(one["version"], one["state"]) for one in states] == [
            ("4", "AVAILABLE"),
            ("3", "END"),
        ]
        server.label("new", 4)
        body = {"json": {"signature_name": "positive", "instances": [1]}}
        assert post(server, body, "/labels/new")[0] == 200
        assert post(server, body, "/versions/3")[0] == 404


def test_a_token_is_wanted_at_every_door(sums):
    with LocalServer(sums._model.folder, token="open-sesame") as server:
        body = {"json": {"signature_name": "positive", "instances": [1]}}
        wrong = {**body, "headers": {"authorization": "Bearer close-sesame"}}
        right = {**body, "headers": {"authorization": "Bearer open-sesame"}}
        assert [post(server, each)[0] for each in (body, wrong, right)] == [401, 401, 200]
        assert get(server)[0] == 401
        for token in (None, "close-sesame"):
            with pytest.raises(grpc.RpcError) as error:
                predict(server, "positive", token, number=[1])
            assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
        predict(server, "positive", "open-sesame", number=[1])


def test_a_folder_without_versions(tmp_path):
    (tmp_path / "chest").mkdir()
    with pytest.raises(UserError, match="chest holds no version of a SavedModel"):
        LocalServer(tmp_path / "chest")


def test_it_listens_on_this_machine_alone(sums):
    for address in (sums.rest, sums.grpc):
        assert "://127.0.0.1:" in address
