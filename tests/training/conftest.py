"""A small folder of films, a configuration that trains in a second, and a full disk."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from xraysr.io import Radiograph, write
from xraysr.training import TrainConfig


@pytest.fixture(scope="session")
def film_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve smooth random films of 64 x 64, 8 bit, in train, val and test folders."""
    root = tmp_path_factory.mktemp("films")
    random = np.random.default_rng(0)
    for number in range(12):
        split = ("train", "train", "train", "val", "test", "train")[number % 6]
        wave = sum(
            np.sin(random.uniform(0.1, 0.9) * np.arange(64)[:, None] + random.uniform(0, 6))
            * np.cos(random.uniform(0.1, 0.9) * np.arange(64)[None, :])
            for _ in range(4)
        )
        pixels = ((wave - wave.min()) / np.ptp(wave)).astype(np.float32)
        write(root / split / f"person{number}_film.png", Radiograph(pixels))
    return root


@pytest.fixture
def tiny() -> TrainConfig:
    """Twelve steps, the last three of them adversarial."""
    return TrainConfig(
        "16:64", steps=12, adversarial_share=0.25, depth=1, width=8, batch=2, crop=8,
        validate_every=5,
    )  # fmt: skip


@pytest.fixture
def largest_file() -> Callable[[int], AbstractContextManager[None]]:
    """`with largest_file(size)`: writing beyond `size` bytes fails, as on a full disk."""

    @contextmanager
    def largest_file(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return largest_file
