from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

import xraysr
from xraysr.errors import UserError
from xraysr.spec import ModelSpec
from xraysr.upscale import load

FORMATS = ("keras", "saved_model", "tflite", "onnx")


def copy(model: Path, folder: Path) -> Path:
    """A model and its card, to be spoilt."""
    if model.is_dir():
        return shutil.copytree(model, folder / model.name)
    shutil.copy(ModelSpec.path_for(model), folder)
    return Path(shutil.copy(model, folder))


def refusal(target: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(target)
    message = str(caught.value)
    assert "\n" not in message
    assert str(target) in message
    return message


@pytest.mark.parametrize("size", [(24, 24), (17, 40), (3, 5)])
def test_every_format_gives_the_same_image(trained, size):
    image = np.random.default_rng(4).random(size, dtype=np.float32)
    images = [load(trained[format])(image) for format in FORMATS]
    assert images[0].shape == (4 * size[0], 4 * size[1])
    for other in images[1:]:
        np.testing.assert_allclose(other, images[0], atol=1e-5)


def test_it_is_the_librarys_load_and_takes_text(trained):
    assert xraysr.load(str(trained["tflite"])).scale == 4


def test_a_finished_run_gives_its_generator(trained, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    copy(trained["keras"], tmp_path)
    assert load(tmp_path).spec == ModelSpec.load(trained["keras"])


def test_an_unfinished_run_says_how_to_go_on(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert "not finished: resume its training" in refusal(tmp_path)


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    """Where the library looks for presets; the names of three are there, and nothing else."""
    cards = tmp_path / "shelf" / "cards"
    cards.mkdir(parents=True)
    for name in ("base-x2", "base-x4", "edge-x3"):
        (cards / f"{name}.json").write_text("not a card")
    monkeypatch.setattr("xraysr.presets.card.HOME", cards.parent)
    return cards.parent


def test_an_unknown_path_names_the_formats_and_the_presets(shelf, tmp_path):
    message = refusal(tmp_path / "nowhere")
    assert message.startswith("No model at")
    assert ".tflite" in message
    assert "or the name of a preset or auto. Presets: base-x2, base-x4, edge-x3." in message


def test_a_preset_of_a_scale_there_is_not_names_those_there_are(shelf):
    message = refusal(Path("base-x3"))
    assert "base comes for x2, x4; for x3 there is edge-x3." in message


def test_the_path_wins_over_the_preset_of_its_name(shelf, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="base-x4.json is damaged"):
        load("base-x4")
    copy(trained["saved_model"], tmp_path).rename(tmp_path / "base-x4")
    assert load("base-x4").spec == ModelSpec.load(trained["saved_model"])


def test_a_folder_that_is_no_model(tmp_path):
    (tmp_path / "film.png").touch()
    assert "is not a model. Expected a .keras, .tflite or .onnx file" in refusal(tmp_path)


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("notes")
    assert "is not a model" in refusal(path)


@pytest.mark.parametrize("format", ["keras", "tflite", "onnx"])
def test_text_with_a_models_suffix(trained, tmp_path, format):
    model = copy(trained[format], tmp_path)
    model.write_text("this is no model")
    assert "is not a" in refusal(model)


@pytest.mark.parametrize("format", ["keras", "tflite", "onnx"])
def test_a_truncated_file(trained, tmp_path, format):
    model = copy(trained[format], tmp_path)
    model.write_bytes(model.read_bytes()[:9000])
    assert "is not a" in refusal(model)


@pytest.mark.parametrize("format", ["saved_model", "onnx"])
def test_a_model_without_its_card(trained, tmp_path, format):
    model = copy(trained[format], tmp_path)
    ModelSpec.path_for(model).unlink()
    assert "has no card" in refusal(model)


@pytest.mark.parametrize("format", FORMATS)
def test_a_card_of_another_scale(trained, tmp_path, format):
    model = copy(trained[format], tmp_path)
    card = ModelSpec.path_for(model)
    text = json.dumps({**json.loads(card.read_text()), "scale": 2})
    card.write_text(text)
    if format == "tflite":  # the card inside is the one that counts
        assert load(model).scale == 4
        with zipfile.ZipFile(model, "a") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr("spec.json", text)
    with pytest.raises(UserError, match="does not fit its card: expected x2"):
        load(model)(np.zeros((8, 8), np.float32))


def test_the_highest_version_of_a_served_model(trained, tmp_path):
    for version in ("2", "10", "new", ".11"):
        shutil.copytree(trained["saved_model"], tmp_path / version)
        card = json.loads((tmp_path / version / "spec.json").read_text())
        (tmp_path / version / "spec.json").write_text(json.dumps({**card, "name": version}))
    assert load(tmp_path).spec.name == "10"
    assert load(tmp_path / "2").spec.name == "2"


@pytest.mark.parametrize("address", ["http://host/v1/models/m", "grpc://host:8500/m"])
def test_an_address_goes_to_the_server(monkeypatch, address):
    monkeypatch.setattr("xraysr.upscale.remote.connect", lambda target: ("connected", target))
    assert load(address) == ("connected", address)


def test_a_keras_model_without_a_card_is_loaded_from_file_and_from_memory(tmp_path):
    import keras

    lr = keras.Input((None, None, 1))
    enlarged = keras.layers.Conv2DTranspose(1, 3, 3, bias_initializer="ones")(lr)  # not clipped
    model = keras.Model(lr, enlarged, name="mine")
    model.save(tmp_path / "mine.keras")
    image = np.random.default_rng(4).random((7, 9), dtype=np.float32)
    expected = np.clip(np.asarray(model(image[None, ..., None])), 0, 1)[0, ..., 0]
    for upscaler in (load(model), load(tmp_path / "mine.keras")):
        assert (upscaler.scale, upscaler.spec.receptive_radius) == (3, 0)
        np.testing.assert_allclose(upscaler(image), expected, atol=1e-6)


def test_what_is_no_model_at_all_is_named():
    with pytest.raises(UserError, match="a path, the name of a preset or a keras.Model.*float"):
        load(4.0)
