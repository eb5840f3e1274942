"""Weights come back in order and to the bit, and nothing else is taken for them."""

from __future__ import annotations

import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.models.float16_weights import halves, read_halves, write_halves


@pytest.fixture
def weights() -> list[np.ndarray]:
    """Twelve arrays of as many shapes, so that names in order of the alphabet would mix them."""
    random = np.random.default_rng(0)
    return [random.normal(size=(3, n + 1)).astype(np.float32) for n in range(12)]


@pytest.mark.parametrize("writer", [write_halves, lambda path, some: np.savez(path, *halves(some))])
def test_they_come_back_in_order_rounded_once(weights, tmp_path, writer):
    path = tmp_path / "weights.npz"
    writer(path, weights)
    for found, weight in zip(read_halves(path), weights, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, weight.astype(np.float16))
        assert (found != weight).any()


def test_the_same_weights_give_the_same_bytes(weights, tmp_path):
    for name in ("a", "b"):
        write_halves(tmp_path / f"{name}.npz", weights)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, 70000.0])
def test_what_float16_cannot_hold_is_refused_and_leaves_no_file(weights, tmp_path, value):
    weights[5][0, 0] = value
    with pytest.raises(UserError, match="not finite in float16"):
        write_halves(tmp_path / "weights.npz", weights)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["nothing", "text", "npy", "half"])
def test_a_file_that_holds_none_is_refused(weights, tmp_path, content):
    path = tmp_path / "weights.npz"
    if content == "text":
        path.write_text("these are no weights")
    if content == "npy":
        with path.open("wb") as file:
            np.save(file, weights[0].astype(np.float16))
    if content == "half":
        write_halves(path, weights)
        path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(UserError, match=r"weights\.npz are damaged: ."):
        read_halves(path)


def test_only_float16_is_taken(weights, tmp_path):
    np.savez(tmp_path / "weights.npz", *halves(weights[1:]), weights[0])
    with pytest.raises(UserError, match=r"weights\.npz are not float16"):
        read_halves(tmp_path / "weights.npz")
