from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from xraysr.errors import UserError
from xraysr.export import FORMATS, ParityError, export_model
from xraysr.export.writer import TOLERANCE, WRITERS
from xraysr.models import Generator
from xraysr.models.storage import load_generator
from xraysr.spec import ModelSpec
from xraysr.upscale import load

NAMES = {"saved_model": "model", "tflite": "model.tflite"}
WRITTEN = {"saved_model": ["model"], "tflite": ["model.spec.json", "model.tflite"]}


def listing(folder: Path) -> list[str]:
    """Names in `folder`, hidden ones included."""
    return sorted(path.name for path in folder.iterdir())


def content(path: Path) -> dict[str, bytes]:
    """Every file of an artefact."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {str(p.relative_to(path.parent)): p.read_bytes() for p in files}


def writes(format: str, change):
    """A writer of `format` whose generator had `change` done to its weights."""
    write = WRITERS[format]

    def writer(generator: Generator, path: Path) -> None:
        other = Generator.from_config(generator.get_config())
        other.build((None, None, None, 1))
        other.set_weights([change(weight) for weight in generator.get_weights()])
        write(other, path)

    return writer


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("scale", [2, 3, 6])
def test_what_is_written_computes_what_keras_computes(tmp_path, save_model, format, scale):
    model = save_model(tmp_path / "generator.keras", scale)
    out = tmp_path / "out" / NAMES[format]
    difference = export_model(model, out, format)
    assert 0 < difference <= TOLERANCE
    assert listing(out.parent) == WRITTEN[format]
    lr = np.random.default_rng(6).random((2, 13, 22, 1), dtype=np.float32)
    expected = np.asarray(load_generator(model)(lr))
    assert expected.shape == (2, 13 * scale, 22 * scale, 1)
    np.testing.assert_allclose(load(out)(lr), expected, atol=1e-5)


@pytest.mark.parametrize("format", FORMATS)
def test_the_card_travels(trained, format):
    assert ModelSpec.load(trained[format]) == ModelSpec.load(trained["keras"])


@pytest.mark.parametrize("format", FORMATS)
def test_a_run_folder_stands_for_its_generator(trained, tmp_path, format):
    out = tmp_path / NAMES[format]
    export_model(trained["keras"].parent, out, format)
    assert ModelSpec.load(out) == ModelSpec.load(trained["keras"])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "change", [lambda w: w + np.float32(1e-3), lambda w: w * np.float32("nan")], ids=["off", "nan"]
)
def test_an_artefact_that_computes_something_else_is_not_kept(
    trained, tmp_path, monkeypatch, format, change
):
    monkeypatch.setitem(WRITERS, format, writes(format, change))
    with pytest.raises(ParityError, match=rf"The {format} export of .*differs from Keras by"):
        export_model(trained["keras"], tmp_path / NAMES[format], format)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("format", FORMATS)
def test_a_failed_export_leaves_the_earlier_one(trained, tmp_path, monkeypatch, format):
    out = tmp_path / NAMES[format]
    export_model(trained["keras"], out, format)
    before = content(out)
    monkeypatch.setitem(WRITERS, format, writes(format, lambda w: w + np.float32(1e-3)))
    with pytest.raises(ParityError):
        export_model(trained["keras"], out, format, overwrite=True)
    assert content(out) == before
    assert listing(tmp_path) == WRITTEN[format]


@pytest.mark.parametrize("format", FORMATS)
def test_a_writer_that_stops_half_way_leaves_nothing(trained, tmp_path, monkeypatch, format):
    def writer(generator: Generator, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setitem(WRITERS, format, writer)
    with pytest.raises(KeyboardInterrupt):
        export_model(trained["keras"], tmp_path / NAMES[format], format)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("format", FORMATS)
def test_an_existing_export_is_replaced_only_when_told(trained, tmp_path, save_model, format):
    out = tmp_path / "out" / NAMES[format]
    export_model(trained["keras"], out, format)
    other = save_model(tmp_path / "other.keras", seed=1)
    before = content(out)
    with pytest.raises(UserError, match=f"{out} exists. Pass --overwrite"):
        export_model(other, out, format)
    assert content(out) == before
    if out.is_dir():
        (out / "left_over").touch()
    export_model(other, out, format, overwrite=True)
    assert ModelSpec.load(out) == ModelSpec.load(other)
    assert listing(out.parent) == WRITTEN[format]
    assert not (out / "left_over").exists()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", ["folder", "other"])
def test_what_is_no_export_is_never_replaced(trained, tmp_path, format, kind):
    out = tmp_path / NAMES[format]
    if kind == "other" and format == "saved_model":
        out.write_text("kept")
    else:
        out.mkdir()
        (out / "thesis.txt").write_text("kept")
    before = content(out)
    with pytest.raises(UserError, match=f"is not a {format} export; it is not overwritten"):
        export_model(trained["keras"], out, format, overwrite=True)
    assert content(out) == before
    assert listing(tmp_path) == [out.name]


def test_another_models_card_is_not_replaced_unasked(trained, tmp_path, save_model):
    other = save_model(tmp_path / "model.keras", seed=1)
    with pytest.raises(UserError, match=r"model.spec.json is the card of another model"):
        export_model(trained["keras"], tmp_path / "model.tflite", "tflite")
    load(other)
    assert listing(tmp_path) == ["model.keras", "model.spec.json"]


def test_beside_its_own_keras_file(tmp_path, save_model):
    model = save_model(tmp_path / "model.keras")
    export_model(model, tmp_path / "model.tflite", "tflite")
    assert load(model).spec == load(tmp_path / "model.tflite").spec


def test_a_card_of_other_weights_does_not_travel(trained, tmp_path, save_model):
    model = save_model(tmp_path / "model.keras", seed=1)
    shutil.copy(trained["keras"], model)
    with pytest.raises(UserError, match="does not hold the weights its card names"):
        export_model(model, tmp_path / "out", "saved_model")
    assert not (tmp_path / "out").exists()


def test_a_card_of_another_scale_does_not_travel(trained, tmp_path):
    model = Path(shutil.copy(trained["keras"], tmp_path / "model.keras"))
    card = json.loads(trained["keras"].with_suffix(".spec.json").read_text())
    (tmp_path / "model.spec.json").write_text(json.dumps({**card, "scale": 2}))
    with pytest.raises(UserError, match="does not fit its card: expected x2"):
        export_model(model, tmp_path / "out", "saved_model")
    assert listing(tmp_path) == ["model.keras", "model.spec.json"]


@pytest.mark.parametrize(
    ("format", "name", "message"),
    [
        ("onnx", "model.onnx", "format must be one of saved_model, tflite. Received: onnx"),
        ("tflite", "model", "a file ending in .tflite.*Received: format tflite"),
        ("saved_model", "model.tflite", "a saved_model export a folder"),
        ("saved_model", "file/model", "Cannot create the folder .*file"),
        ("tflite", "file/below/model.tflite", "Cannot create the folder .*file"),
    ],
)
def test_mistakes_are_refused(trained, tmp_path, format, name, message):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UserError, match=message):
        export_model(trained["keras"], tmp_path / name, format)
    assert listing(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["nowhere.keras", "folder", "text.keras"])
def test_an_unknown_model_is_refused(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.keras").write_text("not a model")
    with pytest.raises(UserError, match=name):
        export_model(tmp_path / name, tmp_path / "out", "saved_model")
    assert not (tmp_path / "out").exists()
