"""`LocalServer`: an exported model over REST and gRPC, on this machine."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from xraysr.testing.rest import RestServer
from xraysr.testing.rpc import rpc_server
from xraysr.testing.served_model import ServedModel


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
        self._shelf = ServedModel(Path(folder).resolve(), labels or {})
        self._shelf.refresh()
        self._rest = RestServer(self._shelf, token)
        self._rpc, self._rpc_port = rpc_server(self._shelf, token)

    @property
    def rest(self) -> str:
        """The REST address of the model."""
        return f"http://127.0.0.1:{self._rest.server_port}/v1/models/{self._shelf.folder.name}"

    @property
    def grpc(self) -> str:
        """The gRPC address of the model."""
        return f"grpc://127.0.0.1:{self._rpc_port}/{self._shelf.folder.name}"

    def refresh(self) -> None:
        """Loads versions that have come to the folder and drops those that have gone."""
        self._shelf.refresh()

    def label(self, name: str, version: int) -> None:
        """Gives a label to a version."""
        self._shelf.labels[name] = version

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
