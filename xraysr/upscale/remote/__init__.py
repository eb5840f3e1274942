"""Models behind TF Serving. REST needs no TensorFlow; gRPC does, for the protocol's messages."""

from __future__ import annotations

from pathlib import Path

from xraysr.errors import UserError
from xraysr.upscale.remote.address import Access, Address
from xraysr.upscale.remote.runtime import Connection, RemoteRuntime
from xraysr.upscale.upscaler import Upscaler

__all__ = ["Address", "connect"]

# What the protocols import, and the package that brings it.
PACKAGES = {
    "requests": "requests",
    "grpc": "grpcio",
    "tensorflow": "tensorflow",
    "tensorflow_serving": "tensorflow-serving-api",
}


def connect(
    address: str,
    *,
    token: str | None = None,
    ca_file: Path | None = None,
    timeout: float = 60.0,
    tile: int = 512,
) -> Upscaler:
    """Opens a model that TF Serving holds.

    The version that the address means at this moment, by its number, by its label or as the
    latest, is asked from then on; once it is no longer served, load again. A server that is
    unavailable is asked five times within some seconds.

    gRPC sends pixels as they are. REST writes them as decimals: they arrive exactly as well, but
    an image takes three to four times the bytes and far more time and memory on both sides, so
    prefer gRPC for large ones.

    Args:
        address: `http(s)://HOST:8501/v1/models/NAME` or `grpc(s)://HOST:8500/NAME`, then nothing,
            `/versions/N` or `/labels/LABEL`. A reverse proxy may put a path before /v1. With the
            s of https and grpcs all is sent over TLS.
        token: Sent as `authorization: Bearer TOKEN`, for the proxy that stands before TF Serving;
            "" for none. By default the environment variable XRAYSR_TOKEN. It goes over TLS or to
            this machine, nowhere else; to this machine no proxy of the environment is used.
        ca_file: PEM file of the authorities that sign the server's certificate. By default the
            environment variable XRAYSR_CA_FILE, else the public authorities that the libraries
            requests and grpc bring along.
        timeout: Seconds for one request, from the first byte sent to the last received.
        tile: Largest side in LR pixels that is sent at once; larger images go in tiles, with the
            same result.

    Raises:
        UserError: if an argument is wrong.
        ServerError: if the server is down or slow, or serves no such model of xraysr; so does
            the `Upscaler`, later.

    Example:
        >>> upscaler = connect("grpcs://serving.example:443/chest-x4/labels/stable")
        >>> upscaler.runtime.version, upscaler.scale
        (3, 4)
    """
    place = Address.parse(address)
    if not timeout > 0:
        raise UserError(f"timeout must be more than 0 seconds. Received: {timeout}")
    if tile < 1:
        raise UserError(f"tile must be at least 1 LR pixel. Received: {tile}")
    access = Access.of(place, token, ca_file)
    return Upscaler(RemoteRuntime(_connection(place, access, timeout), tile * tile), tile=tile)


def _connection(address: Address, access: Access, timeout: float) -> Connection:
    try:
        if address.rest:
            from xraysr.upscale.remote.rest import RestConnection

            return RestConnection(address, access, timeout)
        from xraysr.upscale.remote.rpc import RpcConnection

        return RpcConnection(address, access, timeout)
    except ModuleNotFoundError as error:
        package = PACKAGES.get(str(error.name).partition(".")[0])
        if package is None:
            raise
        raise UserError(
            f"{address} needs {package}, and that is not installed here. pip install {package}"
        ) from error
