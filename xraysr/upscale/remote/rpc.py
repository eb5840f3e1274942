"""TF Serving over gRPC, with its own messages, which import TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from xraysr.upscale.remote import faults
from xraysr.upscale.remote.address import Access, Address
from xraysr.upscale.remote.faults import MissingError, UnavailableError
from xraysr.upscale.remote.runtime import patiently

OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A further attempt is to reach for the server, not to hear that the last one failed.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]
UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed")


class RpcConnection:
    """A model by its address; see `Connection`.

    Args:
        address: Where the model is.
        access: Token and authorities.
        timeout: Seconds for one request.
    """

    def __init__(self, address: Address, access: Access, timeout: float) -> None:
        self.address = address
        self._timeout = timeout
        self._metadata = tuple(access.header.items())
        channel = _channel(address, access)
        self._prediction = PredictionServiceStub(channel)
        self._models = ModelServiceStub(channel)

    def resolve(self) -> tuple[int, set[str]]:
        """Which version answers the address, and the names of its signatures."""
        model = ModelSpec(name=self.address.name)
        if self.address.version is not None:
            model.version.value = self.address.version
        if self.address.label is not None:
            model.version_label = self.address.label
        request = GetModelMetadataRequest(model_spec=model, metadata_field=["signature_def"])
        answer = self._ask(self._prediction.GetModelMetadata, request)
        found = SignatureDefMap()
        if not answer.metadata["signature_def"].Unpack(found):
            raise faults.gibberish(self.address, "no metadata of a model")
        return answer.model_spec.version.value, set(found.signature_def)

    def versions(self) -> list[int]:
        """The versions of the model that are ready."""
        request = GetModelStatusRequest(model_spec=ModelSpec(name=self.address.name))
        states = self._ask(self._models.GetModelStatus, request).model_version_status
        return sorted(one.version for one in states if one.state == ModelVersionStatus.AVAILABLE)

    def card(self, version: int) -> str:
        """The text of the card of a version."""
        request = self._request(version, "metadata", "request", np.array([b"spec"]))
        texts = self._predict(request, "spec", tf.string)
        if texts.shape != (1,):
            raise faults.foreign(self.address, "card in its signature metadata")
        return texts[0].decode("utf-8", "replace")

    def enlarge(self, batch: np.ndarray, version: int) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        request = self._request(version, "serving_default", "lr", batch)
        return self._predict(request, "sr", tf.float32)

    def _request(self, version: int, signature: str, name: str, value: np.ndarray) -> Any:
        request = PredictRequest()
        request.model_spec.name = self.address.name
        request.model_spec.version.value = version
        request.model_spec.signature_name = signature
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return request

    def _predict(self, request: Any, name: str, dtype: tf.DType) -> np.ndarray:
        outputs = self._ask(self._prediction.Predict, request).outputs
        if name not in outputs or outputs[name].dtype != dtype.as_datatype_enum:
            lacks = f"output {name} in its signature {request.model_spec.signature_name}"
            raise faults.foreign(self.address, lacks)
        try:
            return tf.make_ndarray(outputs[name])
        except (TypeError, ValueError) as error:
            raise faults.gibberish(self.address, f"an unreadable tensor ({error})") from None

    def _ask(self, call: Callable[..., Any], request: Any) -> Any:
        return patiently(self.address, lambda: self._ask_once(call, request))

    def _ask_once(self, call: Callable[..., Any], request: Any) -> Any:
        try:
            return call(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            self._refuse(error)

    def _refuse(self, error: Any) -> NoReturn:
        """Raises what a status other than OK means."""
        code, details = error.code(), error.details() or ""
        what = f"{code.name}, {details}"
        if any(sign in details for sign in UNTRUSTED):
            raise faults.untrusted(self.address, details) from error
        if "handshake" in details.lower():
            raise faults.no_tls(self.address, details) from error
        if "status: 413" in details:  # what a proxy says, as gRPC retells it
            raise faults.too_large(self.address, details) from error
        if code == grpc.StatusCode.UNAVAILABLE:
            raise UnavailableError(details) from error
        if code == grpc.StatusCode.NOT_FOUND or "version label" in details:
            raise MissingError(details) from error
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            raise faults.slow(self.address, self._timeout) from error
        fault = {
            grpc.StatusCode.UNAUTHENTICATED: faults.not_let_in,
            grpc.StatusCode.PERMISSION_DENIED: faults.not_let_in,
            grpc.StatusCode.RESOURCE_EXHAUSTED: faults.too_large,
            grpc.StatusCode.INVALID_ARGUMENT: faults.refused,
            grpc.StatusCode.FAILED_PRECONDITION: faults.refused,
            grpc.StatusCode.UNIMPLEMENTED: faults.gibberish,
        }.get(code, faults.failed)
        raise fault(self.address, what) from error


def _channel(address: Address, access: Access) -> grpc.Channel:
    # A proxy of the environment must not get what is meant for this machine, token included.
    options = [*OPTIONS, ("grpc.enable_http_proxy", int(not address.loopback))]
    if not address.secure:
        return grpc.insecure_channel(address.authority, options)
    roots = access.ca_file.read_bytes() if access.ca_file else None
    return grpc.secure_channel(address.authority, grpc.ssl_channel_credentials(roots), options)
