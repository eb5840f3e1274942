"""export/serving/nginx.conf, run by a real nginx before a small REST and a small gRPC server."""

from __future__ import annotations

import getpass
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import pytest

import xraysr
from xraysr.errors import ServerError
from xraysr.upscale.remote import connect

KIT = Path(__file__).parents[1] / "export" / "serving"
MEGABYTE = 2**20
LARGE = 64 * MEGABYTE  # more than the buffers of all sockets on the way
STATUS = "/v1/models/base-x4"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
MODEL_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

pytestmark = pytest.mark.skipif(
    NGINX is None or shutil.which("openssl") is None,
    reason="needs nginx and openssl: apt-get install nginx-light openssl",
)


@dataclass
class Backend:
    """Stands for TensorFlow Serving, and remembers what reached it."""

    rest: int = 0
    grpc: int = 0
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answered: threading.Event = field(default_factory=threading.Event)


class Rest(BaseHTTPRequestHandler):
    """Answers everything, /monitoring too: it is nginx that must not let it through."""

    protocol_version = "HTTP/1.1"
    backend: Backend

    def do_GET(self) -> None:
        self.backend.asked.append(self.path)
        self.backend.headers.append({name.lower(): value for name, value in self.headers.items()})
        size = int(self.headers.get("Content-Length", 0))
        while size > 0:
            size -= len(self.rfile.read(min(size, MEGABYTE)))
        body = b"x" * LARGE if "large" in self.path else b'{"state": "AVAILABLE"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.backend.answered.set()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class Echo(grpc.GenericRpcHandler):
    """Answers every method with what it was sent."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        self.backend.asked.append(details.method)
        self.backend.headers.append(dict(details.invocation_metadata))
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request)


@pytest.fixture(scope="module")
def servers() -> Iterator[Backend]:
    backend = Backend()
    handler = type("Handler", (Rest,), {"backend": backend})
    rest = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    unlimited = [("grpc.max_receive_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(4), [Echo(backend)], options=unlimited)
    backend.rest, backend.grpc = rest.server_port, server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield backend
    server.stop(None)
    rest.shutdown()
    rest.server_close()


@pytest.fixture
def backend(servers) -> Backend:
    servers.asked.clear()
    servers.headers.clear()
    return servers


@pytest.fixture(scope="module")
def secrets(tmp_path_factory) -> tuple[Path, str]:
    """The folder and the token that README.md's own commands make."""
    blocks = re.findall(r"```sh\n(.*?)```", (KIT / "README.md").read_text("utf-8"), re.DOTALL)
    (commands,) = [block for block in blocks if "openssl rand" in block]
    folder = tmp_path_factory.mktemp("kit")
    done = subprocess.run(
        ["sh", "-ec", f'{commands}\necho "$TOKEN"'],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return folder / "secrets", done.stdout.split()[-1]


def adapted(folder: Path, secrets: Path, backend: Backend, port: int) -> Path:
    """nginx.conf with this test's ports and folders in place of the container's."""
    text = (KIT / "nginx.conf").read_text("utf-8")
    for old, new in {
        " /tmp/": f" {folder}/",  # first, as the other folders may lie in /tmp
        "serving:8501": f"127.0.0.1:{backend.rest}",
        "serving:8500": f"127.0.0.1:{backend.grpc}",
        "listen 8443": f"listen 127.0.0.1:{port}",
        "/etc/nginx/secrets": str(secrets),
        "/dev/stdout": str(folder / "access.log"),
    }.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "nginx.conf"
    path.write_text(text, encoding="utf-8")
    return path


def command(conf: Path, *words: str) -> list[str]:
    """nginx in the foreground, as the user who runs the tests."""
    settings = "daemon off; " + ("user root;" if getpass.getuser() == "root" else "")
    return [str(NGINX), "-e", "stderr", "-c", str(conf), "-g", settings, *words]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Proxy:
    """The running nginx as its clients see it."""

    port: int
    folder: Path
    certificate: Path
    token: str

    @property
    def friendly(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def connect(self) -> http.client.HTTPSConnection:
        trust = ssl.create_default_context(cafile=str(self.certificate))
        return http.client.HTTPSConnection("localhost", self.port, context=trust, timeout=30)

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = self.connect()
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    def ask_as_friend(self, path: str, method: str = "GET", body: bytes | None = None):
        return self.ask(path, method, body, **self.friendly)

    def call(self, method: str, request: bytes = b"film", token: str | None = None) -> bytes:
        trust = grpc.ssl_channel_credentials(self.certificate.read_bytes())
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
        with grpc.secure_channel(f"localhost:{self.port}", trust, unlimited) as channel:
            metadata = [("authorization", f"Bearer {token}")] if token else []
            return channel.unary_unary(method)(request, metadata=metadata, timeout=30)


@contextmanager
def running(home: Path, secrets: tuple[Path, str], backend: Backend) -> Iterator[Proxy]:
    """nginx before a backend."""
    folder, token = secrets
    for _ in range(5):  # another process may take the port in between
        port = free_port()
        conf = adapted(home, folder, backend, port)
        process = subprocess.Popen(command(conf), stderr=subprocess.PIPE)
        while process.poll() is None and not answers(port):
            time.sleep(0.02)
        if process.poll() is None:
            break
    else:
        raise AssertionError(process.stderr.read().decode())
    try:
        yield Proxy(port, home, folder / "tls.crt", token)
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, secrets, servers) -> Iterator[Proxy]:
    with (secrets[0] / "token.conf").open("a") as tokens:
        tokens.write('"Bearer second" 1;\n')
    with running(tmp_path_factory.mktemp("nginx"), secrets, servers) as proxy:
        yield proxy


def test_the_readmes_commands_make_secrets_that_only_the_owner_reads(secrets):
    folder, token = secrets
    assert re.fullmatch("[0-9a-f]{64}", token)
    files = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert files == {"token.conf": 0o600, "tls.key": 0o600, "tls.crt": 0o600}
    assert (folder / "token.conf").read_text().splitlines()[0] == f'"Bearer {token}" 1;'


def check(conf: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(conf, "-t"), capture_output=True, text=True)


def test_nginx_takes_the_configuration_and_would_find_a_slip(tmp_path, secrets, servers):
    conf = adapted(tmp_path, secrets[0], servers, free_port())
    assert check(conf).returncode == 0, check(conf).stderr
    conf.write_text(conf.read_text().replace("grpc_pass", "grpc_pas", 1))
    assert check(conf).returncode != 0


@pytest.mark.parametrize("missing", ["token.conf", "tls.key"])
def test_without_its_secrets_it_does_not_start(tmp_path, secrets, servers, missing):
    shutil.copytree(secrets[0], tmp_path / "secrets")
    (tmp_path / "secrets" / missing).unlink()
    done = check(adapted(tmp_path, tmp_path / "secrets", servers, free_port()))
    assert done.returncode != 0 and missing in done.stderr


def test_a_token_opens_and_stays_behind(proxy, backend):
    for token in (proxy.token, "second"):
        response, content = proxy.ask(STATUS, Authorization=f"Bearer {token}")
        assert (response.status, json.loads(content)) == (200, {"state": "AVAILABLE"})
        assert response.headers["WWW-Authenticate"] is None
    assert backend.asked == [STATUS, STATUS]
    assert not any("authorization" in headers for headers in backend.headers)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer wrong", "{token}", "Basic {token}", "Bearer {token}x"]
    + ["Bearer {token} ,", "default", "0", "1", '"Bearer {token}"'],
)
def test_without_it_nothing_is_reached(proxy, backend, header):
    for path in (STATUS, "/", "/monitoring/prometheus/metrics"):
        headers = {"Authorization": header.format(token=proxy.token)} if header else {}
        response, content = proxy.ask(path, **headers)
        assert response.status == 401 and "token" in json.loads(content)["error"]
        assert response.headers["WWW-Authenticate"] == "Bearer"
    assert backend.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/monitoring/prometheus/metrics",
        "/v1/../monitoring/prometheus/metrics",
        "/v1/models/../../monitoring/prometheus/metrics",
        "/v1/%2e%2e/monitoring/prometheus/metrics",
        "//monitoring/prometheus/metrics",
        "/",
        "/v1",
        "/v2/models",
    ],
)
def test_only_the_models_are_to_be_seen(proxy, backend, path):
    response, content = proxy.ask_as_friend(path)
    assert (response.status, content) == (404, b"No such address here.\n")  # not the server's 404
    assert backend.asked == []


