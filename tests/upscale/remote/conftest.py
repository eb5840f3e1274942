"""Servers for the client to meet: exported models, and servers that fail on purpose."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xraysr.spec import ModelSpec

MODEL_SERVER = "XRAYSR_MODEL_SERVER"
CARD = ModelSpec("repeat", scale=2, receptive_radius=1, weights_sha256="")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """Tests neither wait long nor take tokens, authorities or proxies from who runs them."""
    for name in (
        "XRAYSR_TOKEN",
        "XRAYSR_CA_FILE",
        "REQUESTS_CA_BUNDLE",
        "http_proxy",
        "HTTP_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("xraysr.upscale.remote.runtime.PAUSES", (0.01, 0.02, 0.05, 0.05))


@pytest.fixture(scope="session")
def exported(tmp_path_factory, save_model) -> dict[str, Path]:
    """Two generators as .keras files, and as versions 1 and 2 of a model chest. Read only."""
    from xraysr.export.saved_model import write_saved_model
    from xraysr.models import open_model

    folder = tmp_path_factory.mktemp("exported")
    paths = {"folder": folder / "chest"}
    for version in (1, 2):
        paths[str(version)] = save_model(folder / f"{version}.keras", seed=version)
        generator, spec = open_model(paths[str(version)])
        write_saved_model(generator, folder / "chest" / str(version), spec)
    return paths


class ModelServer:
    """A real tensorflow_model_server with the interface of `LocalServer`.

    Args:
        program: The binary.
        folder: NAME/ with NAME/VERSION/ in it.
        labels: Names for versions.
    """

    def __init__(self, program: str, folder: Path, labels: dict[str, int]) -> None:
        self.folder, self.labels = folder, labels
        self.config = folder.parent / "models.config"
        self.refresh()
        rest, grpc = _free_ports(2)
        self.rest = f"http://127.0.0.1:{rest}/v1/models/{folder.name}"
        self.grpc = f"grpc://127.0.0.1:{grpc}/{folder.name}"
        self.command = [
            program,
            f"--rest_api_port={rest}",
            f"--port={grpc}",
            f"--model_config_file={self.config}",
            "--model_config_file_poll_wait_seconds=1",
            "--file_system_poll_wait_seconds=1",
            "--allow_version_labels_for_unavailable_models=true",
        ]

    def refresh(self) -> None:
        """Says what is to be served; the server reads it within a second or two."""
        labels = "".join(
            f'version_labels {{ key: "{name}" value: {version} }}'
            for name, version in self.labels.items()
        )
        self.config.write_text(
            f'model_config_list {{ config {{ name: "{self.folder.name}" '
            f'base_path: "{self.folder}" model_platform: "tensorflow" '
            f"model_version_policy {{ all {{}} }} {labels} }} }}"
        )

    def label(self, name: str, version: int) -> None:
        self.labels[name] = version
        self.refresh()

    def __enter__(self) -> ModelServer:
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        eventually(lambda: b"AVAILABLE" in urllib.request.urlopen(self.rest, timeout=5).read())
        return self

    def __exit__(self, *error: object) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def eventually(check: Callable[[], bool]) -> None:
    """Waits up to a minute for what a real server does in its own time."""
    for _ in range(600):
        try:
            if check():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server did not get there within a minute")


KINDS = ("local", "tensorflow_model_server")


@contextmanager
def serving(kind: str, source: Path, folder: Path) -> Iterator[Any]:
    """A server for a copy of the model in `source`, in `folder`, with the label stable for 1."""
    copy = shutil.copytree(source, folder / source.name)
    labels = {"stable": 1}
    if kind == "local":
        from xraysr.testing import LocalServer

        server: Any = LocalServer(copy, labels=labels)
    elif program := os.environ.get(MODEL_SERVER):
        server = ModelServer(program, copy, labels)
    else:
        pytest.skip(f"set {MODEL_SERVER} to the path of a tensorflow_model_server to run this")
    with server:
        server.folder = copy
        yield server


@pytest.fixture(scope="module", params=KINDS)
def server(request, exported, tmp_path_factory) -> Iterator[Any]:
    """The model chest with versions 1 and 2; to be left as it is."""
    with serving(request.param, exported["folder"], tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(params=KINDS)
def changing_server(request, exported, tmp_path) -> Iterator[Any]:
    """The same, for a test that changes what is served."""
    with serving(request.param, exported["folder"], tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def settled() -> Callable[[Callable[[], bool]], None]:
    return eventually


class FakeModel:
    """Repeats every pixel, and may be told to fail first.

    Args:
        factor: How often it repeats; its card says twice.
    """

    def __init__(self, factor: int = 2) -> None:
        self.factor = factor
        self.card = CARD.to_json()
        self.faults: list[Callable[[Any], None]] = []
        self.asked: list[tuple[str, dict[str, str]]] = []

    def enlarge(self, batch: np.ndarray) -> np.ndarray:
        return batch.repeat(self.factor, axis=1).repeat(self.factor, axis=2)


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Callable[[str], tuple[Path, Path]]:
    """Makes a self-signed certificate for a host; returns its file and that of its key."""
    folder = tmp_path_factory.mktemp("tls")

    def make(subject: str) -> tuple[Path, Path]:
        if shutil.which("openssl") is None:
            pytest.skip("needs the command openssl to make a certificate")
        cert, key = folder / f"{subject}.crt", folder / f"{subject}.key"
        if not cert.exists():
            command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            kind = "IP" if subject[0].isdigit() else "DNS"
            names = ["-subj", f"/CN={subject}", "-addext", f"subjectAltName={kind}:{subject}"]
            files = ["-keyout", str(key), "-out", str(cert), "-days", "2"]
            subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
        return cert, key

    return make
