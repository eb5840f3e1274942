"""TF Serving over REST. Needs requests, but no TensorFlow."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import Any

import numpy as np
import requests
import urllib3

from xraysr.upscale.remote import faults
from xraysr.upscale.remote.address import Access, Address
from xraysr.upscale.remote.faults import MissingError, UnavailableError
from xraysr.upscale.remote.runtime import patiently

CHUNK = 1 << 16


class RestConnection:
    """A model by its address; see `Connection`.

    Pixels are sent with nine digits, which is all that a float32 has, and as rows ("instances"):
    TF Serving indents the answer to the other form ("inputs") by one line for each pixel.

    Args:
        address: Where the model is.
        access: Token and authorities.
        timeout: Seconds for one request.

    Reference:
        [RESTful API of TF Serving](https://www.tensorflow.org/tfx/serving/api_rest)
    """

    def __init__(self, address: Address, access: Access, timeout: float) -> None:
        self.address = address
        self._timeout = timeout
        self._verify = str(access.ca_file) if access.ca_file else None
        self._header = access.header
        self._session = requests.Session()
        # A proxy of the environment must not get what is meant for this machine, token included.
        self._session.trust_env = not address.loopback
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.auth = self._authorize

    def resolve(self) -> tuple[int, set[str]]:
        """Which version answers the address, and the names of its signatures.

        It asks for the metadata of the model, since its status says nothing about labels.
        """
        answer = self._ask("GET", f"{self.address}/metadata")
        try:
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            return int(answer["model_spec"]["version"]), set(signatures)
        except (KeyError, TypeError, ValueError):
            raise faults.gibberish(self.address, "no metadata of a model") from None

    def versions(self) -> list[int]:
        """The versions of the model that are ready."""
        answer = self._ask("GET", self.address.model_url)
        try:
            states = answer["model_version_status"]
            return sorted(int(one["version"]) for one in states if one["state"] == "AVAILABLE")
        except (KeyError, TypeError, ValueError):
            raise faults.gibberish(self.address, "no status of a model") from None

    def card(self, version: int) -> str:
        """The text of the card of a version."""
        answer = self._predict(version, '{"signature_name": "metadata", "instances": ["spec"]}')
        if not (isinstance(answer, list) and len(answer) == 1 and isinstance(answer[0], str)):
            raise faults.foreign(self.address, "card in its signature metadata")
        return answer[0]

    def enlarge(self, batch: np.ndarray, version: int) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        answer = self._predict(version, f'{{"instances": {nested(batch)}}}')
        try:
            return np.array(answer, np.float32)
        except (TypeError, ValueError):
            raise faults.foreign(self.address, "images as output of serving_default") from None

    def _predict(self, version: int, body: str) -> Any:
        url = f"{self.address.model_url}/versions/{version}:predict"
        answer = self._ask("POST", url, body.encode())
        if not isinstance(answer, dict) or "predictions" not in answer:
            raise faults.gibberish(self.address, "an answer without predictions")
        return answer["predictions"]

    def _ask(self, method: str, url: str, body: bytes | None = None) -> Any:
        """The JSON that the server answers with."""
        text = patiently(self.address, lambda: self._ask_once(method, url, body))
        try:
            return json.loads(text)
        except ValueError as error:
            raise faults.gibberish(self.address, f"invalid JSON ({error})") from None

    def _ask_once(self, method: str, url: str, body: bytes | None) -> bytes:
        deadline = time.monotonic() + self._timeout
        try:
            response = self._session.request(
                method,
                url,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=self._timeout,
                verify=self._verify,
                allow_redirects=False,
                stream=True,
            )
        except requests.Timeout:
            raise faults.slow(self.address, self._timeout) from None
        except requests.exceptions.SSLError as error:
            reason = str(error)
            fault = faults.untrusted if "CERTIFICATE_VERIFY" in reason else faults.no_tls
            raise fault(self.address, _innermost(error)) from error
        except requests.ConnectionError as error:
            raise UnavailableError(_innermost(error)) from error
        except OSError as error:  # The base of all that requests raises.
            raise faults.impossible(self.address, str(error)) from error
        with response:
            content = self._read(response, deadline)
        if response.status_code != HTTPStatus.OK:
            self._refuse(response, content)
        return content

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        """The body, as long as it comes in time, however slowly its bytes drop in."""
        content = bytearray()
        try:
            while chunk := response.raw.read1(CHUNK):
                content += chunk
                if time.monotonic() > deadline:
                    raise faults.slow(self.address, self._timeout)
        except urllib3.exceptions.TimeoutError:
            raise faults.slow(self.address, self._timeout) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise faults.broken_off(self.address, _innermost(error)) from error
        return bytes(content)

    def _refuse(self, response: requests.Response, content: bytes) -> None:
        """Raises what a status other than 200 means."""
        status = response.status_code
        said = _error(content)
        what = f"HTTP {status} {response.reason}" + ("" if said is None else f", {said}")
        busy = status == HTTPStatus.TOO_MANY_REQUESTS and said is None  # a proxy, not TF Serving
        if busy or status in (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE):
            raise UnavailableError(what)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise faults.not_let_in(self.address, what)
        if status in (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.TOO_MANY_REQUESTS):
            raise faults.too_large(self.address, what)
        if status == HTTPStatus.GATEWAY_TIMEOUT:
            raise faults.slow(self.address, self._timeout)
        if status == HTTPStatus.NOT_FOUND and said is not None:
            raise MissingError(said)
        if status == HTTPStatus.BAD_REQUEST and said is not None and "version label" in said:
            raise MissingError(said)
        if status == HTTPStatus.NOT_FOUND or status < HTTPStatus.BAD_REQUEST:
            target = response.headers.get("Location")
            raise faults.gibberish(self.address, f"{what} to {target}" if target else what)
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise faults.refused(self.address, what)
        raise faults.failed(self.address, what)

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sends our token, and never what a .netrc file holds for the host."""
        request.headers.update(self._header)
        return request


def nested(batch: np.ndarray) -> str:
    """A float32 array as nested JSON lists, exactly: nine digits tell every float32 apart."""
    text = "%.9g"
    for side in reversed(batch.shape):
        text = f"[{','.join([text] * side)}]"
    return text % tuple(batch.ravel().tolist())


def _error(content: bytes) -> str | None:
    """What TF Serving says in an error; None if it was not TF Serving that answered."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return None


def _innermost(error: BaseException) -> str:
    """What happened, without the names of the classes that wrap it."""
    while isinstance(error.args[0] if error.args else None, BaseException):
        error = error.args[0]
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return _innermost(reason)
    return str(error.args[-1] if isinstance(error, urllib3.exceptions.HTTPError) else error)