@pytest.mark.parametrize("end", ["", "/labels/stable:predict", "/versions/2:predict", "/metadata"])
def test_addresses_pass_as_they_came(proxy, backend, end):
    assert proxy.ask_as_friend(STATUS + end, "POST", b"{}")[0].status == 200
    assert backend.asked == [STATUS + end]


def test_plain_http_is_refused(proxy, backend):
    connection = http.client.HTTPConnection("localhost", proxy.port, timeout=30)
    connection.request("GET", STATUS, headers=proxy.friendly)
    assert connection.getresponse().status == 400
    assert backend.asked == []


def test_films_of_any_likely_size_pass(proxy, backend):
    film = bytes(60 * MEGABYTE)
    assert proxy.ask_as_friend(f"{STATUS}:predict", "POST", film)[0].status == 200


def test_large_answers_pass_and_lie_in_no_file(proxy, backend):
    backend.answered.clear()
    connection = proxy.connect()
    connection.request("GET", f"{STATUS}/large", headers=proxy.friendly)
    response = connection.getresponse()
    assert not backend.answered.wait(0.5)  # what its client has not read, nginx does not store
    assert len(response.read()) == LARGE
    connection.close()


def test_what_is_larger_is_refused_before_it_is_sent(proxy, backend):
    size = {"Content-Length": str(64 * MEGABYTE + 1)}
    response, _ = proxy.ask(STATUS, "POST", **proxy.friendly, **size)
    assert response.status == 413
    assert backend.asked == []


@pytest.mark.parametrize("method", [PREDICT, MODEL_STATUS])
def test_grpc_passes_with_a_token(proxy, backend, method):
    large = bytes(8 * MEGABYTE)
    assert proxy.call(method, large, proxy.token) == large
    assert backend.asked == [method]
    assert "authorization" not in backend.headers[0]


