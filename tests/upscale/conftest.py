"""A runtime without a network, for tests of what surrounds one."""

from __future__ import annotations

import numpy as np
import pytest

from xraysr.spec import ModelSpec


class Repeat:
    """Repeats every pixel `factor` times, and remembers the batches it was given.

    Args:
        scale: What its card says.
        factor: What it does; by default the same.
    """

    def __init__(self, scale: int = 3, factor: int | None = None) -> None:
        self.spec = ModelSpec("repeat", scale, receptive_radius=1, weights_sha256="")
        self.factor = factor or scale
        self.seen: list[np.ndarray] = []

    def run(self, batch: np.ndarray) -> np.ndarray:
        self.seen.append(batch)
        return batch.repeat(self.factor, axis=1).repeat(self.factor, axis=2)


@pytest.fixture
def repeat() -> type[Repeat]:
    return Repeat
