"""export/serving/: every file by its schema or protocol, and all of them consistent."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import kubernetes_validate
import numpy as np
import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

import xraysr

ROOT = Path(__file__).parents[1]
KIT = ROOT / "export" / "serving"
README = (KIT / "README.md").read_text("utf-8")
KINDS = ["ConfigMap", "PersistentVolume", "PersistentVolumeClaim", "Deployment", "Service"]
KINDS += ["HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"]
MADE_BY_THE_USER = {"./secrets": "secrets", "./models": "models"}

# What the wheel tensorflow-serving-api leaves out: of session_bundle_config.proto the fields that
# all versions have, and monitoring_config.proto.
WHOLE = 'label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Int64Value"'
MESSAGES = f"""
name: "serving.proto" package: "tensorflow.serving" syntax: "proto3"
dependency: "google/protobuf/wrappers.proto"
message_type {{
  name: "BatchingParameters"
  field {{ name: "max_batch_size" number: 1 {WHOLE} }}
  field {{ name: "batch_timeout_micros" number: 2 {WHOLE} }}
  field {{ name: "max_enqueued_batches" number: 3 {WHOLE} }}
  field {{ name: "num_batch_threads" number: 4 {WHOLE} }}
  field {{ name: "allowed_batch_sizes" number: 6 label: LABEL_REPEATED type: TYPE_INT64 }}
  field {{ name: "pad_variable_length_inputs" number: 7 label: LABEL_OPTIONAL type: TYPE_BOOL }}
}}
message_type {{
  name: "PrometheusConfig"
  field {{ name: "enable" number: 1 label: LABEL_OPTIONAL type: TYPE_BOOL }}
  field {{ name: "path" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }}
}}
message_type {{
  name: "MonitoringConfig"
  field {{
    name: "prometheus_config" number: 1 label: LABEL_OPTIONAL
    type: TYPE_MESSAGE type_name: ".tensorflow.serving.PrometheusConfig"
  }}
}}
"""


def compose(**environment: str) -> dict[str, Any]:
    """compose.yaml with its variables filled in, `${NAME:-default}` and `${NAME:+other}`."""

    def fill(found: re.Match[str]) -> str:
        name, kind, word = found.groups()
        value = environment.get(name, "")
        return (value or word) if kind == "-" else (word if value else "")

    text = (KIT / "compose.yaml").read_text("utf-8")
    filled, count = re.subn(r"\$\{(\w+):([-+])([^}]*)\}", fill, text)
    assert count and "$" not in filled
    return yaml.safe_load(filled)


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KIT / "kubernetes.yaml").read_text("utf-8")))


def document(kind: str, name: str | None = None) -> dict[str, Any]:
    (only,) = (
        each
        for each in documents()
        if each["kind"] == kind and name in (None, each["metadata"]["name"])
    )
    return only


def pod() -> dict[str, Any]:
    return document("Deployment")["spec"]["template"]["spec"]


def container(name: str) -> dict[str, Any]:
    (only,) = (each for each in pod()["containers"] if each["name"] == name)
    return only


def flags(words: list[str]) -> dict[str, str]:
    assert all(word.startswith("--") and "=" in word for word in words)
    return dict(word[2:].split("=", 1) for word in words)


def served() -> Any:
    """The one model of models.config, by TensorFlow Serving's own message."""
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    text = (KIT / "config" / "models.config").read_text("utf-8")
    (model,) = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    return model


