"""`Address`: where a served model is, as text and in parts. Needs no network and no TensorFlow."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from xraysr.errors import UserError

EXPECTED = (
    "Expected http(s)://HOST:8501/v1/models/NAME or grpc(s)://HOST:8500/NAME, "
    "then nothing, /versions/N or /labels/LABEL"
)
MODEL = r"/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
REST = re.compile(rf"(?P<prefix>.*?)/v1/models{MODEL}(?::predict)?/?")
GRPC = re.compile(rf"(?P<prefix>){MODEL}/?")


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
