"""What a protocol must do for a served model, and how long it tries."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from xraysr.upscale.remote.address import Address
from xraysr.upscale.remote.faults import UnavailableError, down

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
