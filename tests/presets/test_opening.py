from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import xraysr
from xraysr.errors import UserError
from xraysr.export import export_model
from xraysr.models.storage import load_generator
from xraysr.presets.opening import open_generator


def copy(trained: dict[str, Path], folder: Path) -> Path:
    for path in trained["keras"].parent.glob("generator.*"):
        shutil.copy(path, folder)
    return folder / "generator.keras"


def film(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).random(shape, dtype=np.float32)


def test_a_file_and_a_folder_give_the_generator_with_its_card(trained):
    image = film(1, 8, 8, 1)
    expected = load_generator(trained["keras"])(image)
    for target in (trained["keras"], str(trained["keras"]), trained["keras"].parent):
        generator, spec = open_generator(target)
        assert (spec.scale, spec.receptive_radius) == (4, generator.receptive_radius)
        assert spec.training["pair"] == "8:32"
        np.testing.assert_array_equal(generator(image), expected)


def test_a_name_gives_the_preset_and_a_path_of_that_name_goes_first(
    shipped, trained, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert open_generator("base-x4")[1] == shipped[1].spec
    shutil.copytree(trained["keras"].parent, tmp_path / "base-x4")
    assert open_generator("base-x4")[1].name == "generator"


def test_the_librarys_load_enlarges_with_a_preset_and_checks_what_it_is_given(shipped):
    generator, card = shipped
    upscaler = xraysr.load("base-x4")
    assert upscaler.spec == card.spec
    image = film(9, 13)
    expected = np.asarray(generator(image[None, ..., None]))[0, ..., 0]
    np.testing.assert_allclose(upscaler(image), expected, atol=1e-5)
    for wrong, message in (
        (255 * image, r"must be in \[0, 1\]. Received: .* to 2[0-9]{2}"),
        (image - 0.5, r"must be in \[0, 1\]. Received: -0.4"),
        ((255 * image).astype(np.uint8), "divide integers by the largest value.*Received: uint8"),
        (image * np.nan, "must be finite"),
        (np.stack([image] * 3, axis=-1), r"Received: \(9, 13, 3\)"),
    ):
        with pytest.raises(UserError, match=message):
            upscaler(wrong)


def test_a_preset_is_exported_with_its_card(shipped, tmp_path):
    export_model("base-x4", tmp_path / "base.tflite", "tflite")
    upscaler = xraysr.load(tmp_path / "base.tflite")
    assert upscaler.spec.weights_sha256 == shipped[1].spec.weights_sha256
    image = film(9, 13)
    np.testing.assert_allclose(upscaler(image), xraysr.load("base-x4")(image), atol=1e-5)


def test_what_is_neither_path_nor_preset(shipped, tmp_path):
    with pytest.raises(UserError, match="No model file at base-x3, and no preset. base comes for"):
        open_generator("base-x3")
    with pytest.raises(UserError, match=r"No model file at .*lost.keras.*Presets: base-x4"):
        open_generator(tmp_path / "lost.keras")


def test_a_card_of_other_weights_is_refused(trained, tmp_path, save_model):
    model = copy(trained, tmp_path)
    shutil.copy(save_model(tmp_path / "other.keras", seed=1), model)
    with pytest.raises(UserError, match="does not hold the weights its card names"):
        open_generator(model)


def test_a_damaged_file_is_said_to_be_damaged(trained, tmp_path):
    model = copy(trained, tmp_path)
    model.write_bytes(model.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"generator.keras is not a Keras model: it was truncated"):
        open_generator(model)


def test_damage_inside_the_archive_is_found(trained, tmp_path):
    model = copy(trained, tmp_path)
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 0xFF
    model.write_bytes(content)
    with pytest.raises(UserError, match="generator.keras"):
        open_generator(model)


def test_another_kind_of_keras_model_is_refused(trained, tmp_path):
    import keras

    model = copy(trained, tmp_path)
    keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)]).save(model)
    with pytest.raises(UserError, match="holds a Sequential, expected a generator"):
        open_generator(model)


def test_a_card_that_is_not_one_is_refused(trained, tmp_path):
    model = copy(trained, tmp_path)
    card = tmp_path / "generator.spec.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "format": 99}))
    with pytest.raises(UserError, match="generator.spec.json is not a card of format 1"):
        open_generator(model)
