"""The REST client and servers that fail: what it says, and how often it asks."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from xraysr.errors import ServerError, UserError
from xraysr.upscale.remote import connect

IMAGE = np.full((4, 6), 0.25, np.float32)


class Handler(BaseHTTPRequestHandler):
    """Fails as the model says, else answers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer()

    def do_POST(self):
        self._answer()

    def log_message(self, *args):
        pass

    def _answer(self):
        model = self.server.model
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        model.asked.append((self.path, dict(self.headers)))
        fault = model.faults.pop(0) if model.faults else None
        if fault is not None:
            fault(self)
        elif self.path.endswith("/metadata"):
            signatures = {"metadata": {}, "serving_default": {}}
            self.say({"model_spec": {"version": "5"}, "metadata": {"signature_def": {
                "signature_def": signatures}}})  # fmt: skip
        elif self.path.endswith("/versions/5:predict"):
            request = json.loads(self.body)
            if request.get("signature_name") == "metadata":
                self.say({"predictions": [model.card]})
            else:
                batch = np.array(request["instances"], np.float32)
                self.say({"predictions": model.enlarge(batch).tolist()})
        else:
            self.say({"error": f"Malformed request: {self.path}"}, 400)

    def say(self, content, status=200, headers=()):
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            text = gzip.compress(text)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Connection", "close")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def serving(model, context: ssl.SSLContext | None = None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.model = model
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *args: None
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_port}/v1/models/repeat"
    finally:
        server.shutdown()
        server.server_close()


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


def status(code: int, content=b"", headers=()) -> Callable[[Handler], None]:
    return lambda handler: handler.say(content, code, headers)


def hang_up(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def break_off(handler: Handler) -> None:
    handler.close_connection = True
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"predictions": [')


def never(handler: Handler) -> None:
    time.sleep(1)


def drip(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        time.sleep(0.03)


def test_the_fake_server_does_its_work(model, address):
    upscaler = connect(address)
    np.testing.assert_array_equal(upscaler(IMAGE), np.full((8, 12), 0.25))
    assert upscaler.runtime.version == 5
    assert len(model.asked) == 3


def test_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    message = refusal(f"http://127.0.0.1:{port}/v1/models/repeat")
    assert "could not be reached in 5 attempts: " in message
    assert "Connection refused" in message
    assert "Pool" not in message
    assert "Check that the server runs" in message


@pytest.mark.parametrize(
    "fault", [status(503, {"error": "busy"}), status(502), status(429), hang_up]
)
def test_a_server_that_recovers_is_asked_again(model, address, fault):
    model.faults = [fault, fault]
    upscaler = connect(address)
    assert len(model.asked) == 4
    model.faults = [fault] * 4
    assert upscaler(IMAGE).shape == (8, 12)
    assert len(model.asked) == 9


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (status(503, {"error": "The queue is full"}), "HTTP 503 .*, The queue is full"),
        (hang_up, "without response|reset by peer"),
    ],
)
def test_a_server_that_does_not_recover_is_given_up(model, address, fault, reason):
    model.faults = [fault] * 100
    with pytest.raises(ServerError, match=rf"in 5 attempts: .*({reason})"):
        connect(address)
    assert len(model.asked) == 5


@pytest.mark.parametrize("fault", [never, drip])
def test_a_slow_server_is_asked_once(model, address, fault):
    model.faults = [fault]
    message = refusal(address, timeout=0.2)
    assert "did not answer within 0.2 s" in message
    assert "longer timeout or a smaller tile" in message
    assert len(model.asked) <= 1  # on a busy machine the time may be over before it is asked


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (status(500, {"error": "out of luck"}), "failed: HTTP 500 .*, out of luck. The log"),
        (status(500), "failed: HTTP 500 Internal Server Error. The log"),
        (status(400, {"error": "bad shape"}), "refuses the request: HTTP 400 .*, bad shape"),
        (status(504), "did not answer within 60 s"),
        (status(413), r"too large .*HTTP 413 .* Give \S*connect a smaller tile"),
        (status(429, {"error": "OOM"}), r"too large .*OOM.* Give \S*connect a smaller tile"),
        (status(401), "lets nobody in without a valid token .*HTTP 401"),
        (status(403), "lets nobody in without a valid token .*HTTP 403"),
        (status(404, b"<html>"), "does not answer as TF Serving does: HTTP 404"),
        (status(301, b"", [("Location", "https://x/")]), "HTTP 301 .* to https://x/. Check"),
        (status(200, b'{"predictions": [[0.1'), "does not answer as TF Serving does: invalid JSON"),
        (status(200, b"\xff\xfe"), "does not answer as TF Serving does: invalid JSON"),
        (status(200, []), "does not answer as TF Serving does: no metadata"),
        (break_off, "closed the connection in the middle of its answer: .*Try again"),
    ],
)
def test_what_is_not_asked_again(model, address, fault, reason):
    model.faults = [fault]
    with pytest.raises(ServerError, match=reason):
        connect(address)
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (status(413), "smaller tile"),
        (status(500), "failed: HTTP 500"),
        (break_off, "in the middle of its answer"),
        (status(200, {"predictions": [[0.1], [0.1, 0.2]]}), "no images as output"),
        (status(200, {"predictions": "sharp"}), "no images as output"),
        (status(200, {"outputs": []}), "an answer without predictions"),
    ],
)
def test_a_server_that_fails_later(model, address, fault, reason):
    upscaler = connect(address)
    model.faults = [fault]
    with pytest.raises(ServerError, match=reason):
        upscaler(IMAGE)
    assert upscaler(IMAGE).shape == (8, 12)