@pytest.mark.parametrize(
    ("method", "token", "code"),
    [
        (PREDICT, None, grpc.StatusCode.UNAUTHENTICATED),
        (PREDICT, "wrong", grpc.StatusCode.UNAUTHENTICATED),
        (RELOAD, None, grpc.StatusCode.UNAUTHENTICATED),
        (RELOAD, "second", grpc.StatusCode.UNIMPLEMENTED),
        ("/tensorflow.serving.SessionService/SessionRun", "second", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_grpc_is_closed_to_strangers_and_nobody_changes_what_is_served(
    proxy, backend, method, token, code
):
    with pytest.raises(grpc.RpcError) as caught:
        proxy.call(method, token=token)
    assert caught.value.code() == code
    assert backend.asked == []


# With xraysr on both sides


@dataclass(frozen=True)
class Service:
    """Two versions of a model, with the labels of models.config, behind nginx."""

    proxy: Proxy
    models: Path

    def addresses(self, end: str) -> tuple[str, str]:
        place = f"localhost:{self.proxy.port}"
        return f"https://{place}{STATUS}{end}", f"grpcs://{place}/base-x4{end}"


@pytest.fixture(scope="module")
def service(tmp_path_factory, save_model, secrets) -> Iterator[Service]:
    from google.protobuf import text_format
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    from xraysr.testing import LocalServer

    models = tmp_path_factory.mktemp("kit") / "models"
    for seed in (0, 1):
        generator = save_model(models.parent / f"{seed}.keras", seed=seed)
        xraysr.export_model(generator, models, "saved_model", name="base-x4")
    text = (KIT / "config" / "models.config").read_text("utf-8")
    (model,) = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    with LocalServer(models / model.name, labels=dict(model.version_labels)) as server:
        rest, rpc = (
            int(address.split(":")[2].split("/")[0]) for address in (server.rest, server.grpc)
        )
        with running(tmp_path_factory.mktemp("nginx"), secrets, Backend(rest, rpc)) as proxy:
            yield Service(proxy, models)


@pytest.fixture
def friend(service, monkeypatch) -> Service:
    """The service for one whose environment holds token and certificate, as README.md says."""
    monkeypatch.setenv("XRAYSR_TOKEN", service.proxy.token)
    monkeypatch.setenv("XRAYSR_CA_FILE", str(service.proxy.certificate))
    return service


@pytest.mark.parametrize(("label", "version"), [("stable", 1), ("canary", 2)])
def test_a_label_gives_its_version_and_the_same_image(friend, label, version):
    image = np.random.default_rng(5).random((12, 20), dtype=np.float32)
    expected = xraysr.load(friend.models / "base-x4" / str(version))(image)
    for address in friend.addresses(f"/labels/{label}"):
        upscaler = xraysr.load(address)
        assert upscaler.runtime.version == version
        np.testing.assert_allclose(upscaler(image), expected, atol=1e-6)


def test_strangers_are_told_what_they_lack(service):
    for address in service.addresses(""):
        with pytest.raises(ServerError, match="lets nobody in without a valid token"):
            connect(address, token="wrong", ca_file=service.proxy.certificate)
        with pytest.raises(ServerError, match="certificate .* is not trusted"):
            connect(address, token=service.proxy.token)


@pytest.mark.skipif(
    not all(map(shutil.which, ("curl", "jq", "base64"))), reason="needs curl, jq and base64"
)
def test_the_readmes_commands_make_a_film(friend, tmp_path, monkeypatch):
    blocks = re.findall(r"```sh\n(.*?)```", (KIT / "README.md").read_text("utf-8"), re.DOTALL)
    (commands,) = [block for block in blocks if "image_bytes" in block]
    commands = commands.replace("localhost:8443", f"localhost:{friend.proxy.port}")
    shutil.copytree(friend.proxy.certificate.parent, tmp_path / "secrets")
    lr = xraysr.Radiograph(np.random.default_rng(6).random((16, 24), dtype=np.float32), 16)
    xraysr.write(tmp_path / "film.png", lr)
    monkeypatch.setenv("TOKEN", friend.proxy.token)
    subprocess.run(["sh", "-ec", commands], cwd=tmp_path, check=True, capture_output=True)
    sr = xraysr.read(tmp_path / "film_x4.png")
    expected = xraysr.load(friend.models / "base-x4" / "1")(xraysr.read(tmp_path / "film.png"))
    assert sr.bits == 16
    np.testing.assert_allclose(sr.pixels, expected.pixels, atol=1.5 / 65535)


def test_the_load_script_measures_it(friend):
    words = [sys.executable, str(KIT / "load.py"), friend.addresses("/labels/stable")[0]]
    done = subprocess.run([*words, "2", "4"], capture_output=True, text=True, timeout=120)
    assert re.match(r"[\d.]+ images/s; p50 [\d.]+ ms", done.stdout), done.stderr
    words[2] = words[2].replace("base-x4", "other")
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "other" in done.stderr
