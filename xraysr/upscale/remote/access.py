"""Who is let in, and whom to trust: bearer tokens and certificates."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from xraysr.errors import UserError
from xraysr.upscale.remote.address import Address

TOKEN_VARIABLE = "XRAYSR_TOKEN"
CA_VARIABLE = "XRAYSR_CA_FILE"


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
                f"A token sent to {address} would travel readable. Use https:// or grpcs://, "
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
