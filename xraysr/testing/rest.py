"""The REST half of `LocalServer`: requests, and tensors as JSON in rows and columns."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.model_pb2 import ModelSpec

from xraysr.testing.served_model import RefusalError, ServedModel

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
    """Answers for a model at a free port of the loopback interface.

    Args:
        model: The model.
        token: The bearer token that a request must carry, or None for all comers.
    """

    daemon_threads = True

    def __init__(self, model: ServedModel, token: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = model
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
            return _metadata(self.server.model.metadata(_spec(found)))
        return _fields(self.server.model.status(_spec(found)))

    def _predict(self, body: bytes) -> Any:
        spec = _spec(self._match(PREDICT))
        try:
            request = json.loads(body)
        except ValueError as error:
            raise _invalid(f"JSON Parse error: {error}") from error
        if not isinstance(request, dict):
            raise _invalid("JSON Value: Is not object")
        spec.signature_name = str(request.get("signature_name", ""))
        inputs = from_json(request, self.server.model.inputs(spec))
        _, outputs = self.server.model.predict(spec, inputs)
        return to_json(outputs, rows="instances" in request)

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.fullmatch(self.path)
        if not found:
            message = f"Malformed request: {self.command} {self.path}"
            raise _invalid(message)
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


def from_json(body: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The inputs in a request, for a signature with the inputs `wanted` (name to TensorInfo).

    Either {"instances": [row, ...]}, each row a value or an object of values by name, or
    {"inputs": value or object}. Bytes are {"b64": base64}.
    """
    if not wanted:
        raise _invalid("Failed to get input map for signature")
    if ("instances" in body) == ("inputs" in body):
        raise _invalid("Expecting one of 'inputs' and 'instances'")
    if "inputs" in body:
        columns = body["inputs"]
        if not _by_name(columns):
            columns = {_only(wanted): columns}
        for name in wanted:
            if name not in columns:
                raise _invalid(f"Missing named input: {name} in 'inputs' object.")
        return {name: _to_array(columns[name], info.dtype) for name, info in wanted.items()}
    rows = body["instances"]
    if not isinstance(rows, list) or not rows:
        raise _invalid("Expecting 'instances' to be a list that is not empty")
    if not any(map(_by_name, rows)):
        rows = [{_only(wanted): row} for row in rows]
    for row in rows:
        if not _by_name(row) or set(row) != set(wanted):
            raise _invalid(f"Failed to process 'instances': keys must be {sorted(wanted)}")
    return {
        name: _to_array([row[name] for row in rows], info.dtype) for name, info in wanted.items()
    }


def to_json(outputs: Mapping[str, np.ndarray], rows: bool) -> dict[str, Any]:
    """The answer to a request: {"predictions": rows} or {"outputs": columns}.

    One output stands alone, several are objects by name. Strings are text, except those of an
    output whose name ends in _bytes.
    """
    columns = {name: _to_lists(name, value) for name, value in outputs.items()}
    if not rows:
        return {"outputs": columns if len(columns) > 1 else columns.popitem()[1]}
    if len({len(column) for column in columns.values()}) > 1:
        raise _invalid("Outputs have inconsistent batch sizes")
    if len(columns) == 1:
        return {"predictions": columns.popitem()[1]}
    values = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in values]}


def _to_array(value: Any, dtype: int) -> np.ndarray:
    kind = tf.as_dtype(dtype)
    try:
        if kind == tf.string:
            return np.array(_bytes(value), object)
        array = np.array(value)
        if array.dtype.kind not in "if" or (kind.is_integer and array.dtype.kind == "f"):
            raise ValueError(f"expected numbers of type {kind.name}")
        return array.astype(kind.as_numpy_dtype)
    except (ValueError, TypeError, KeyError) as error:
        raise _invalid(f"JSON Value is not of expected type or shape: {error}") from error


def _bytes(value: Any) -> Any:
    """Nested lists of bytes for nested lists of text and base64 objects."""
    if isinstance(value, list):
        return [_bytes(one) for one in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    if not isinstance(value, str):
        raise ValueError(f"expected a string, received {json.dumps(value)}")
    return value.encode()


def _to_lists(name: str, value: np.ndarray) -> Any:
    if value.dtype.kind not in "OS":
        return value.tolist()
    return _texts(value.tolist(), name.endswith("_bytes"))


def _texts(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_texts(one, as_bytes) for one in value]
    return {"b64": base64.b64encode(value).decode()} if as_bytes else value.decode()


def _by_name(value: Any) -> bool:
    return isinstance(value, dict) and set(value) != {"b64"}


def _only(wanted: Mapping[str, Any]) -> str:
    if len(wanted) > 1:
        raise _invalid("Expecting an object, as the signature has several inputs")
    return next(iter(wanted))


def _invalid(message: str) -> RefusalError:
    return RefusalError(grpc.StatusCode.INVALID_ARGUMENT, message)
