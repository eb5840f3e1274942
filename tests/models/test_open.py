"""From a name, a file or an object to a model: the same bit for bit, and no wrong file gets in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.models import Discriminator, EdgeGenerator, PatchDiscriminator, SRResNet, open_model
from xraysr.models.data_consistency import ConsistentGenerator
from xraysr.models.open import load_generator, save_generator, weights_sha256
from xraysr.models.probe import WHOLE_IMAGE, probe_radius, probe_scale
from xraysr.spec import ModelSpec
from xraysr.training import SRGAN

FRESH_PROCESS = """
import sys
from pathlib import Path
import keras, numpy as np
from xraysr.models.open import load_generator
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


@pytest.mark.slow
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


def copy(trained: dict[str, Path], folder: Path) -> Path:
    for path in trained["keras"].parent.glob("generator.*"):
        if path.suffix in (".keras", ".json"):
            shutil.copy(path, folder)
    return folder / "generator.keras"


def test_a_file_and_a_folder_give_the_generator_with_its_card(trained, tmp_path):
    image = noise(1, 8, 8, 1)
    expected = load_generator(trained["keras"])(image)
    model = copy(trained, tmp_path)
    for target in (model, str(model), tmp_path):
        generator, spec = open_model(target)
        assert spec == ModelSpec.load(trained["keras"])
        np.testing.assert_array_equal(generator(image), expected)


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_damaged_model(tmp_path, generator, kept):
    path = tmp_path / "x3.keras"
    save_generator(generator, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(UserError, match=r"x3\.keras is not a Keras model: it was truncated"):
        open_model(path)


def test_damage_inside_the_archive_is_found(trained, tmp_path):
    model = copy(trained, tmp_path)
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 0xFF
    model.write_bytes(content)
    with pytest.raises(UserError, match=r"generator\.keras"):
        open_model(model)


@pytest.mark.parametrize("name", ["notes.txt", "weights.h5", "text.keras"])
def test_a_file_that_is_no_model(tmp_path, name):
    (tmp_path / name).write_text("not a model")
    with pytest.raises(UserError, match=rf"{name} is not a Keras model"):
        open_model(tmp_path / name)


def test_a_card_of_other_weights_is_refused(trained, tmp_path, save_model):
    model = copy(trained, tmp_path)
    shutil.copy(save_model(tmp_path / "other.keras", seed=1), model)
    with pytest.raises(UserError, match="does not hold the weights its card names"):
        open_model(model)


def test_a_card_that_is_not_one_is_refused(trained, tmp_path):
    model = copy(trained, tmp_path)
    card = tmp_path / "generator.spec.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "format": 99}))
    with pytest.raises(UserError, match=r"generator.spec.json is not a card of format 1"):
        open_model(model)


def own_model(scale: int = 2, dtype: str | None = None) -> keras.Model:
    """What a user may have: a functional model of plain layers that does not clip."""
    lr = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(8, 5, padding="same", activation="relu", dtype=dtype)(lr)
    x = keras.layers.Conv2D(scale**2, 3, padding="same", dtype=dtype)(x)
    up = keras.layers.UpSampling2D(scale, interpolation="nearest")(lr)
    shuffled = keras.layers.Conv2DTranspose(1, scale, scale, dtype=dtype)(x)
    return keras.Model(lr, keras.layers.Add()([up, shuffled]), name="mine")


def test_a_model_of_ones_own_that_model_save_wrote_is_opened_without_a_card(tmp_path):
    model = own_model(3)
    model.save(tmp_path / "mine.keras")
    loaded, spec = open_model(tmp_path / "mine.keras")
    assert (spec.name, spec.scale, spec.receptive_radius) == ("mine", 3, 3)
    assert spec.weights_sha256 == weights_sha256(model)
    assert spec.training == {"measured": "scale and receptive radius, by running the model"}
    assert spec.degradation == "unknown: the model came without a card"
    image = noise(1, 9, 11, 1)
    np.testing.assert_array_equal(loaded(image), model(image))


def test_a_model_in_memory_is_opened_as_it_is():
    model = own_model()
    opened, spec = open_model(model)
    assert opened is model
    assert (spec.name, spec.scale) == ("mine", 2)
    ours = SRResNet(3, depth=2, width=8)
    assert open_model(ours)[1].receptive_radius == ours.receptive_radius
    assert open_model(ours)[1].training == {}


def test_a_generator_saved_by_its_own_save_needs_no_card(tmp_path, generator):
    generator.save(tmp_path / "x3.keras")
    loaded, spec = open_model(tmp_path / "x3.keras")
    assert (spec.scale, spec.receptive_radius) == (3, generator.receptive_radius)
    assert weights_sha256(loaded) == spec.weights_sha256 == weights_sha256(generator)


def test_an_srgan_stands_for_its_generator(generator):
    assert open_model(SRGAN(generator))[0] is generator
    averaged = SRResNet.for_pair("8:24", depth=2, width=8)
    assert open_model(SRGAN(generator, averaged=averaged))[0] is averaged


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([keras.Input((2,)), keras.layers.Dense(1)], "must take images of any size"),
        ([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)], "of any size"),
        ([keras.Input((None, None, 1)), keras.layers.Conv2D(1, 3, padding="same")], "integer, 2"),
        ([keras.Input((None, None, 1)), keras.layers.UpSampling2D((2, 3))], "the same integer"),
        ([keras.Input((None, None, 1)), keras.layers.Conv2DTranspose(3, 2, 2)], "one channel"),
        ([keras.Input((None, None, 1)), keras.layers.Conv2DTranspose(1, 4, 2)], "the same integer"),
        ([keras.Input((None, None, 1)), keras.layers.GlobalMaxPooling2D()], "the same integer"),
    ],
)
def test_a_model_that_does_not_enlarge_is_refused(layers, message):
    with pytest.raises(UserError, match=message):
        open_model(keras.Sequential(layers))


