"""What can go wrong with a server: one sentence each, the same over REST and gRPC."""

from __future__ import annotations

from xraysr.errors import ServerError
from xraysr.upscale.remote.address import CA_VARIABLE, TOKEN_VARIABLE, Address

LONGEST = 300
CONNECT = "xraysr.upscale.remote.connect"


class UnavailableError(Exception):
    """A server cannot answer now; trying again may help."""


class MissingError(Exception):
    """A server knows the model, the version or the label not, or not yet, or no longer."""


def brief(text: str) -> str:
    """`text` on one line, cut where it gets long."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."


def down(address: Address, attempts: int, why: str) -> ServerError:
    return ServerError(
        f"{address} could not be reached in {attempts} attempts: {brief(why)}. "
        "Check that the server runs and that host and port are right, and try again."
    )


def impossible(address: Address, why: str) -> ServerError:
    return ServerError(f"No request can be sent to {address}: {brief(why)}. Check the address.")


def slow(address: Address, timeout: float) -> ServerError:
    return ServerError(
        f"{address} did not answer within {timeout:g} s. Try again, or give {CONNECT} a longer "
        "timeout or a smaller tile."
    )


def failed(address: Address, what: str) -> ServerError:
    return ServerError(
        f"The server at {address} failed: {brief(what)}. The log of the server says more."
    )


def refused(address: Address, what: str) -> ServerError:
    return ServerError(f"The server at {address} refuses the request: {brief(what)}.")


def broken_off(address: Address, what: str) -> ServerError:
    return ServerError(
        f"{address} closed the connection in the middle of its answer: {brief(what)}. Try again; "
        "if it stays so, the server or a proxy before it may lack memory: use a smaller tile."
    )


def gibberish(address: Address, what: str) -> ServerError:
    return ServerError(
        f"{address} does not answer as TF Serving does: {brief(what)}. Check host, port and path; "
        "TF Serving takes REST at 8501 and gRPC at 8500 unless told otherwise."
    )


def foreign(address: Address, lacks: str) -> ServerError:
    return ServerError(
        f"The model at {address} was not exported by xraysr: it has no {brief(lacks)}. "
        "Check the name; xraysr export --format saved_model writes models that can be served."
    )


def no_model(address: Address, what: str) -> ServerError:
    return ServerError(
        f"The server of {address} has no model {address.name} ({brief(what)}). Check the name, "
        "and that the server has loaded it."
    )


def no_version(address: Address, served: list[int]) -> ServerError:
    if address.version is not None:
        asked = f"version {address.version}"
    elif address.label is not None:
        asked = f"label {address.label}"
    else:
        asked = "version that is ready"
    return ServerError(f"{address.model_url} has no {asked}. Versions it serves: {_list(served)}.")


def gone(address: Address, served: list[int]) -> ServerError:
    return ServerError(
        f"{address} is no longer served. Versions served now: {_list(served)}. Load the model "
        "again, for the card may have changed."
    )


def not_let_in(address: Address, what: str) -> ServerError:
    return ServerError(
        f"{address} lets nobody in without a valid token ({brief(what)}). Set {TOKEN_VARIABLE}, or "
        f"give {CONNECT} a token."
    )


def untrusted(address: Address, what: str) -> ServerError:
    return ServerError(
        f"The certificate of {address} is not trusted: {brief(what)}. Name the file of your "
        f"certificate authority in {CA_VARIABLE}, or give {CONNECT} a ca_file."
    )


def no_tls(address: Address, what: str) -> ServerError:
    return ServerError(
        f"No secure connection to {address}: {brief(what)}. Check the port, and whether the "
        "server speaks TLS at all."
    )


def too_large(address: Address, what: str) -> ServerError:
    return ServerError(
        f"The request or its answer is too large for {address}: {brief(what)}. "
        f"Give {CONNECT} a smaller tile."
    )


def _list(versions: list[int]) -> str:
    return ", ".join(map(str, versions)) or "none"
