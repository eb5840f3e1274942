"""What the client promises, over both protocols and against every server there is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import xraysr
from xraysr.errors import ServerError, UserError
from xraysr.spec import ModelSpec
from xraysr.testing import LocalServer
from xraysr.upscale import load
from xraysr.upscale.remote import connect
from xraysr.upscale.remote.rest import nested
from xraysr.upscale.tiles import least_tile

WITHOUT_TENSORFLOW = """
import sys
for name in ("tensorflow", "keras", "grpc", "tensorflow_serving"):
    sys.modules[name] = None
import numpy as np
from xraysr.upscale.remote import connect
address, image, out = sys.argv[1:]
np.save(out, connect(address)(np.load(image)))
"""


@pytest.fixture(params=["rest", "grpc"])
def protocol(request) -> str:
    return request.param


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).random(shape, dtype=np.float32)


def message(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("shape", [(24, 24), (17, 40), (3, 8, 6, 1)])
def test_a_served_model_is_the_local_one(server, protocol, exported, shape):
    image = random(*shape)
    served = connect(getattr(server, protocol))(image)
    np.testing.assert_allclose(served, load(exported["2"])(image), rtol=0, atol=1e-5)


def test_the_card_is_served_along(server, protocol, exported):
    upscaler = xraysr.load(getattr(server, protocol))
    assert upscaler.spec == ModelSpec.load(exported["folder"] / "2")
    assert upscaler.scale == 4


def test_a_large_image_goes_in_tiles(server, protocol):
    address = getattr(server, protocol)
    whole = connect(address)
    tile = least_tile(whole.spec.receptive_radius) + 6
    tiled, sent = connect(address, tile=tile), []
    run = tiled.runtime.run
    tiled.runtime.run = lambda batch: sent.append(batch.shape) or run(batch)
    image = random(tile + 9, 2 * tile)
    np.testing.assert_allclose(tiled(image), whole(image), rtol=0, atol=1e-5)
    assert len(sent) >= 6
    assert max(max(shape[1:3]) for shape in sent) <= tile


def test_a_large_batch_goes_in_several_requests(server, protocol):
    address = getattr(server, protocol)
    tile = least_tile(connect(address).spec.receptive_radius)
    upscaler, sent = connect(address, tile=tile), []
    enlarge = upscaler.runtime._connection.enlarge
    upscaler.runtime._connection.enlarge = lambda batch, version: (
        sent.append(len(batch)) or enlarge(batch, version)
    )
    batch = random(5, tile, tile // 2, 1)
    np.testing.assert_allclose(upscaler(batch), connect(address)(batch), rtol=0, atol=1e-5)
    assert sent == [2, 2, 1]


@pytest.mark.parametrize(
    ("suffix", "version"), [("", 2), ("/versions/1", 1), ("/versions/2", 2), ("/labels/stable", 1)]
)
def test_the_version_asked_for(server, protocol, exported, suffix, version):
    upscaler = connect(getattr(server, protocol) + suffix)
    assert upscaler.runtime.version == version
    assert upscaler.runtime.address.label is None
    assert str(upscaler.runtime.address).endswith(f"/chest/versions/{version}")
    image = random(9, 9)
    expected = load(exported[str(version)])(image)
    np.testing.assert_allclose(upscaler(image), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("suffix", ["", "/labels/stable"])
def test_a_new_version_does_not_replace_the_one_in_use(changing_server, protocol, settled, suffix):
    server = changing_server
    address = getattr(server, protocol) + suffix
    before = connect(address)
    image = random(9, 9)
    expected = before(image)
    shutil.copytree(server.folder / "1", server.folder / "3")
    server.refresh()
    server.label("stable", 3)
    settled(lambda: connect(address).runtime.version == 3)
    assert before.runtime.version != 3
    np.testing.assert_array_equal(before(image), expected)


def test_a_version_that_is_dropped_says_so(changing_server, protocol, settled):
    server = changing_server
    address = getattr(server, protocol)
    upscaler = connect(f"{address}/versions/1")
    upscaler(random(9, 9))
    shutil.rmtree(server.folder / "1")
    server.refresh()
    latest = connect(address)
    settled(lambda: latest.runtime._versions() == [2])
    with pytest.raises(ServerError) as error:
        upscaler(random(9, 9))
    assert message(error) == (
        f"{address}/versions/1 is no longer served. Versions served now: 2. Load the model again, "
        "for the card may have changed."
    )
    assert latest(random(9, 9)).shape == (36, 36)


@pytest.mark.parametrize(
    ("suffix", "reason"),
    [
        ("/versions/7", "/chest has no version 7. Versions it serves: 1, 2."),
        ("/labels/beta", "/chest has no label beta. Versions it serves: 1, 2."),
        ("X", "has no model chestX"),
    ],
)
def test_what_the_server_does_not_have(server, protocol, suffix, reason):
    address = getattr(server, protocol) + suffix
    with pytest.raises(ServerError) as error:
        connect(address)
    assert reason in message(error)
    assert address.partition("chest")[0] in message(error)


@pytest.mark.parametrize("lacks", ["metadata", "serving_default"])
def test_a_model_of_somebody_else(protocol, tmp_path, lacks):
    module = tf.Module()
    kind = tf.TensorSpec((None,), tf.string if lacks == "serving_default" else tf.float32)
    module.half = tf.function(lambda x: x, input_signature=[kind])
    name = "metadata" if lacks == "serving_default" else "serving_default"
    tf.saved_model.save(module, str(tmp_path / "half" / "1"), signatures={name: module.half})
    with LocalServer(tmp_path / "half") as server, pytest.raises(ServerError) as error:
        connect(getattr(server, protocol))
    assert f"was not exported by xraysr: it has no signature {lacks}" in message(error)


def test_a_card_that_cannot_be_read(protocol, tmp_path):
    module = tf.Module()
    text = tf.TensorSpec((None,), tf.string, name="request")
    module.card = tf.function(lambda request: {"spec": request}, input_signature=[text])
    images = tf.TensorSpec((None, None, None, 1), tf.float32, name="lr")
    module.same = tf.function(lambda lr: {"sr": lr}, input_signature=[images])
    signatures = {"serving_default": module.same, "metadata": module.card}
    tf.saved_model.save(module, str(tmp_path / "odd" / "1"), signatures=signatures)
    with LocalServer(tmp_path / "odd") as server:
        address = getattr(server, protocol)
        with pytest.raises(UserError, match="Cannot read the model's card") as error:
            connect(address)
    assert f"{address}/versions/1" in message(error)


@pytest.fixture(scope="module")
def guarded(exported) -> LocalServer:
    with LocalServer(exported["folder"], token="open-sesame") as server:
        yield server


@pytest.mark.parametrize("token", [None, "", "close-sesame"])
def test_a_server_that_wants_a_token(guarded, protocol, token):
    address = getattr(guarded, protocol)
    with pytest.raises(ServerError) as error:
        connect(address, token=token)
    assert f"{address} lets nobody in without a valid token" in message(error)
    assert "Set XRAYSR_TOKEN" in message(error)


def test_a_token_goes_with_every_request(guarded, protocol, monkeypatch):
    address = getattr(guarded, protocol)
    assert connect(address, token="open-sesame")(random(8, 8)).shape == (32, 32)
    monkeypatch.setenv("XRAYSR_TOKEN", "open-sesame")
    assert connect(address)(random(8, 8)).shape == (32, 32)
    with pytest.raises(ServerError):
        connect(address, token="")


def test_json_keeps_every_bit():
    rare = np.array([0, 1, 2**-149, 2**-126, 1 - 2**-24, np.pi / 4, 1e-7], np.float32)
    batch = np.concatenate([random(9993), rare]).reshape(2, 50, 100, 1)
    text = nested(batch)
    np.testing.assert_array_equal(np.array(json.loads(text), np.float32), batch)
    assert len(text) < 15 * batch.size


def test_rest_needs_no_tensorflow(exported, tmp_path):
    image = random(9, 12)
    np.save(tmp_path / "lr.npy", image)
    with LocalServer(exported["folder"]) as server:
        files = [str(tmp_path / name) for name in ("lr.npy", "sr.npy")]
        command = [sys.executable, "-c", WITHOUT_TENSORFLOW, server.rest, *files]
        result = subprocess.run(command, capture_output=True, text=True, cwd=Path.cwd())
        assert result.returncode == 0, result.stderr
        expected = connect(server.grpc)(image)
    np.testing.assert_allclose(np.load(tmp_path / "sr.npy"), expected, rtol=0, atol=1e-5)