@pytest.mark.parametrize(
    "network",
    [
        SRResNet(2, depth=1, width=8),
        SRResNet(6, depth=3, width=8),
        SRResNet(4, depth=16, width=8),
        EdgeGenerator(3, depth=5, width=8),
    ],
    ids=lambda each: f"{type(each).__name__} x{each.scale}",
)
def test_what_is_measured_is_what_our_networks_state(network):
    """To the pixel or one less: what is stated also covers what tiles add at their corners."""
    assert probe_scale(network) == network.scale
    stated = network.receptive_radius
    assert stated - 1 <= probe_radius(network, network.scale) <= stated


def test_a_model_that_looks_at_the_whole_image_has_no_smaller_radius():
    lr = keras.Input((None, None, 1))
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(lr)
    up = keras.layers.UpSampling2D(2)(keras.layers.Add()([lr, mean]))
    assert open_model(keras.Model(lr, up))[1].receptive_radius == WHOLE_IMAGE


def test_a_comparison_that_stops_nan_is_seen_through():
    """`maximum` may take the number rather than the NaN; the black and the white pixel pass."""
    lr = keras.Input((None, None, 1))
    pooled = keras.layers.MaxPooling2D(7, 1, padding="same")(lr)
    model = keras.Model(lr, keras.layers.UpSampling2D(2)(pooled))
    assert probe_radius(model, 2) == 3


FORMER = {
    "SRResNet": "Generator",
    "DataConsistency": "Faithful",
    "ConsistentGenerator": "FaithfulGenerator",
}


@pytest.mark.parametrize("faithful", [False, True])
def test_files_of_before_still_open(tmp_path, generator, faithful):
    """The classes had other names; whoever has such a file need not know."""
    model = ConsistentGenerator(generator) if faithful else generator
    save_generator(model, tmp_path / "new.keras")
    with (
        zipfile.ZipFile(tmp_path / "new.keras") as new,
        zipfile.ZipFile(tmp_path / "old.keras", "w") as old,
    ):
        for entry in new.namelist():
            content = new.read(entry).decode("latin-1")
            if entry == "config.json":
                for name, former in FORMER.items():
                    content = content.replace(f"xraysr>{name}", f"xraysr>{former}")
                    content = content.replace(
                        f'"class_name": "{name}"', f'"class_name": "{former}"'
                    )
                assert '"xraysr>Generator"' in content
            old.writestr(entry, content.encode("latin-1"))
    image = noise(1, 9, 11, 1)
    np.testing.assert_array_equal(load_generator(tmp_path / "old.keras")(image), model(image))
