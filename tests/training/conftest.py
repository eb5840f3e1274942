"""A small folder of films, a configuration that trains in a second, and a full disk."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from xraysr import plots
from xraysr.io import Radiograph, write
from xraysr.models.open import load_generator
from xraysr.training import Callback, Run, TrainConfig, train

VOLATILE = {"seconds", "images_per_second"}


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


@pytest.fixture(scope="session")
def tiny() -> TrainConfig:
    """Twelve steps, the last three of them adversarial."""
    return TrainConfig(
        "16:64", steps=12, adversarial_share=0.25, depth=1, width=8, batch=2, crop=8,
        validate_every=5,
    )  # fmt: skip


@pytest.fixture(scope="session")
def finished(tiny, film_folder, tmp_path_factory) -> Run:
    """The run of `tiny`. Read only."""
    return train(tiny, film_folder, tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def plain_plots(monkeypatch):
    """A small picture in place of the plot, which takes most of the time of a short run."""
    blank = Radiograph(np.zeros((8, 8), np.float32))
    monkeypatch.setattr(plots, "history", lambda path, records: write(path, blank, overwrite=True))


class At(Callback):
    """Does something when a run has made a number of steps.

    Args:
        step: The number.
        act: Called with the trainer.
        event: Of those that happen at that step.
    """

    def __init__(self, step: int, act: Callable, event: str = "on_step") -> None:
        def called(state) -> None:
            if state.step == step:
                act(state)

        setattr(self, event, called)


@pytest.fixture(scope="session")
def at() -> type[At]:
    return At


@pytest.fixture(scope="session")
def stop_at() -> Callable[[int], At]:
    """A callback that asks a run to stop after a step."""
    return lambda step: At(step, lambda state: state.stop("Enough"))


@pytest.fixture(scope="session")
def records() -> Callable[[Run], list[dict]]:
    """The lines of metrics.jsonl without what the clock says."""

    def records(run: Run) -> list[dict]:
        return [
            {name: value for name, value in entry.items() if name not in VOLATILE}
            for entry in run.records()
        ]

    return records


@pytest.fixture(scope="session")
def weights() -> Callable[[Run], list[np.ndarray]]:
    """Those of the trained generator."""
    return lambda run: load_generator(run.generator).get_weights()


@pytest.fixture(scope="session")
def assert_same_run(weights, records) -> Callable[[Run, Run], None]:
    """Bit by bit, the clock left out."""

    def assert_same(one: Run, two: Run) -> None:
        for a, b in zip(weights(one), weights(two), strict=True):
            np.testing.assert_array_equal(a, b)
        assert records(one) == records(two)

    return assert_same


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
