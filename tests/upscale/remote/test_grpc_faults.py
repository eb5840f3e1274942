"""The gRPC client and servers that fail: what it says, and how often it asks."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.predict_pb2 import PredictResponse
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceServicer,
    add_PredictionServiceServicer_to_server,
)

from xraysr.errors import ServerError, UserError
from xraysr.upscale.remote import connect

IMAGE = np.full((4, 6), 0.25, np.float32)
Code = grpc.StatusCode


class Servicer(PredictionServiceServicer):
    """Fails as the model says, else answers; it has no ModelService."""

    def __init__(self, model) -> None:
        self.model = model

    def GetModelMetadata(self, request, context):  # noqa: N802
        self._begin("GetModelMetadata", context)
        response = GetModelMetadataResponse()
        response.model_spec.version.value = 5
        signatures = SignatureDefMap()
        for name in ("metadata", "serving_default"):
            signatures.signature_def[name].SetInParent()
        response.metadata["signature_def"].Pack(signatures)
        return response

    def Predict(self, request, context):  # noqa: N802
        response = self._begin("Predict", context)
        if response is not None:
            return response
        assert request.model_spec.version.value == 5
        response = PredictResponse()
        if request.model_spec.signature_name == "metadata":
            response.outputs["spec"].CopyFrom(tf.make_tensor_proto([self.model.card]))
        else:
            sr = self.model.enlarge(tf.make_ndarray(request.inputs["lr"]))
            response.outputs["sr"].CopyFrom(tf.make_tensor_proto(sr))
        return response

    def _begin(self, method, context):
        self.model.asked.append((method, dict(context.invocation_metadata())))
        fault = self.model.faults.pop(0) if self.model.faults else None
        return fault(context) if fault else None


@contextmanager
def serving(model, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    add_PredictionServiceServicer_to_server(Servicer(model), server)
    if credentials is None:
        address = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}/repeat"
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
        address = f"grpcs://127.0.0.1:{port}/repeat"
    server.start()
    try:
        yield address
    finally:
        server.stop(None).wait()


@pytest.fixture
def address(model) -> Iterator[str]:
    with serving(model) as address:
        yield address


def refusal(address: str, **options) -> str:
    with pytest.raises(ServerError) as error:
        connect(address, **options)
    message = str(error.value)
    assert "\n" not in message
    assert address in message
    return message


def abort(code: grpc.StatusCode, details: str = "") -> Callable:
    return lambda context: context.abort(code, details)


def never(context) -> None:
    time.sleep(0.5)


def answer(name: str, value) -> Callable:
    """A response with one output."""
    return lambda context: PredictResponse(outputs={name: tf.make_tensor_proto(value)})


def test_the_fake_server_does_its_work(model, address):
    upscaler = connect(address)
    np.testing.assert_array_equal(upscaler(IMAGE), np.full((8, 12), 0.25))
    assert upscaler.runtime.version == 5
    assert len(model.asked) == 3


def test_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    message = refusal(f"grpc://127.0.0.1:{port}/repeat")
    assert "could not be reached in 5 attempts: " in message
    assert "Connection refused" in message


def test_a_server_that_starts_late_is_found(model, monkeypatch):
    """Between two attempts the client reaches anew for what was not there."""
    pauses = iter([0.6] * 4)
    server = grpc.server(ThreadPoolExecutor(2))
    add_PredictionServiceServicer_to_server(Servicer(model), server)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    def sleep(seconds):
        if next(pauses, None) and not model.asked:
            server.add_insecure_port(f"127.0.0.1:{port}")
            server.start()
        threading.Event().wait(0.6)

    monkeypatch.setattr("xraysr.upscale.remote.runtime.time.sleep", sleep)
    assert connect(f"grpc://127.0.0.1:{port}/repeat").scale == 2
    server.stop(None).wait()


def test_a_server_that_recovers_is_asked_again(model, address):
    model.faults = [abort(Code.UNAVAILABLE, "The queue is full")] * 2
    upscaler = connect(address)
    assert len(model.asked) == 4
    model.faults = [abort(Code.UNAVAILABLE)] * 4
    assert upscaler(IMAGE).shape == (8, 12)
    assert len(model.asked) == 9


def test_a_server_that_does_not_recover_is_given_up(model, address):
    model.faults = [abort(Code.UNAVAILABLE, "The queue is full")] * 100
    assert "could not be reached in 5 attempts: The queue is full." in refusal(address)
    assert len(model.asked) == 5


def test_a_slow_server_is_asked_once(model, address):
    model.faults = [never]
    assert "did not answer within 0.2 s" in refusal(address, timeout=0.2)
    assert len(model.asked) <= 1  # on a busy machine the time may be over before it is asked


@pytest.mark.parametrize(
    ("code", "details", "reason"),
    [
        (Code.INTERNAL, "out of luck", "failed: INTERNAL, out of luck. The log"),
        (Code.UNKNOWN, "", "failed: UNKNOWN"),
        (Code.INVALID_ARGUMENT, "bad shape", "refuses the request: INVALID_ARGUMENT, bad shape"),
        (Code.RESOURCE_EXHAUSTED, "OOM", r"too large .*OOM.* Give \S*connect a smaller tile"),
        (Code.UNKNOWN, "Received http2 header with status: 413", "connect a smaller tile"),
        (Code.UNAUTHENTICATED, "who?", "lets nobody in without a valid token .*who?"),
        (Code.PERMISSION_DENIED, "", "lets nobody in without a valid token"),
        (Code.UNIMPLEMENTED, "", "does not answer as TF Serving does: UNIMPLEMENTED"),
    ],
)
def test_what_is_not_asked_again(model, address, code, details, reason):
    model.faults = [abort(code, details)]
    with pytest.raises(ServerError, match=reason):
        connect(address)
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (abort(Code.RESOURCE_EXHAUSTED, "larger than max"), "smaller tile"),
        (abort(Code.INTERNAL), "failed: INTERNAL"),
        (answer("half", np.zeros((1, 8, 12, 1), np.float32)), "no output sr in its signature"),
        (answer("sr", np.zeros((1, 8, 12, 1), np.int32)), "no output sr in its signature"),
    ],
)
def test_a_server_that_fails_later(model, address, fault, reason):
    upscaler = connect(address)
    model.faults = [fault]
    with pytest.raises(ServerError, match=reason):
        upscaler(IMAGE)
    assert upscaler(IMAGE).shape == (8, 12)


def test_a_tensor_with_too_few_values(model, address):
    def cut(context):
        response = answer("sr", np.zeros((1, 8, 12, 1), np.float32))(context)
        response.outputs["sr"].tensor_content = response.outputs["sr"].tensor_content[:20]
        return response

    upscaler = connect(address)
    model.faults = [cut]
    with pytest.raises(
        ServerError, match="does not answer as TF Serving does: an unreadable tensor"
    ):
        upscaler(IMAGE)


def test_images_of_another_size_than_the_card_says(model, address):
    model.factor = 3
    with pytest.raises(UserError, match="does not fit its card: expected x2"):
        connect(address)(IMAGE)


def test_messages_of_more_than_four_megabytes(model, address):
    image = np.full((500, 900), 0.5, np.float32)
    assert connect(address, tile=1000)(image).shape == (1000, 1800)


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_server_that_speaks_no_grpc(greeting):
    """It closes in mid-stream, with or without a word of another protocol."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = threading.Event()

        def hang_up():
            listening.settimeout(0.1)
            while not done.is_set():
                try:
                    with listening.accept()[0] as connection:
                        connection.sendall(greeting)
                except TimeoutError:
                    pass

        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            message = refusal(f"grpc://127.0.0.1:{listening.getsockname()[1]}/repeat", timeout=5)
        finally:
            done.set()
            thread.join()
    assert "could not be reached in 5 attempts" in message


