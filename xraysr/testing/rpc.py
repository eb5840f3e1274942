"""The gRPC half of `LocalServer`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.framework.types_pb2 import DT_FLOAT
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.apis.predict_pb2 import PredictResponse

from xraysr.testing.served_model import RefusalError, ServedModel

OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def rpc_server(shelf: ServedModel, token: str | None) -> tuple[grpc.Server, int]:
    """A server that is not started yet, and its port of the loopback interface.

    Args:
        shelf: The model.
        token: The bearer token that a request must carry, or None for all comers.
    """
    server = grpc.server(ThreadPoolExecutor(4), options=OPTIONS)
    services = _Services(shelf, f"Bearer {token}" if token else None)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(services, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(services, server)
    return server, server.add_insecure_port("127.0.0.1:0")


class _Services(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    def __init__(self, shelf: ServedModel, expected: str | None) -> None:
        self._shelf = shelf
        self._expected = expected

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer(context, lambda: self._predict(request))

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer(context, lambda: self._shelf.metadata(request.model_spec))

    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer(context, lambda: self._shelf.status(request.model_spec))

    def _predict(self, request: Any) -> Any:
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        answered, outputs = self._shelf.predict(request.model_spec, inputs)
        protos = {name: _proto(value) for name, value in outputs.items()}
        return PredictResponse(model_spec=answered, outputs=protos)

    def _answer(self, context: Any, ask: Callable[[], Any]) -> Any:
        sent = dict(context.invocation_metadata()).get("authorization")
        if self._expected not in (None, sent):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid token")
        try:
            return ask()
        except RefusalError as error:
            context.abort(error.code, str(error))


def _proto(value: np.ndarray) -> Any:
    """A tensor with its values in a list, as TF Serving writes answers."""
    if value.dtype != np.float32:
        return tf.make_tensor_proto(value)
    shape = tf.TensorShape(value.shape).as_proto()
    return TensorProto(dtype=DT_FLOAT, tensor_shape=shape, float_val=value.ravel().tolist())