def message(name: str) -> Any:
    """An empty message of `MESSAGES`."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(text_format.Parse(MESSAGES, descriptor_pb2.FileDescriptorProto()))
    described = pool.FindMessageTypeByName(f"tensorflow.serving.{name}")
    return message_factory.GetMessageClass(described)()


def parsed(file: str, name: str) -> Any:
    return text_format.Parse((KIT / "config" / file).read_text("utf-8"), message(name))


# What is served


def test_labels_point_at_versions_that_are_served():
    model = served()
    versions = set(model.model_version_policy.specific.versions)
    assert dict(model.version_labels) == {"stable": 1, "canary": 2}
    assert set(model.version_labels.values()) == versions
    assert model.base_path == f"/models/{model.name}" and model.model_platform == "tensorflow"


def test_batches_are_never_padded():
    parameters = parsed("batching.config", "BatchingParameters")
    assert not parameters.pad_variable_length_inputs
    assert not parameters.allowed_batch_sizes  # they fill up with copies that are computed in vain
    assert parameters.max_batch_size.value > 1
    assert 0 < parameters.batch_timeout_micros.value <= 10_000
    assert parameters.max_enqueued_batches.value >= parameters.num_batch_threads.value >= 1


def test_metrics_are_on():
    prometheus = parsed("monitoring.config", "MonitoringConfig").prometheus_config
    assert prometheus.enable
    assert prometheus.path in README
    assert not prometheus.path.startswith("/v1/")  # all that nginx lets out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BatchingParameters", "max_batch_size: 16"),
        ("BatchingParameters", "max_batchsize { value: 16 }"),
        ("MonitoringConfig", "prometheus_config { enabled: true }"),
    ],
)
def test_the_protocols_would_find_a_slip(name, text):
    with pytest.raises(text_format.ParseError):
        text_format.Parse(text, message(name))


# compose.yaml


def test_compose_keeps_to_the_schema_and_the_schema_would_find_a_slip():
    found = find_spec("check_jsonschema")
    if found is None or found.origin is None:
        pytest.skip("needs the schema that check-jsonschema brings along")
    path = Path(found.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(path.read_text("utf-8"))
    jsonschema.validate(compose(), schema)
    wrong = compose()
    wrong["services"]["nginx"]["volume"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


def test_every_mount_is_there_or_made_by_the_readme_and_read_only():
    ignored = (KIT / ".gitignore").read_text("utf-8").split()
    for service in compose()["services"].values():
        for mount in service["volumes"]:
            assert mount["read_only"] is True
            if name := MADE_BY_THE_USER.get(mount["source"]):
                assert mount["bind"] == {"create_host_path": False}
                assert f"/{name}/" in ignored and re.search(rf"\b{name}\b", README)
            else:
                assert (KIT / mount["source"]).exists()


@pytest.mark.parametrize("batches", ["", "true"])
def test_flags_name_what_is_mounted(batches):
    service = compose(BATCHING=batches)["services"]["serving"]
    given = flags(service["command"])
    mounts = {mount["target"]: mount["source"] for mount in service["volumes"]}
    paths = [value for value in given.values() if value.startswith("/")]
    assert len(paths) == (3 if batches else 2)
    for path in paths:
        folder, name = path.rsplit("/", 1)
        assert (KIT / mounts[folder] / name).is_file()
    assert served().base_path.rsplit("/", 1)[0] in mounts
    assert given["enable_batching"] == (batches or "false")
    assert bool(given["batching_parameters_file"]) == bool(batches)  # one alone stops the server
    assert given["allow_version_labels_for_unavailable_models"] == "true"
    assert int(given["model_config_file_poll_wait_seconds"]) > 0


def test_only_nginx_is_reached_from_outside():
    project = compose()
    serving, nginx = project["services"]["serving"], project["services"]["nginx"]
    assert "ports" not in serving and nginx["ports"] == ["8443:8443"]
    assert [project["networks"][name].get("internal") for name in serving["networks"]] == [True]
    assert set(serving["networks"]) < set(nginx["networks"])
    assert compose(PORT="443")["services"]["nginx"]["ports"] == ["443:8443"]


def test_services_are_closed_limited_and_watched():
    for service in compose()["services"].values():
        assert service["read_only"] is True and service["tmpfs"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not service["user"].startswith(("0", "root"))
        assert service["restart"] == "unless-stopped"
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
        assert service["healthcheck"]["retries"] > 0


def test_images_are_pinned_the_same_everywhere_and_not_older_than_tensorflow():
    images = {name: service["image"] for name, service in compose()["services"].items()}
    assert images == {name: container(name)["image"] for name in ("serving", "nginx")}
    assert images["serving"] in README
    tags = {name: image.rpartition(":")[2] for name, image in images.items()}
    assert all(re.match(r"\d+\.\d+\.\d+(-|$)", tag) for tag in tags.values())
    pins = (ROOT / "constraints.txt").read_text("utf-8")
    (tensorflow,) = re.findall(r"^tensorflow==(\d+)\.(\d+)", pins, re.MULTILINE)
    assert tuple(map(int, tags["serving"].split(".")[:2])) >= tuple(map(int, tensorflow))


@pytest.mark.parametrize(("state", "healthy"), [("AVAILABLE", True), ("LOADING", False)])
def test_the_health_check_reads_the_state(state, healthy):
    kind, *command = compose()["services"]["serving"]["healthcheck"]["test"]
    assert kind == "CMD" and f"/v1/models/{served().name} " in command[-1]
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    asked, port = answer_once(f'{{"model_version_status": [{{"state": "{state}"}}]}}')
    command[-1] = command[-1].replace("/8501", f"/{port}")
    done = subprocess.run(command, timeout=20)
    assert (done.returncode == 0) == healthy
    assert asked == [f"/v1/models/{served().name}"]
    refused = subprocess.run(command, timeout=20, stderr=subprocess.DEVNULL)
    assert refused.returncode != 0  # nobody is there any more


def answer_once(body: str) -> tuple[list[str], int]:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    asked: list[str] = []

    class Status(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Status)

    def serve() -> None:
        server.handle_request()
        server.server_close()

    threading.Thread(target=serve, daemon=True).start()
    return asked, server.server_port


# nginx.conf (tests/test_serving_proxy.py runs it)


def test_nginx_waits_longer_than_the_server_and_finds_it():
    text = (KIT / "nginx.conf").read_text("utf-8")
    given = flags(compose()["services"]["serving"]["command"])
    assert f"server serving:{given['rest_api_port']};" in text
    assert f"server serving:{given['port']};" in text
    for directive in ("proxy_read_timeout", "grpc_read_timeout"):
        (seconds,) = re.findall(rf"{directive} (\d+)s;", text)
        assert 1000 * int(seconds) > int(given["rest_api_timeout_in_ms"])
    nginx = compose()["services"]["nginx"]
    targets = {mount["target"] for mount in nginx["volumes"]}
    for path in re.findall(r"/etc/nginx/secrets/[\w.]+", text):
        assert Path(path).parent.as_posix() in targets
        assert f"secrets/{Path(path).name}" in README
    assert nginx["ports"][0].endswith(":" + re.findall(r"listen (\d+) ssl", text)[0])


# kubernetes.yaml


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_document_keeps_to_the_schema(kind, version):
    found = [each for each in documents() if each["kind"] == kind]
    assert found
    for each in found:
        kubernetes_validate.validate(each, version, strict=True)


def test_there_are_no_other_documents():
    assert {each["kind"] for each in documents()} == set(KINDS)


def test_the_schema_would_find_a_slip():
    deployment = document("Deployment")
    probes = deployment["spec"]["template"]["spec"]["containers"][0]
    probes["readynessProbe"] = probes.pop("readinessProbe")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, "1.33", strict=True)


def test_the_config_maps_hold_the_files():
    config = {path.name: path.read_text("utf-8") for path in (KIT / "config").iterdir()}
    assert document("ConfigMap", "xraysr-serving")["data"] == config
    nginx = {"nginx.conf": (KIT / "nginx.conf").read_text("utf-8")}
    assert document("ConfigMap", "xraysr-serving-nginx")["data"] == nginx


def test_the_pods_server_is_that_of_compose():
    given = flags(compose()["services"]["serving"]["command"])
    del given["enable_batching"], given["batching_parameters_file"]
    assert flags(container("serving")["args"]) == given
    on = flags(compose(BATCHING="true")["services"]["serving"]["command"])
    text = (KIT / "kubernetes.yaml").read_text("utf-8")
    for name in ("enable_batching", "batching_parameters_file"):
        assert f"# - --{name}={on[name]}\n" in text
    ports = {each["name"]: each["containerPort"] for each in container("serving")["ports"]}
    assert ports == {"grpc": int(given["port"]), "rest": int(given["rest_api_port"])}


def test_tensorflow_has_as_many_threads_as_cpus():
    limits = compose()["services"]["serving"]["deploy"]["resources"]["limits"]
    cpus = {float(limits["cpus"]), float(container("serving")["resources"]["limits"]["cpu"])}
    given = flags(container("serving")["args"])
    assert cpus == {float(given["tensorflow_intra_op_parallelism"])}


def test_the_parts_name_each_other():
    deployment, service = document("Deployment"), document("Service")
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        document("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        document("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector == labels
    scaler = document("HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]  # the scaler's to say
    assert scaler["minReplicas"] > document("PodDisruptionBudget")["spec"]["minAvailable"]
    claim, volume = document("PersistentVolumeClaim"), document("PersistentVolume")
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert claim["spec"]["accessModes"] == volume["spec"]["accessModes"] == ["ReadOnlyMany"]
    volumes = {each["name"]: each for each in pod()["volumes"]}
    models = volumes["models"]["persistentVolumeClaim"]
    assert models == {"claimName": claim["metadata"]["name"], "readOnly": True}
    assert volumes["config"]["configMap"]["name"] == "xraysr-serving"
    assert volumes["nginx"]["configMap"]["name"] == "xraysr-serving-nginx"
    secret = volumes["secrets"]["secret"]["secretName"]
    assert f"kubectl create secret generic {secret} --from-file=secrets\n" in README


def test_pods_see_the_files_where_compose_puts_them():
    for name in ("serving", "nginx"):
        mounts = {each["mountPath"] for each in container(name)["volumeMounts"]}
        service = compose()["services"][name]
        assert mounts == {each["target"] for each in service["volumes"]} | {"/tmp"}


def test_only_nginx_is_reached_from_outside_the_pod():
    (port,) = document("Service")["spec"]["ports"]
    (https,) = container("nginx")["ports"]
    assert port["targetPort"] == https["name"] and port["port"] == https["containerPort"] == 8443
    anyone, prometheus = document("NetworkPolicy")["spec"]["ingress"]
    assert anyone == {"ports": [{"port": https["name"]}]}
    assert prometheus["from"] and prometheus["ports"] == [{"port": "rest"}]
    assert pod()["hostAliases"] == [{"ip": "127.0.0.1", "hostnames": ["serving"]}]


def test_probes_ask_for_the_model_that_is_served():
    serving = container("serving")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert serving[probe]["httpGet"] == {"path": f"/v1/models/{served().name}", "port": "rest"}
    strategy = document("Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert strategy["maxUnavailable"] == 0
    annotations = document("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8501",
        "prometheus.io/path": parsed(
            "monitoring.config", "MonitoringConfig"
        ).prometheus_config.path,
    }


def test_pods_are_closed_and_end_in_order():
    assert pod()["securityContext"]["runAsNonRoot"] and pod()["securityContext"]["runAsUser"] > 0
    sleeps = {}
    for each in pod()["containers"]:
        context = each["securityContext"]
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert each["resources"]["requests"]["cpu"]  # what the scaler divides by
        command, seconds = each["lifecycle"]["preStop"]["exec"]["command"]
        assert command == "sleep"
        sleeps[each["name"]] = int(seconds)
    given = flags(container("serving")["args"])
    longest = int(given["rest_api_timeout_in_ms"]) / 1000
    assert sleeps["serving"] >= sleeps["nginx"] + longest
    assert pod()["terminationGracePeriodSeconds"] > sleeps["serving"]


# load.py


def test_the_load_script_is_short_and_measures(monkeypatch, capsys):
    path = KIT / "load.py"
    assert len(path.read_text("utf-8").splitlines()) <= 20
    asked: list[tuple[str, tuple[int, ...]]] = []
    together = threading.Barrier(3, timeout=20)

    def load(address: str) -> Any:
        def upscale(image: np.ndarray) -> None:
            film = xraysr.make_phantom(seed=0, size=72).pixels
            np.testing.assert_array_equal(image, np.float32(film) / 4095)
            assert image.dtype == np.float32
            asked.append((address, image.shape))
            together.wait()  # passes only where three ask at once

        return upscale

    fake = SimpleNamespace(load=load, make_phantom=xraysr.make_phantom)
    monkeypatch.setitem(sys.modules, "xraysr", fake)
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)
    monkeypatch.setattr(sys, "argv", ["load.py", "grpcs://host:1/name", "3", "6", "72"])
    runpy.run_path(str(path))
    assert asked == 6 * [("grpcs://host:1/name", (72, 72))]
    number = r"(\d+\.\d)"
    text = rf"{number} images/s; p50 {number} ms, p95 {number} ms, p99 {number} ms\n"
    found = re.fullmatch(text, capsys.readouterr().out)
    assert found
    rate, p50, p95, p99 = map(float, found.groups())
    assert rate > 0 and p50 <= p95 <= p99


# README.md


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, without the indent of a list around them."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", README, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


@pytest.mark.parametrize("block", blocks("sh"))
def test_commands_are_valid_shell(block):
    subprocess.run(["sh", "-n"], input=block, text=True, check=True)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_is_valid_and_calls_what_there_is(block):
    from xraysr.upscale.remote import Address

    compile(block, "README.md", "exec")
    for name in re.findall(r"xraysr\.(\w+)\(", block):
        assert hasattr(xraysr, name)
    for address in re.findall(r'load\("(.*?)"\)', block):
        parts = Address.parse(address)
        assert parts.name == served().name and parts.label in served().version_labels


def test_the_curl_example_sends_valid_json(tmp_path):
    (block,) = [block for block in blocks("sh") if "image_bytes" in block]
    commands = block.split(" |\n")[0].replace("base64 -w 0", "base64 -w 0 2>/dev/null")
    (tmp_path / "film.png").write_bytes(bytes(range(256)))
    done = subprocess.run(
        ["sh", "-ec", commands], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    request = json.loads(done.stdout)
    assert request["signature_name"] == "image_bytes"
    (instance,) = request["instances"]
    assert set(instance) == {"b64"} and instance["b64"] == (tmp_path / "film.b64").read_text()


def test_the_export_command_is_one(tmp_path):
    from typer.main import get_command

    from xraysr.cli import app

    (line,) = [line for block in blocks("sh") for line in block.splitlines() if "xraysr " in line]
    program, command, model, out, *options = line.split()
    assert (program, command, out) == ("xraysr", "export", MADE_BY_THE_USER["./models"])
    assert model == served().name and options == ["--format", "saved_model"]
    known = {name for option in get_command(app).commands[command].params for name in option.opts}
    assert options[0] in known


def test_services_and_files_that_it_names_are_there():
    services = set(compose()["services"])
    for words in re.findall(r"docker compose (?:exec|restart|logs --since 10m) ([a-z ]+)", README):
        assert set(words.split()) & services
        assert words.split()[0] in services
    named = {
        word
        for word in re.findall(r"`([\w./-]+)`", README)
        if word.endswith((".yaml", ".config", ".conf", ".py")) and "/" not in word.lstrip("./")
    }
    named |= set(re.findall(r"`(config/[\w.]+)`", README))
    assert {"compose.yaml", "config/models.config", "nginx.conf", "load.py"} <= named
    for name in named - {"token.conf"}:
        assert (KIT / name).is_file() or (KIT / "config" / name).is_file(), name
    assert "networks" in compose() and f"{compose()['name']}_inside" in README


def test_every_file_is_named_in_it():
    for path in KIT.rglob("*"):
        if path.is_file() and path.name != "README.md" and "__pycache__" not in path.parts:
            assert path.name in README


def test_no_secret_is_in_the_repository():
    done = subprocess.run(
        ["git", "ls-files", "--others", "--cached", "--exclude-standard", "."],
        cwd=KIT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip("needs git and a checkout")
    for name in done.stdout.splitlines():
        assert not name.startswith(("secrets/", "models/")) and name != ".env"
        text = (KIT / name).read_text("utf-8")
        assert "PRIVATE KEY" not in text and not re.search(r"Bearer [0-9a-f]{8}", text)