def test_a_card_that_is_no_text(model, address):
    model.faults = [None, status(200, {"predictions": [7]})]
    assert "has no card in its signature metadata" in refusal(address).replace("/versions/5", "")


def test_images_of_another_size_than_the_card_says(model, address):
    model.factor = 3
    with pytest.raises(UserError, match="does not fit its card: expected x2"):
        connect(address)(IMAGE)


def test_a_netrc_file_is_not_read(model, address, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    connect(address)
    connect(address, token="mine")
    sent = [headers.get("authorization") for _, headers in model.asked]
    assert sent == [None, None, "Bearer mine", "Bearer mine"]


def tls(files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


def test_tls_with_an_authority_of_ones_own(model, certificate, monkeypatch):
    files = certificate("127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate("elsewhere")[0]))
    with serving(model, tls(files)) as address:
        upscaler = connect(address, ca_file=files[0], token="open-sesame")
        assert upscaler(IMAGE).shape == (8, 12)
        assert {headers["authorization"] for _, headers in model.asked} == {"Bearer open-sesame"}
        monkeypatch.setenv("XRAYSR_CA_FILE", str(files[0]))
        connect(address)


def test_a_certificate_that_nobody_trusts(model, certificate):
    with serving(model, tls(certificate("127.0.0.1"))) as address:
        message = refusal(address, token="open-sesame")
        assert "is not trusted" in message
        assert "self-signed certificate" in message
        assert "in XRAYSR_CA_FILE" in message
    assert model.asked == []


def test_a_certificate_of_another_host(model, certificate):
    files = certificate("elsewhere")
    with serving(model, tls(files)) as address:
        assert "is not trusted" in refusal(address, ca_file=files[0])


def test_tls_where_there_is_none(model, address):
    secure = address.replace("http:", "https:")
    assert "No secure connection to" in refusal(secure)


def test_a_host_that_cannot_be(model):
    with pytest.raises(ServerError, match="No request can be sent to .* Check the address"):
        connect("http://.a/v1/models/repeat")


def test_nothing_for_this_machine_goes_to_a_proxy(address, monkeypatch):
    """Least of all a token, which plain HTTP would carry for all to read."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert connect(address, token="secret").scale == 2
        with pytest.raises(BlockingIOError):
            proxy.accept()
