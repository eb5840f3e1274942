"""`RemoteRuntime`: one version of a served model, whatever protocol reaches it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn, Protocol, TypeVar

import numpy as np

from xraysr.spec import ModelSpec
from xraysr.upscale.remote.address import Address
from xraysr.upscale.remote.faults import (
    MissingError,
    UnavailableError,
    down,
    foreign,
    gone,
    no_model,
    no_version,
)

PAUSES = (0.2, 0.5, 1.0, 2.0)  # seconds before each further attempt

Answer = TypeVar("Answer")


class Connection(Protocol):
    """REST or gRPC. Each method asks the server once or, while it is unavailable, a few times.

    All raise `ServerError` with the reason, and `MissingError` where the server knows no such model
    or version.
    """

    address: Address

    def resolve(self) -> tuple[int, set[str]]:
        """Which version answers the address, and the names of its signatures."""
        ...

    def versions(self) -> list[int]:
        """The versions of the model that are ready."""
        ...

    def card(self, version: int) -> str:
        """The text of the card of a version."""
        ...

    def enlarge(self, batch: np.ndarray, version: int) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        ...


def patiently(address: Address, ask: Callable[[], Answer]) -> Answer:
    """`ask()`, and again after each of `PAUSES` while it raises `UnavailableError`.

    Asking twice does no harm: a server computes an image anew and keeps nothing.
    """
    for pause in PAUSES:
        try:
            return ask()
        except UnavailableError:
            time.sleep(pause)
    try:
        return ask()
    except UnavailableError as error:
        raise down(address, len(PAUSES) + 1, str(error)) from error


class RemoteRuntime:
    """A model behind TF Serving.

    The version that answers at first is asked from then on: the card is the card of what
    computes, and no image is made half by one version and half by another.

    Args:
        connection: What reaches the server.
        pixels: LR pixels that one request carries; a batch that has more goes in several, of
            one image at least.

    Raises:
        ServerError: if the server has no such model, or none that xraysr exported.
    """

    def __init__(self, connection: Connection, pixels: int) -> None:
        self._connection = connection
        self._pixels = pixels
        address = connection.address
        try:
            self.version, signatures = connection.resolve()
        except MissingError:
            self._explain()
        self.address = replace(address, version=self.version, label=None)
        missing = sorted({"metadata", "serving_default"} - signatures)
        if missing:
            raise foreign(self.address, f"signature {missing[0]}")
        try:
            card = connection.card(self.version)
        except MissingError:
            raise gone(self.address, self._versions()) from None
        self.spec = ModelSpec.from_json(card, str(self.address))

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, height, width, 1) float32 in [0, 1] to the same, `scale` times as large."""
        count = max(1, self._pixels // (batch.shape[1] * batch.shape[2]))
        parts = [batch[first : first + count] for first in range(0, len(batch), count)]
        try:
            answers = [self._connection.enlarge(part, self.version) for part in parts]
        except MissingError:
            raise gone(self.address, self._versions()) from None
        return np.concatenate(answers)

    def _explain(self) -> NoReturn:
        """Raises what it is that the server does not have."""
        address = self._connection.address
        try:
            served = self._connection.versions()
        except MissingError as error:
            raise no_model(address, str(error)) from None
        raise no_version(address, served)

    def _versions(self) -> list[int]:
        try:
            return self._connection.versions()
        except MissingError:
            return []
