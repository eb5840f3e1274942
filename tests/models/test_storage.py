"""Models on disk: bit for bit the same in another process, and no wrong file gets through."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.models import Discriminator, PatchDiscriminator, SRResNet
from xraysr.models.storage import load_generator, save_generator, weights_sha256
from xraysr.spec import ModelSpec

FRESH_PROCESS = """
import sys
from pathlib import Path
import keras, numpy as np
from xraysr.models.storage import load_generator
import xraysr.models
folder = Path(sys.argv[1])
images = np.load(folder / "images.npy")
results = {}
for path in sorted(folder.glob("*.keras")):
    judge = "discriminator" in path.stem
    model = keras.saving.load_model(path) if judge else load_generator(path)
    results[path.stem] = np.asarray(model(images))
np.savez(folder / "results.npz", **results)
"""


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@pytest.fixture
def generator(perturb) -> SRResNet:
    return perturb(SRResNet.for_pair("8:24", depth=2, width=8))


def test_models_are_bit_equal_in_a_fresh_process(tmp_path, perturb):
    models = {
        "generator": SRResNet(4, depth=2, width=8),
        "generator_norm": SRResNet(6, depth=1, width=8, batch_norm=True),
        "discriminator": Discriminator((32, 48), filters=4, dense_units=8),
        "patch_discriminator": PatchDiscriminator(2, filters=4),
    }
    images = noise(2, 32, 48, 1)
    np.save(tmp_path / "images.npy", images)
    expected = {}
    for name, model in models.items():
        model.build((None, None, None, 1))
        perturb(model, seed=len(expected), scale=0.2)
        expected[name] = np.asarray(model(images))
        model.save(tmp_path / f"{name}.keras")
    run = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, str(tmp_path)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    results = np.load(tmp_path / "results.npz")
    assert sorted(results) == sorted(models)
    for name, value in expected.items():
        np.testing.assert_array_equal(results[name], value, err_msg=name)


def test_round_trip_with_its_card(tmp_path, generator):
    spec = save_generator(generator, tmp_path / "x3.keras", {"pair": "8:24", "steps": 7})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x3.keras", "x3.spec.json"]
    assert spec == ModelSpec(
        name="x3",
        scale=3,
        receptive_radius=generator.receptive_radius,
        weights_sha256=weights_sha256(generator),
        training={"pair": "8:24", "steps": 7},
    )
    assert ModelSpec.load(tmp_path / "x3.keras") == spec
    loaded = load_generator(tmp_path / "x3.keras")
    assert loaded.get_config() == generator.get_config()
    assert weights_sha256(loaded) == spec.weights_sha256
    image = noise(1, 9, 11, 1)
    np.testing.assert_array_equal(loaded(image), generator(image))


def test_the_hash_is_that_of_the_weights(perturb):
    first = SRResNet.for_pair("8:16", depth=1, width=8)
    second = SRResNet.for_pair("8:16", depth=1, width=8)
    assert weights_sha256(first) == weights_sha256(first)
    assert weights_sha256(first) != weights_sha256(second)
    second.set_weights(first.get_weights())
    assert weights_sha256(first) == weights_sha256(second)
    bias = second.tail.bias
    bias.assign(np.nextafter(np.asarray(bias), 1, dtype=np.float32))
    assert weights_sha256(first) != weights_sha256(second)


def test_a_generator_never_called_is_saved_with_its_weights(tmp_path):
    generator = SRResNet(2, depth=1, width=8)
    spec = save_generator(generator, tmp_path / "new.keras")
    loaded = load_generator(tmp_path / "new.keras")
    assert loaded.weights
    assert weights_sha256(loaded) == weights_sha256(generator) == spec.weights_sha256


def test_another_suffix_is_refused_before_anything_is_written(tmp_path, generator):
    with pytest.raises(UserError, match=r"ends in \.keras. Received: .*x3\.h5"):
        save_generator(generator, tmp_path / "x3.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_model(tmp_path, generator, monkeypatch):
    path = tmp_path / "x3.keras"
    save_generator(generator, path)
    before = path.read_bytes()

    def fail(self, temporary):
        temporary.write_bytes(b"half")
        raise RuntimeError("disk full")

    monkeypatch.setattr(SRResNet, "save", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        save_generator(generator, path)
    assert path.read_bytes() == before


def test_a_missing_model(tmp_path):
    with pytest.raises(UserError, match=r"No model file at .*lost\.keras"):
        load_generator(tmp_path / "lost.keras")
    with pytest.raises(UserError, match="No model file at"):
        load_generator(tmp_path)


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_damaged_model(tmp_path, generator, kept):
    path = tmp_path / "x3.keras"
    save_generator(generator, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(UserError, match=r"x3\.keras is not a Keras model that can be read"):
        load_generator(path)


@pytest.mark.parametrize("name", ["notes.txt", "weights.h5", "text.keras"])
def test_a_file_that_is_no_model(tmp_path, name):
    (tmp_path / name).write_text("not a model")
    with pytest.raises(UserError, match=rf"{name} is not a Keras model"):
        load_generator(tmp_path / name)


def test_another_model_is_named(tmp_path):
    path = tmp_path / "other.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    with pytest.raises(UserError, match="other.keras holds a Sequential, expected a generator"):
        load_generator(path)
