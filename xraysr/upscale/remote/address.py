"""Where a served model is, and what grants access: `Address` and `Access`. Needs no network."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from xraysr.errors import UserError

EXPECTED = (
    "Expected http(s)://HOST:8501/v1/models/NAME or grpc(s)://HOST:8500/NAME, "
    "then nothing, /versions/N or /labels/LABEL"
)
MODEL = r"/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
REST = re.compile(rf"(?P<prefix>.*?)/v1/models{MODEL}(?::predict)?/?")
GRPC = re.compile(rf"(?P<prefix>){MODEL}/?")
TOKEN_VARIABLE = "XRAYSR_TOKEN"
CA_VARIABLE = "XRAYSR_CA_FILE"


@dataclass(frozen=True)
class Address:
    """A model behind TF Serving.

    Args:
        scheme: http, https, grpc or grpcs.
        host: Name or IP address.
        port: Port; None for the default of http and https.
        prefix: What a reverse proxy put before /v1, such as "/xray"; REST only.
        name: The model.
        version: The version asked for, if any.
        label: The label asked for, if any; never both.
    """

    scheme: str
    host: str
    port: int | None
    prefix: str
    name: str
    version: int | None = None
    label: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address in `text`; `UserError` says what is wrong with it.

        Example:
            >>> Address.parse("grpc://serving:8500/chest/labels/stable").label
            'stable'
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UserError(f"{text} is not an address: {error}. {EXPECTED}.") from None
        if parts.scheme not in ("http", "https", "grpc", "grpcs") or not host:
            raise UserError(f"{text} is not an address of a served model. {EXPECTED}.")
        if parts.username is not None or parts.query or parts.fragment:
            plain = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
            raise UserError(
                f"An address has no user, ? or #; a token is given apart. Received: "
                f"{plain.geturl()} with one of them"
            )
        rest = parts.scheme.startswith("http")
        found = (REST if rest else GRPC).fullmatch(parts.path)
        if not found:
            raise UserError(f"{text} names no model. {EXPECTED}.")
        if port is None and not rest:
            raise UserError(f"{text} names no port. {EXPECTED}.")
        version, label = found["version"], found["label"]
        return cls(
            scheme=parts.scheme,
            host=host,
            port=port,
            prefix=found["prefix"],
            name=unquote(found["name"]),
            version=None if version is None else int(version),
            label=None if label is None else unquote(label),
        )

    @property
    def rest(self) -> bool:
        """Whether it is spoken to over REST; gRPC otherwise."""
        return self.scheme in ("http", "https")

    @property
    def secure(self) -> bool:
        """Whether TLS hides what is sent."""
        return self.scheme in ("https", "grpcs")

    @property
    def loopback(self) -> bool:
        """Whether it is this very machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def authority(self) -> str:
        """host:port, or the host alone."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def model_url(self) -> str:
        """The model without version or label."""
        path = f"{self.prefix}/v1/models" if self.rest else ""
        return f"{self.scheme}://{self.authority}{path}/{quote(self.name, safe='')}"

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.model_url}/versions/{self.version}"
        if self.label is not None:
            return f"{self.model_url}/labels/{quote(self.label, safe='')}"
        return self.model_url


@dataclass(frozen=True)
class Access:
    """What a request carries besides its pixels.

    Args:
        token: Bearer token, or None.
        ca_file: PEM file of the authorities to trust, or None for the public ones.
    """

    token: str | None = None
    ca_file: Path | None = None

    @classmethod
    def of(cls, address: Address, token: str | None, ca_file: Path | None) -> Access:
        """What was given, else what the environment says; refused where it would leak or fail."""
        token = (os.environ.get(TOKEN_VARIABLE, "") if token is None else token).strip()
        if ca_file is None and os.environ.get(CA_VARIABLE):
            ca_file = Path(os.environ[CA_VARIABLE])
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            raise UserError("A token is printable ASCII without spaces; the one given is not.")
        if token and not (address.secure or address.loopback):
            raise UserError(
                f"A token sent to {address} would travel unencrypted. Use https:// or grpcs://, "
                f"or send none: token='' and no {TOKEN_VARIABLE} in the environment."
            )
        if address.secure and ca_file is not None:
            _check_authorities(Path(ca_file))
        return cls(token or None, ca_file)

    @property
    def header(self) -> dict[str, str]:
        """The header, or gRPC metadata, that lets in."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}


def _check_authorities(path: Path) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        raise UserError(
            f"ca_file (or {CA_VARIABLE}) must name a PEM file of certificates. "
            f"Received: {path} ({error})"
        ) from error
