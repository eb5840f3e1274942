"""`LocalServer`: an exported model over gRPC and REST, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.framework.types_pb2 import DT_FLOAT
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.apis.predict_pb2 import PredictResponse

from xraysr.testing.rest import RestServer
from xraysr.testing.served_model import RefusalError, ServedModel

OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class LocalServer:
    """Serves all versions of an exported model as TF Serving would, while its block lasts.

    For tests and notebooks, and no replacement of TF Serving: it listens on the loopback
    interface alone, gathers no batches, has no TLS and knows no limits. Predictions, model
    status and model metadata are answered; where TF Serving refuses a request, so does it.

    Args:
        folder: What `xraysr export --format saved_model` wrote: NAME/, with NAME/VERSION/ in it.
        token: A bearer token that requests must carry, as behind a reverse proxy.
        labels: Names for versions, such as {"stable": 1}.

    Raises:
        UserError: if the folder holds no version.

    Example:
        >>> with LocalServer(Path("models/base-x4")) as server:
        ...     upscaler = xraysr.load(server.grpc)  # grpc://127.0.0.1:PORT/base-x4
    """

    def __init__(
        self, folder: Path, token: str | None = None, labels: dict[str, int] | None = None
    ) -> None:
        self._model = ServedModel(Path(folder).resolve(), labels or {})
        self._model.refresh()
        self._rest = RestServer(self._model, token)
        self._rpc, self._rpc_port = _rpc_server(self._model, token)

    @property
    def rest(self) -> str:
        """The REST address of the model."""
        return f"http://127.0.0.1:{self._rest.server_port}/v1/models/{self._model.folder.name}"

    @property
    def grpc(self) -> str:
        """The gRPC address of the model."""
        return f"grpc://127.0.0.1:{self._rpc_port}/{self._model.folder.name}"

    def refresh(self) -> None:
        """Loads versions that have come to the folder and drops those that have gone."""
        self._model.refresh()

    def label(self, name: str, version: int) -> None:
        """Gives a label to a version."""
        self._model.labels[name] = version

    def __enter__(self) -> Self:
        Thread(target=self._rest.serve_forever, args=(0.05,), daemon=True).start()
        self._rpc.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rest.shutdown()
        self._rest.server_close()
        self._rpc.stop(None).wait()


def _rpc_server(model: ServedModel, token: str | None) -> tuple[grpc.Server, int]:
    """A server that is not started yet, and its port of the loopback interface.

    Args:
        model: The model.
        token: The bearer token that a request must carry, or None for all comers.
    """
    server = grpc.server(ThreadPoolExecutor(4), options=OPTIONS)
    services = _Services(model, f"Bearer {token}" if token else None)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(services, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(services, server)
    return server, server.add_insecure_port("127.0.0.1:0")


class _Services(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    def __init__(self, model: ServedModel, expected: str | None) -> None:
        self._model = model
        self._expected = expected

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer(context, lambda: self._predict(request))

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer(context, lambda: self._model.metadata(request.model_spec))

    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer(context, lambda: self._model.status(request.model_spec))

    def _predict(self, request: Any) -> Any:
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        answered, outputs = self._model.predict(request.model_spec, inputs)
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
