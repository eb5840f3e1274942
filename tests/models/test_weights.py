"""Weights come back by name and to the bit, and nothing else is taken for them."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy

from xraysr.errors import UserError
from xraysr.models import SRResNet
from xraysr.models.weights import (
    load_weights,
    round_weights,
    save_weights,
    weight_names,
    weights_sha256,
)


@pytest.fixture
def network(perturb) -> SRResNet:
    return perturb(SRResNet.for_pair("8:16", depth=11, width=8))


def empty() -> SRResNet:
    return SRResNet.for_pair("8:16", depth=11, width=8)


def test_names_say_where_a_weight_is_and_no_two_are_the_same(network):
    names = weight_names(network)
    assert names[:3] == ["head/kernel", "head/bias", "block_0/first/kernel"]
    assert names == weight_names(empty())
    assert len(set(names)) == len(network.weights)


def test_they_come_back_rounded_once(network, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(network, path)
    loaded = empty()
    load_weights(loaded, path)
    round_weights(network)
    assert weights_sha256(loaded) == weights_sha256(network)
    for found, weight in zip(loaded.get_weights(), network.get_weights(), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, weight)


def test_any_reader_of_safetensors_finds_them_by_name(network, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(network, path)
    with safetensors.safe_open(path, "np") as file:
        assert set(file.keys()) == set(weight_names(network))
        kernel = file.get_tensor("block_10/second/kernel")
        assert file.metadata()["kernel"].startswith("height, width")
    assert kernel.dtype == np.float16
    np.testing.assert_array_equal(
        kernel, np.asarray(network.blocks[10].convolutions[1].kernel).astype(np.float16)
    )


def test_the_same_weights_give_the_same_bytes(network, tmp_path):
    other = empty()
    other.set_weights(network.get_weights())
    for name, each in (("a", network), ("b", other)):
        save_weights(each, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, 70000.0])
def test_what_float16_cannot_hold_is_refused_and_leaves_no_file(network, tmp_path, value):
    network.tail.bias.assign([value])
    with pytest.raises(UserError, match="not finite in float16"):
        save_weights(network, tmp_path / "w.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["nothing", "folder", "text", "half", "header"])
def test_a_file_that_holds_none_is_refused(network, tmp_path, content):
    path = tmp_path / "w.safetensors"
    if content == "folder":
        path.mkdir()
    if content == "text":
        path.write_text("these are no weights")
    if content in ("half", "header"):
        save_weights(network, path)
        path.write_bytes(path.read_bytes()[: 4000 if content == "half" else 200])
    with pytest.raises(UserError, match=r"w\.safetensors are damaged: ."):
        load_weights(empty(), path)


def test_only_float16_is_taken(network, tmp_path):
    path = tmp_path / "w.safetensors"
    weights = dict(zip(weight_names(network), network.get_weights(), strict=True))
    path.write_bytes(safetensors.numpy.save(weights))
    with pytest.raises(UserError, match="must be float16. Received: float32"):
        load_weights(empty(), path)


def test_weights_of_another_network_are_refused(network, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(network, path)
    with pytest.raises(UserError, match=r"of another network. Expected: .*head/kernel"):
        load_weights(SRResNet.for_pair("8:16", depth=2, width=8), path)


def test_the_hash_is_that_of_the_weights(network):
    other = empty()
    assert weights_sha256(network) == weights_sha256(network) != weights_sha256(other)
    other.set_weights(network.get_weights())
    assert weights_sha256(network) == weights_sha256(other)
    bias = other.tail.bias
    bias.assign(np.nextafter(np.asarray(bias), 1, dtype=np.float32))
    assert weights_sha256(network) != weights_sha256(other)
