from __future__ import annotations

import json
import subprocess
import sys

import pytest

from xraysr.errors import UserError
from xraysr.upscale.remote import connect
from xraysr.upscale.remote.address import Access, Address

WITHOUT = """
import json, sys
import xraysr.upscale, xraysr.upscale.remote, xraysr.upscale.remote.address
heavy = ("tensorflow", "keras", "requests", "grpc", "tensorflow_serving")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://h:8501/v1/models/chest", Address("http", "h", 8501, "", "chest")),
        ("https://h/v1/models/chest", Address("https", "h", None, "", "chest")),
        ("http://h:1/v1/models/chest/", Address("http", "h", 1, "", "chest")),
        ("http://h:1/v1/models/chest:predict", Address("http", "h", 1, "", "chest")),
        ("http://h:1/v1/models/chest/versions/12", Address("http", "h", 1, "", "chest", 12)),
        (
            "https://h:1/a/b/v1/models/chest/labels/stable:predict",
            Address("https", "h", 1, "/a/b", "chest", None, "stable"),
        ),
        ("http://[::1]:1/v1/models/chest%20x4", Address("http", "::1", 1, "", "chest x4")),
        ("grpc://h:8500/chest", Address("grpc", "h", 8500, "", "chest")),
        ("grpcs://h:443/chest/versions/3/", Address("grpcs", "h", 443, "", "chest", 3)),
        ("grpc://h:1/chest/labels/canary", Address("grpc", "h", 1, "", "chest", None, "canary")),
    ],
)
def test_the_parts_of_an_address(text, expected):
    address = Address.parse(text)
    assert address == expected
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://h:8501/", "names no model"),
        ("http://h:8501/chest", "names no model"),
        ("http://h:8501/v1/models/", "names no model"),
        ("http://h:8501/v1/models/chest/versions/latest", "names no model"),
        ("http://h:8501/v1/models/chest/versions/1/labels/stable", "names no model"),
        ("http://h:8501/v1/models/chest:classify", "names no model"),
        ("grpc://h:8500", "names no model"),
        ("grpc://h:8500/a/chest", "names no model"),
        ("grpc://h/chest", "names no port"),
        ("grpc://h:port/chest", "is not an address"),
        ("ftp://h:21/v1/models/chest", "is not an address"),
        ("http:///v1/models/chest", "is not an address"),
        ("http://h:1/v1/models/chest?x=1", "has no user"),
    ],
)
def test_what_is_no_address(text, reason):
    with pytest.raises(UserError, match=reason) as caught:
        Address.parse(text)
    assert "\n" not in str(caught.value)


def test_a_password_is_not_repeated():
    with pytest.raises(UserError) as caught:
        connect("http://me:secret@h:8501/v1/models/chest")
    assert "secret" not in str(caught.value)
    assert "h:8501" in str(caught.value)


@pytest.mark.parametrize(
    ("host", "here"),
    [("localhost", True), ("127.0.0.9", True), ("[::1]", True), ("10.0.0.1", False), ("h", False)],
)
def test_which_hosts_are_this_machine(host, here):
    assert Address.parse(f"grpc://{host}:1/chest").loopback == here


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_token_does_not_travel_readable(scheme, monkeypatch):
    away = Address.parse(f"{scheme}://serving:1/{'v1/models/' * (scheme == 'http')}chest")
    with pytest.raises(
        UserError, match="would travel unencrypted. Use https:// or grpcs://"
    ) as caught:
        Access.of(away, "secret-token", None)
    assert "secret-token" not in str(caught.value)
    monkeypatch.setenv("XRAYSR_TOKEN", "from-outside")
    with pytest.raises(UserError, match="would travel unencrypted"):
        Access.of(away, None, None)
    assert Access.of(away, "", None).header == {}


def test_where_a_token_may_go(monkeypatch):
    header = {"authorization": "Bearer secret-token"}
    for text in ("grpc://127.0.0.1:1/chest", "grpcs://serving:1/chest"):
        assert Access.of(Address.parse(text), "secret-token", None).header == header
    monkeypatch.setenv("XRAYSR_TOKEN", "secret-token\n")
    assert Access.of(Address.parse("grpcs://serving:1/chest"), None, None).header == header


def test_a_token_that_no_header_can_hold():
    with pytest.raises(UserError, match="printable ASCII") as caught:
        Access.of(Address.parse("grpcs://serving:1/chest"), "two\nlines", None)
    assert "lines" not in str(caught.value)


def test_authorities_come_from_an_argument_or_the_environment(certificate, monkeypatch):
    address = Address.parse("https://serving/v1/models/chest")
    given, found = certificate("127.0.0.1")[0], certificate("elsewhere")[0]
    monkeypatch.setenv("XRAYSR_CA_FILE", str(found))
    assert Access.of(address, None, None).ca_file == found
    assert Access.of(address, None, given).ca_file == given


@pytest.mark.parametrize("content", [None, "nothing"])
@pytest.mark.parametrize("text", ["https://serving/v1/models/chest", "grpcs://serving:1/chest"])
def test_a_file_that_holds_no_authorities(text, content, tmp_path):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match="ca_file .* must name a PEM file .*ca.pem"):
        connect(text, ca_file=path)


@pytest.mark.parametrize("argument", [{"timeout": 0.0}, {"timeout": float("nan")}, {"tile": 0}])
def test_arguments_that_cannot_be(argument):
    (name,) = argument
    with pytest.raises(UserError, match=f"^{name} must be"):
        connect("grpc://127.0.0.1:1/chest", **argument)


def test_an_address_costs_no_heavy_import():
    result = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert json.loads(result.stdout) == []


@pytest.mark.parametrize(
    ("address", "module", "package"),
    [
        ("http://h:1/v1/models/chest", "requests", "requests"),
        ("grpc://h:1/chest", "grpc", "grpcio"),
        ("grpc://h:1/chest", "tensorflow_serving", "tensorflow-serving-api"),
    ],
)
def test_what_is_not_installed_is_named(address, module, package):
    script = (
        f"import sys; sys.modules[{module!r}] = None\n"
        f"from xraysr.errors import UserError\nfrom xraysr.upscale.remote import connect\n"
        f"try:\n    connect({address!r})\nexcept UserError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == (
        f"{address} needs {package}, and that is not installed here. pip install {package}\n"
    ), done.stderr
