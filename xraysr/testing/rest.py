"""The REST half of `LocalServer`."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.json_format import MessageToDict
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.model_pb2 import ModelSpec

from xraysr.testing.served_model import RefusalError, ServedModel
from xraysr.testing.tensors import from_json, to_json

MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
PREDICT = re.compile(f"{MODEL}:predict")
INFORM = re.compile(f"{MODEL}(/metadata)?")
STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}


class RestServer(ThreadingHTTPServer):
    """Answers for a shelf at a free port of the loopback interface.

    Args:
        shelf: The model.
        token: The bearer token that a request must carry, or None for all comers.
    """

    daemon_threads = True

    def __init__(self, shelf: ServedModel, token: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.shelf = shelf
        self.expected = f"Bearer {token}" if token else None


class _Handler(BaseHTTPRequestHandler):
    server: RestServer

    def do_GET(self) -> None:
        self._answer(self._inform)

    def do_POST(self) -> None:
        self._answer(self._predict)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps quiet."""

    def _answer(self, ask: Any) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            if self.server.expected not in (None, self.headers.get("Authorization")):
                raise RefusalError(grpc.StatusCode.UNAUTHENTICATED, "no valid token")
            status, content = 200, ask(body)
        except RefusalError as error:
            status, content = STATUS.get(error.code, 500), {"error": str(error)}
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _inform(self, body: bytes) -> Any:
        found = self._match(INFORM)
        if found[4]:
            return _metadata(self.server.shelf.metadata(_spec(found)))
        return _fields(self.server.shelf.status(_spec(found)))

    def _predict(self, body: bytes) -> Any:
        spec = _spec(self._match(PREDICT))
        try:
            request = json.loads(body)
        except ValueError as error:
            raise RefusalError(
                grpc.StatusCode.INVALID_ARGUMENT, f"JSON Parse error: {error}"
            ) from error
        if not isinstance(request, dict):
            raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, "JSON Value: Is not object")
        spec.signature_name = str(request.get("signature_name", ""))
        inputs = from_json(request, self.server.shelf.inputs(spec))
        _, outputs = self.server.shelf.predict(spec, inputs)
        return to_json(outputs, rows="instances" in request)

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.fullmatch(self.path)
        if not found:
            message = f"Malformed request: {self.command} {self.path}"
            raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, message)
        return found


def _spec(found: re.Match[str]) -> ModelSpec:
    name, version, label = found.group(1, 2, 3)
    spec = ModelSpec(name=unquote(name))
    if version:
        spec.version.value = int(version)
    if label:
        spec.version_label = unquote(label)
    return spec


def _fields(message: Any) -> dict[str, Any]:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _metadata(response: GetModelMetadataResponse) -> dict[str, Any]:
    signatures = SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return {
        "model_spec": _fields(response.model_spec),
        "metadata": {"signature_def": _fields(signatures)},
    }