def tls(files) -> grpc.ServerCredentials:
    certificate, key = (path.read_bytes() for path in files)
    return grpc.ssl_server_credentials([(key, certificate)])


def test_tls_with_an_authority_of_ones_own(model, certificate, monkeypatch):
    files = certificate("127.0.0.1")
    with serving(model, tls(files)) as address:
        upscaler = connect(address, ca_file=files[0], token="open-sesame")
        assert upscaler(IMAGE).shape == (8, 12)
        assert {sent["authorization"] for _, sent in model.asked} == {"Bearer open-sesame"}
        monkeypatch.setenv("XRAYSR_CA_FILE", str(files[0]))
        connect(address)


def test_a_certificate_that_nobody_trusts(model, certificate):
    with serving(model, tls(certificate("127.0.0.1"))) as address:
        message = refusal(address, token="open-sesame")
        assert "is not trusted" in message
        assert "in XRAYSR_CA_FILE" in message
    assert model.asked == []


def test_a_certificate_of_another_host(model, certificate):
    files = certificate("elsewhere")
    with serving(model, tls(files)) as address:
        assert "is not trusted" in refusal(address, ca_file=files[0])


def test_tls_where_there_is_none(model, address):
    assert "No secure connection to" in refusal(address.replace("grpc:", "grpcs:"))


def test_nothing_for_this_machine_goes_to_a_proxy(address, monkeypatch):
    """Least of all a token, which would pass through it readable."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        for name in ("grpc_proxy", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_grpc_proxy", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert connect(address, token="secret").scale == 2
        with pytest.raises(BlockingIOError):
            proxy.accept()
